"""Published OSX files under our names: every variant, what never runs, older names, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.official_vitpose import random_vitpose, reference_features
from helpers.osx import SMALL

from pctlib.checkpoints import load_official
from pctlib.checkpoints.osx import _SILENT, _names, is_osx, load_encoder, load_osx, variant_of
from pctlib.models.osx.network import OSX
from pctlib.models.osx.size import PUBLISHED
from pctlib.models.vit import ViTSize

LISTED = {"normal": "full", "wo_face_decoder": "wo_face_decoder", "wo_decoder": "wo_decoder"}
MILLIONS = {("l", "normal"): 369.9, ("l", "wo_face_decoder"): 341.8, ("l", "wo_decoder"): 326.7}
MILLIONS |= {("b", "normal"): 133.1, ("b", "wo_face_decoder"): 114.1, ("b", "wo_decoder"): 102.9}
SIZE = replace(SMALL, vit=ViTSize(16, 2, 2), decoder=replace(SMALL.decoder, width=32, groups=32))
NEVER_RUN = {
    "face_decoder.backbone.conv1.weight": torch.zeros(64, 3, 7, 7),
    "face_decoder.backbone.bn1.running_mean": torch.zeros(64),
    "face_decoder.backbone.layer3.5.downsample.1.num_batches_tracked": torch.tensor(3),
    "face_decoder.backbone.layer1.0.conv2.weight": torch.zeros(64, 64, 3, 3),
    "face_decoder.backbone.fc.bias": torch.zeros(1000),
    "hand_decoder.keypoint_head.dec_flow3d.s.0.2.bias": torch.zeros(3),
    "hand_decoder.keypoint_head.transformer.pos_trans.weight": torch.zeros(4, 4),
}


def official_names(model):
    """Return the state of a model of ours under the official names."""
    names = _names(model.variant)
    state = {}
    for name, value in model.state_dict().items():
        official = names.to_official(name)
        state[official] = value.flatten(0, 1) if official.endswith("value_proj_weight.weight") else value
    return state


@pytest.fixture
def trained():
    torch.manual_seed(2)
    model = OSX(SIZE).eval()
    return model, official_names(model)


def save(tmp_path, state):
    path = tmp_path / "osx_l.pth.tar"
    network = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 13, "network": network, "optimizer": {"state": {}}}, path)
    return path


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("listed", LISTED)
def test_every_published_variant_is_built_with_its_names_and_shapes(shared, size, listed):
    listing = json.loads((shared / "golden" / "osx_state_dict.json").read_text())
    shapes = listing[f"osx_{size}_{listed}"]
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        silent = listing["unused_in_forward_osx_l_normal"] if listed == "normal" else {}
        beside = {f"module.{name}": torch.empty(shape) for name, shape in silent.items()}
        model = load_osx(state | beside, "published.pth.tar")
    assert model.variant == LISTED[listed] == variant_of(state)
    published = PUBLISHED[size]
    assert model.size == replace(published, vit=model.size.vit)  # stochastic depth is no part of a file
    for what in ("channels", "depth", "num_heads"):
        assert getattr(model.size.vit, what) == getattr(published.vit, what)
    assert {name: list(value.shape) for name, value in official_names(model).items()} == shapes
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert parameters == pytest.approx(MILLIONS[size, listed], abs=0.06)


def test_exactly_the_silent_names_are_passed_over(shared):
    listing = json.loads((shared / "golden" / "osx_state_dict.json").read_text())
    silent = listing["unused_in_forward_osx_l_normal"]
    assert len(silent) == 816
    assert all(_SILENT.fullmatch(name) for name in silent)
    assert not [name for name in listing["osx_l_normal"] if _SILENT.fullmatch(name)]


def test_a_published_file_in_its_wrapper_gives_the_same_poses(tmp_path, trained):
    model, state = trained
    loaded = load_official(save(tmp_path, state | NEVER_RUN), num_heads=2)
    images = torch.rand(2, 3, 64, 48)
    assert isinstance(loaded, OSX)
    assert not loaded.training
    assert loaded.size == replace(SIZE, decoder=replace(SIZE.decoder, dropout=0.1))
    assert torch.equal(loaded(images).rotations(), model(images).rotations())


def test_older_names_are_the_same_model(tmp_path, trained):
    model, state = trained
    renamed = {
        name.replace("encoder.", "backbone.", 1)
        .replace("body_regressor.", "body_rotation_net.")
        .replace("hand_regressor.", "hand_rotation_net."): value
        for name, value in state.items()
    }
    assert set(renamed) != set(state)
    assert is_osx(renamed)
    loaded = load_official(save(tmp_path, renamed), num_heads=2)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"hand_decoder.keypoint_head.surprise": torch.zeros(1)}, "surprise"),
        (lambda s: {n: v for n, v in s.items() if n != "body_regressor.cam_out.0.bias"}, "cam_out.0.bias"),
        (lambda s: {n: v for n, v in s.items() if n != "encoder.pos_embed"}, "missing 'encoder.pos_embed'"),
        (lambda s: s | {"encoder.pos_embed": torch.zeros(1, 14, 16)}, "13 cells, not 4 : 3"),
        (lambda s: s | {"body_regressor.shape_out.0.bias": torch.zeros(11)}, "shape_out.0.bias"),
        (lambda s: {n: v for n, v in s.items() if not n.startswith("face_decoder.")}, "face_roi_net"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(tmp_path, trained, change, message):
    path = save(tmp_path, change(trained[1]))
    with pytest.raises(ValueError, match=message) as refused:
        load_official(path, num_heads=2)
    assert str(path) in str(refused.value)


def test_the_encoder_starts_from_vitpose(tmp_path):
    torch.manual_seed(1)
    model = OSX(SIZE)
    tokens = model.encoder.task_tokens.clone()
    state = random_vitpose(dim=16, depth=2, cells=12)
    torch.save({"state_dict": state}, tmp_path / "osx_vit_b.pth")
    load_encoder(model, tmp_path / "osx_vit_b.pth")
    images = torch.rand(2, 3, 64, 48)
    assert torch.equal(model.encoder.task_tokens, tokens)
    found = model.encoder.encode(model.encoder.embed(images))
    expected = reference_features(state, images, heads=2)
    torch.testing.assert_close(found.mT.unflatten(2, (4, 3)), expected, atol=1e-5, rtol=0)
    torch.save({"state_dict": random_vitpose(dim=24, depth=2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth"):
        load_encoder(model, tmp_path / "other.pth")
