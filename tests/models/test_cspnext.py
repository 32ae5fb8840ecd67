import json

import pytest
import torch

from pctlib.models.cspnext import FACTORS, CSPNeXt


@pytest.fixture
def official(golden):
    data = golden("cspnext")
    config = data.config["backbone"]
    model = CSPNeXt(config["deepen_factor"], config["widen_factor"])
    model.load_state_dict(data.state)
    return model, data


def test_maps_in_evaluation_equal_the_official_ones(official):
    model, data = official
    maps = model.eval()(data.inputs["img"])
    for name, got in zip(("stem", "stage1", "stage2", "stage3", "stage4"), maps, strict=True):
        torch.testing.assert_close(got, data.outputs[name], rtol=1e-4, atol=1e-5, msg=name)
    assert sum(p.numel() for p in model.parameters()) == data.config["params"]


def test_map_and_running_statistics_in_training_equal_the_official_ones(official):
    model, data = official
    last = model.train()(data.inputs["img"])[-1]
    torch.testing.assert_close(last, data.outputs["train_stage4"], rtol=1e-4, atol=1e-4)
    for name in ("mean", "var"):
        got = getattr(model.stem[0].bn, f"running_{name}")
        torch.testing.assert_close(got, data.outputs[f"train_running_{name}_stem0"], rtol=1e-5, atol=1e-6)


def test_the_other_epsilon_equals_the_official_result_with_it(official, golden):
    _, data = official
    config = data.config["backbone"]
    model = CSPNeXt(config["deepen_factor"], config["widen_factor"], norm_eps=1e-3)
    model.load_state_dict(data.state)
    last = model.eval()(data.inputs["img"])[-1]
    torch.testing.assert_close(last, data.outputs["stage4_bn_eps1e-3"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "name"),
    [("t", "DWPose-t"), ("s", "DWPose-s"), ("m", "DWPose-m"), ("l", "RTMPose-l"), ("x", "RTMPose-x")],
)
def test_sizes_have_the_published_names_shapes_and_parameter_counts(shared, size, name):
    listing = json.loads((shared / "golden" / "rtmpose_state_dict.json").read_text())
    entry = next(value for key, value in listing.items() if key.startswith(name))
    with torch.device("meta"):
        model = CSPNeXt.of_size(size)
    prefix = "backbone."
    expected = {k[len(prefix) :]: tuple(v) for k, v in entry["state_dict"].items() if k.startswith(prefix)}
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == expected
    assert sum(p.numel() for p in model.parameters()) == entry["params_backbone"]


def test_published_sizes_without_the_reference_file():
    counts = {"t": 2_348_700, "s": 4_378_320, "m": 12_279_432, "l": 26_138_912, "x": 47_569_560}
    assert list(FACTORS) == list(counts)
    with torch.device("meta"):
        got = {size: sum(p.numel() for p in CSPNeXt.of_size(size).parameters()) for size in FACTORS}
    assert got == counts


def test_axes_strides_and_gradient_of_every_parameter():
    torch.manual_seed(0)
    model = CSPNeXt(0.4, 0.0625)
    images = torch.randn(2, 3, 64, 96)
    maps = model(images)
    assert [m.shape[1] for m in maps] == model.channels == [4, 8, 16, 32, 64]
    assert [(64 // m.shape[2], 96 // m.shape[3]) for m in maps] == [(s, s) for s in model.strides]
    assert [len(stage[-1].blocks) for stage in (model.stage1, model.stage2, model.stage4)] == [1, 2, 1]
    maps[-1].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_only_the_last_stage_has_no_identity_and_norms_take_their_epsilon():
    model = CSPNeXt(0.167, 0.0625, norm_eps=0.5)
    stages = (model.stage1, model.stage2, model.stage3, model.stage4)
    assert [stage[-1].blocks[0].shortcut for stage in stages] == [True, True, True, False]
    assert {m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.5}


def test_fewer_stages_are_the_first_ones():
    torch.manual_seed(0)
    whole, short = CSPNeXt(0.167, 0.0625).eval(), CSPNeXt(0.167, 0.0625, stages=3).eval()
    short.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("stage4")})
    images = torch.randn(2, 3, 32, 64)
    maps = short(images)
    assert (short.channels, short.strides) == (whole.channels[:4], [2, 4, 8, 16])
    for mine, theirs in zip(maps, whole(images)[:4], strict=True):
        torch.testing.assert_close(mine, theirs)


def test_one_image_equals_the_same_image_in_a_batch():
    torch.manual_seed(0)
    model = CSPNeXt(0.167, 0.0625).eval()
    images = torch.randn(3, 3, 32, 64)
    torch.testing.assert_close(model(images)[-1][1:2], model(images[1:2])[-1], rtol=1e-4, atol=1e-6)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="'xl'"):
        CSPNeXt.of_size("xl")
    with pytest.raises(ValueError, match=r"got 1\.0 and 0\.01"):
        CSPNeXt(1.0, 0.01)
    with pytest.raises(ValueError, match="depth > 0"):
        CSPNeXt(0.0, 1.0)
    with pytest.raises(ValueError, match="stages: expected 1 to 4, got 5"):
        CSPNeXt(1.0, 1.0, stages=5)
