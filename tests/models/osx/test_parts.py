"""Encoder, position nets and regressors of OSX: recorded values, values by hand, who learns from what."""

import pytest
import torch
from helpers.osx import SMALL

from pctlib.checkpoints.files import NameTable, load_strictly, part
from pctlib.checkpoints.osx import _ENCODER
from pctlib.models.deformable import DecoderSize
from pctlib.models.osx.parts import (
    BodyRegressor,
    Encoder,
    FaceRegressor,
    HandRegressor,
    PositionNet,
    TokenFaceRegressor,
    sample_at,
    soft_argmax,
)
from pctlib.models.osx.size import NUM_BODY, NUM_FACE, NUM_HAND, OSXSize
from pctlib.models.vit import ViTSize

TOKENS = {
    "shape_token": 0,
    "cam_token": 1,
    "expr_token": 2,
    "jaw_pose_token": 3,
    "hand_token": slice(4, 6),
    "body_pose_token": slice(6, 31),
}
RECORDED = OSXSize(ViTSize(32, 3, 4), (128, 96), body_depth=8, hand_cells=8, face_cells=4)


def _load(module, state, renamed):
    """Give a module the recorded values, its own names first in `renamed`."""
    values = {}
    for name, value in state.items():
        old, new = next(pair for pair in renamed if name.startswith(pair[0]))
        values[new + name.removeprefix(old)] = value
    module.load_state_dict(values)
    return module.eval()


def test_recorded_encoder(golden):
    data = golden("osx_encoder")
    encoder = Encoder(RECORDED).eval()
    load_strictly(encoder, data.state, NameTable(_ENCODER), "recorded")
    features, tokens = encoder(data.inputs["image"])
    torch.testing.assert_close(features, data.outputs["img_feat"], atol=2e-5, rtol=0)
    for name, place in TOKENS.items():
        torch.testing.assert_close(tokens[:, place], data.outputs[name], atol=2e-5, rtol=0)


def test_tokens_are_not_placed_and_patches_are():
    encoder = Encoder(SMALL).eval()
    images = torch.randn(2, 3, 64, 48)
    features, tokens = encoder(images)
    assert features.shape == (2, 16, 4, 3)
    assert tokens.shape == (2, 31, 16)
    # without blocks what comes out is the norm of what goes in
    encoder.blocks = torch.nn.ModuleList()
    features, tokens = encoder(images)
    norm = encoder.last_norm
    torch.testing.assert_close(tokens, norm(encoder.task_tokens).expand(2, -1, -1))
    torch.testing.assert_close(features.flatten(2).mT, norm(encoder.embed(images)))


def test_recorded_soft_argmax_and_samples(golden):
    data = golden("osx_functions")
    for dims in (2, 3):
        _, places = soft_argmax(data.inputs[f"heatmap{dims}d"], dims)
        torch.testing.assert_close(places, data.outputs[f"soft_argmax_{dims}d"], atol=1e-5, rtol=0)
    sampled = sample_at(data.inputs["sample_feat"], data.inputs["sample_xy"])
    torch.testing.assert_close(sampled, data.outputs["sample_joint_features"], atol=1e-5, rtol=0)


def test_one_hot_cell_is_its_index():
    logits = torch.zeros(1, 1, 3, 4, 5)
    logits[0, 0, 2, 1, 3] = 100
    probability, places = soft_argmax(logits, 3)
    torch.testing.assert_close(places[0, 0], torch.tensor([3.0, 1.0, 2.0]))  # x, y, z
    torch.testing.assert_close(probability.sum(), torch.tensor(1.0))


def test_samples_at_cells_are_the_cells():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    places = torch.tensor([[[2.0, 1.0], [0.5, 0.0], [3.5, 2.0], [9.0, 9.0]]])
    found = sample_at(features, places)[0, :, 0]
    torch.testing.assert_close(found, torch.tensor([6.0, 0.5, 5.5, 0.0]))  # half a cell outside: half of 11


