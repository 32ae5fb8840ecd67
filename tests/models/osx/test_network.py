"""The whole OSX: the recorded forward pass, its variants, what learns from what, and what it refuses."""

import pytest
import torch
from helpers.osx import PARTS, SMALL

from pctlib.body_model import rotation_matrix
from pctlib.checkpoints.osx import load_osx
from pctlib.models.osx.joints import OSX_JOINTS, project
from pctlib.models.osx.network import OSX, camera_translation, mirrored
from pctlib.rotations import axis_angle, mirrored_axis_angle

VARIANTS = ("full", "wo_face_decoder", "wo_decoder", "tokens")
POSES = {"root": "root", "body": "body", "left_hand": "lhand", "right_hand": "rhand", "jaw": "jaw"}


def images(B=2, size=SMALL):
    return torch.rand(B, 3, *size.input_size, generator=torch.Generator().manual_seed(3))


def test_recorded_forward_pass(golden):
    data = golden("osx_forward")
    model = load_osx(data.state, "recorded", num_heads=4)
    assert model.size.input_size == (128, 96)
    assert model.size.decoder.num_layers == 2
    with torch.inference_mode():
        found = model(data.inputs["img"])
    for ours, theirs in POSES.items():
        vectors = axis_angle(getattr(found, ours)).flatten(1)
        torch.testing.assert_close(vectors, data.outputs[f"smplx_{theirs}_pose"], atol=5e-5, rtol=0)
    torch.testing.assert_close(found.shape, data.outputs["smplx_shape"], atol=2e-5, rtol=0)
    torch.testing.assert_close(found.expression, data.outputs["smplx_expr"], atol=2e-5, rtol=0)
    torch.testing.assert_close(found.camera, data.outputs["cam_trans"], atol=1e-4, rtol=0)
    scaled = found.boxes * 1.5  # the release gives them in pixels of the picture of 192 x 144
    for number, name in enumerate(PARTS):
        torch.testing.assert_close(scaled[:, number], data.outputs[f"{name}_bbox"], atol=1e-3, rtol=0)
    joints = data.inputs["smplx_joints"][:, list(OSX_JOINTS)]
    seen = project(joints, found.camera, model.size.input_size)
    torch.testing.assert_close(seen, data.outputs["smplx_joint_proj"], atol=2e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_give_rotations_and_what_they_have(variant):
    torch.manual_seed(0)
    found = OSX(SMALL, variant).eval()(images())
    turns = found.rotations()
    assert turns.shape == (2, 53, 3, 3)
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(2, 53), atol=1e-5, rtol=0)
    assert found.pose_vector().shape == (2, 159)
    assert (found.boxes is None) == (found.hand_places is None) == (variant == "tokens")
    assert (found.face_places is None) == (variant != "full")


@pytest.mark.parametrize("variant", VARIANTS)
def test_people_do_not_see_each_other(variant):
    torch.manual_seed(0)
    model = OSX(SMALL, variant).eval()
    batch = images(3)
    together, alone = model(batch), model(batch[1:2])
    torch.testing.assert_close(together.rotations()[1:2], alone.rotations(), atol=1e-5, rtol=0)
    torch.testing.assert_close(together.camera[1:2], alone.camera, atol=1e-5, rtol=0)


def test_every_second_pixel_of_a_crop_of_twice_the_size():
    torch.manual_seed(0)
    model = OSX(SMALL).eval()
    small = images()
    large = torch.rand(2, 3, 128, 96)
    large[:, :, ::2, ::2] = small
    assert torch.equal(model(large).root, model(small).root)


def test_given_boxes_move_hands_and_face_but_not_the_body():
    torch.manual_seed(0)
    model = OSX(SMALL).eval()
    own = model(images())
    given = model(images(), boxes=own.boxes + 8)
    assert torch.equal(given.body, own.body)
    assert torch.equal(given.box_center, own.box_center)
    assert not torch.allclose(given.left_hand, own.left_hand)
    assert not torch.allclose(given.expression, own.expression)
    same = model(images(), boxes=own.boxes)
    assert torch.equal(same.left_hand, own.left_hand)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns(variant):
    torch.manual_seed(0)
    model = OSX(SMALL, variant)
    for module in model.modules():  # at the start, offsets and weights are the same for every query
        if hasattr(module, "spread_offsets"):
            torch.nn.init.normal_(module.sampling_offsets.weight, std=0.3)
            torch.nn.init.normal_(module.attention_weights.weight, std=0.3)
    found = model(images())
    given = [value for value in vars(found).values() if value is not None]
    torch.stack([value.square().mul(torch.rand_like(value)).sum() for value in given]).sum().backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # the bias in front of a softmax over the same volume of all joints is felt; that of the centres is not
    assert still <= {"box_net.center.bias", "body_position.conv.bias"}
    spare = model.encoder.task_tokens.grad[0]
    assert spare.abs().sum(1).gt(0).all()  # also those never read, by way of the attention


def test_hand_tokens_are_read_by_one_variant_alone():
    torch.manual_seed(0)
    for variant in VARIANTS:
        model = OSX(SMALL, variant).eval()
        features, tokens = model.encoder(images())
        tokens = tokens.detach().requires_grad_()
        model.encoder.forward = lambda _, f=features, t=tokens: (f.detach(), t)
        found = model(images())
        sum(value.square().sum() for value in (found.rotations(), found.expression, found.shape)).backward()
        read = tokens.grad.abs().sum((0, 2)).gt(0)
        assert read[4:6].all() if variant == "tokens" else not read[4:6].any()
        assert read[2:4].all() if variant != "full" else not read[2:4].any()
        assert read[6:].all()
        assert read[0]


@pytest.mark.parametrize(
    ("loss", "blind"),
    [
        ("left_hand", ("box_net", "body_position.conv", "hand_position.conv", "face_", "body_regressor")),
        ("body", ("box_net", "hand_", "face_", "body_position.conv")),
        ("jaw", ("box_net", "hand_", "face_position.conv", "body_")),
        ("box_center", ("hand_", "face_", "body_")),
        ("body_places", ("box_net", "hand_", "face_", "body_regressor")),
    ],
)
def test_what_does_not_learn_from_what(loss, blind):
    torch.manual_seed(0)
    model = OSX(SMALL)
    getattr(model(images()), loss).square().mul(torch.rand(1)).sum().backward()
    taught = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(name.startswith("encoder.blocks") for name in taught)
    assert not [name for name in taught if name.startswith(blind)]


def test_a_mirrored_left_hand_is_a_right_hand():
    vectors = torch.randn(4, 3) * 0.5
    found = axis_angle(mirrored(rotation_matrix(vectors)))
    torch.testing.assert_close(found, mirrored_axis_angle(vectors), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("input_size", "farthest"), [((256, 192), 56.38), ((128, 96), 112.76)])
def test_camera_starts_half_way(input_size, farthest):
    found = camera_translation(torch.tensor([[0.1, -0.2, 0.0]]), input_size)
    torch.testing.assert_close(found, torch.tensor([[0.1, -0.2, farthest / 2]]), atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("shape", "boxes", "message"),
    [
        ((2, 64, 48), None, r"images: expected \[B, 3, H, W\]"),
        ((2, 1, 64, 48), None, r"images: expected \[B, 3, H, W\]"),
        ((2, 3, 64, 48), (2, 4), r"boxes: expected \(2, 3, 4\)"),
    ],
)
def test_wrong_input_is_refused(shape, boxes, message):
    with pytest.raises(ValueError, match=message):
        OSX(SMALL)(torch.rand(shape), None if boxes is None else torch.rand(boxes))