@pytest.mark.parametrize(
    ("name", "joints", "feature"),
    [("body", NUM_BODY, "img_feat"), ("hand", NUM_HAND, "hand_feat"), ("face", NUM_FACE, "face_feat")],
)
def test_recorded_position_nets(golden, name, joints, feature):
    data = golden("osx_heads")
    features, C = data.inputs[feature], data.inputs[feature].shape[1]
    cells = {"body": 8, "hand": 8, "face": 4}[name]
    width = 0 if name == "body" else 256
    net = PositionNet(C, joints, (cells, *features.shape[2:]), query_width=width)
    state = part(data.state, f"{name}_position_net.")
    net = _load(net, state, [("conv.0.", "conv."), (f"{name}_conv.", "queries.")])
    probability, places = net(features)
    torch.testing.assert_close(places, data.outputs[f"{name}/joint_img"], atol=2e-5, rtol=0)
    if name == "body":
        torch.testing.assert_close(probability, data.outputs["body/joint_hm"], atol=2e-6, rtol=0)
    else:
        found = net.query(features, places)
        torch.testing.assert_close(found, data.outputs[f"{name}/joint_feat"], atol=2e-5, rtol=0)


def test_recorded_regressors(golden):
    data = golden("osx_heads")
    inputs, outputs = data.inputs, data.outputs

    def equal(found, name):
        torch.testing.assert_close(found, outputs[name], atol=2e-5, rtol=0)

    names = ("body_conv", "joint"), ("root_pose_out", "root"), ("body_pose_out", "body")
    names = *names, ("shape_out", "shape"), ("cam_out", "camera")
    renamed = [(f"{old}.0.", f"{new}.") for old, new in names]
    body = _load(BodyRegressor(RECORDED), part(data.state, "body_regressor."), renamed)
    found = body(
        inputs["body_pose_token"], inputs["shape_token"], inputs["cam_token"], outputs["body/joint_img"]
    )
    for values, name in zip(found, ("root_pose", "body_pose", "shape", "cam"), strict=True):
        equal(values, f"bodyrot/{name}")
    renamed = [("hand_conv.0.", "joint."), ("hand_pose_out.0.", "pose.")]
    hand = _load(HandRegressor(256, 512), part(data.state, "hand_regressor."), renamed)
    equal(hand(inputs["hand_query"], outputs["hand/joint_img"]), "handrot/hand_pose")
    outs = [("expr_out.0.", "expression."), ("jaw_pose_out.0.", "jaw.")]
    renamed = [("conv.0.", "crop."), ("joint_conv.0.", "joint."), *outs]
    face = _load(FaceRegressor(RECORDED), part(data.state, "face_regressor."), renamed)
    expression, jaw = face(inputs["face_feat_low"], inputs["face_query"], outputs["face/joint_img"])
    equal(expression, "face/expr")
    equal(jaw, "face/jaw_pose")
    tokens = _load(TokenFaceRegressor(32), part(data.state, "face_regressor_wo_decoder."), outs)
    expression, jaw = tokens(inputs["expr_token"], inputs["jaw_token"])
    equal(expression, "face_wo_decoder/expr")
    equal(jaw, "face_wo_decoder/jaw_pose")


def test_regressors_teach_no_places():
    places = torch.rand(2, NUM_HAND, 3, requires_grad=True)
    net = PositionNet(4, NUM_HAND, (3, 3, 3), query_width=6)
    features = torch.randn(2, 4, 3, 3, requires_grad=True)
    hands = HandRegressor(6, 5)(net.query(features, places), places)
    from_map = HandRegressor(4, 5, from_map=True)(features, places)
    size = OSXSize(ViTSize(16, 1, 2), regressor_width=4, decoder=DecoderSize(width=8))
    more = torch.rand(2, NUM_FACE, 3, requires_grad=True)
    face = FaceRegressor(size)(torch.randn(2, 16, 2, 2), torch.randn(2, NUM_FACE, 8), more)
    body_places = torch.rand(2, NUM_BODY, 3, requires_grad=True)
    token = torch.randn(2, 16)
    body = BodyRegressor(size)(torch.randn(2, NUM_BODY, 16), token, token, body_places)
    total = sum(values.square().sum() for values in (hands, from_map, *face, *body))
    total.backward()
    assert places.grad is None
    assert more.grad is None
    assert body_places.grad is None
    assert features.grad.abs().sum() > 0
