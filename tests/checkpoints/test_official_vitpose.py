"""Published ViTPose and ViTPose+ files under our names: every size, the recordings, and what is refused."""

import json

import pytest
import torch
from helpers.official_vitpose import random_vitpose, reference_features, reference_heatmaps, vitpose_shapes

from pctlib.checkpoints import load_official
from pctlib.checkpoints.keypoint_sets import KEYPOINT_SETS, PLUS_SETS, KeypointSet
from pctlib.checkpoints.vitpose import is_vitpose, load_vitpose, load_vitpose_into
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vit import SIZES
from pctlib.models.vitpose import MultiDatasetEstimator, SimpleDecoder, vitpose
from pctlib.skeletons import COCO, MPII

PUBLISHED = {
    "ViTPose-S-classic": "s",
    "ViTPose-B-classic": "b",
    "ViTPose-B-simple": "b",
    "ViTPose-L-classic": "l",
    "ViTPose-L-simple": "l",
    "ViTPose-H-classic": "h",
    "ViTPose-H-simple": "h",
    "ViTPose+-B-moe": "b",
    "ViTPose+-L-moe": "l",
}
INPUT = (64, 48)  # 12 cells
PLUS = {"K": (17, 14, 16), "experts": 3}


def official_names(model):
    """Return the state of a model of ours under the official names."""
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith("representations."):
            _, number, rest = name.split(".", 2)
            prefix = "keypoint_head" if number == "0" else f"associate_keypoint_heads.{int(number) - 1}"
            name = prefix + rest.removeprefix("head")
        state[name.replace("representation.head", "keypoint_head")] = value
    return state


def save(tmp_path, state, **beside):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": state, **beside}, path)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_model_is_built_with_its_names_and_shapes(shared, name):
    listing = json.loads((shared / "golden" / "vitpose_state_dict.json").read_text())
    assert set(listing) == set(PUBLISHED)
    size = SIZES[PUBLISHED[name]]
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in listing[name].items()}
        assert is_vitpose(state)
        model = load_vitpose(state, "published.pth")
    assert {k: list(v.shape) for k, v in official_names(model).items()} == listing[name]
    assert model.backbone.input_size == (256, 192)
    assert model.backbone.blocks[0].attn.num_heads == size.num_heads
    if "moe" in name:
        assert model.backbone.num_experts == 6
        assert model.backbone.size.part_features == size.part_features
        assert [len(r.flip_index) for r in model.representations] == [17, 14, 16, 17, 17, 133]
        codings = [r.coding.kind for r in model.representations]
        assert codings == ["udp", "standard", "udp", "standard", "standard", "standard"]
    else:
        assert isinstance(model.representation.head, SimpleDecoder) == name.endswith("simple")
        assert model.representation.coding.heatmap_size == (64, 48)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_recorded_model_is_loaded_to_its_outputs(golden, tmp_path, decoder):
    data = golden("vitpose_official")
    state = {
        name.removeprefix(f"{decoder}."): value
        for name, value in data.state.items()
        if name.startswith(("backbone.", decoder))
    }
    model = load_official(save(tmp_path, state, meta={"epoch": 210}), num_heads=data.config["heads"])
    assert not model.training
    with torch.no_grad():
        heatmaps = model(data.inputs["image"]).heatmaps
        mirrored = model(data.inputs["image"].flip(3))
    torch.testing.assert_close(heatmaps, data.outputs[f"heatmaps_{decoder}"], atol=2e-5, rtol=0)
    merged = model.representation.merge_flipped(model(data.inputs["image"]), mirrored).heatmaps
    back = data.outputs[f"flipped_back_{decoder}"]
    torch.testing.assert_close(merged, (heatmaps + back) / 2, atol=2e-5, rtol=0)


def test_recorded_experts_are_loaded_to_their_outputs(golden, tmp_path):
    data = golden("vitpose_moe_official")
    path, index = save(tmp_path, data.state), data.inputs["dataset_idx"]
    model = load_official(path, num_heads=data.config["heads"])
    with torch.no_grad():
        for number, prediction in enumerate(model(data.inputs["image"], index)):
            expected = data.outputs[f"heatmaps_head{number}"]
            torch.testing.assert_close(prediction.heatmaps, expected, atol=2e-5, rtol=0)
        for image, number in enumerate(index.tolist()):
            alone = load_official(path, num_heads=data.config["heads"], dataset_index=number)
            got = alone(data.inputs["image"][image : image + 1]).heatmaps[0]
            expected = data.outputs[f"heatmaps_head{number}"][image]
            torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_a_loaded_model_computes_the_published_function(tmp_path, decoder):
    state = random_vitpose(decoder=decoder)
    model = load_official(save(tmp_path, state), num_heads=4)
    images = torch.randn(2, 3, *INPUT)
    expected = reference_heatmaps(state, reference_features(state, images, heads=4))
    with torch.no_grad():
        got = model(images).heatmaps
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert isinstance(model, PoseEstimator)
    assert model.representation.flip_index.tolist() == list(COCO.flip_permutation)
    assert all(torch.equal(value, state[name]) for name, value in official_names(model).items())
    assert model.predict(images, flip_test=True).keypoints.shape == (2, 17, 2)
    with torch.no_grad():
        other = load_official(save(tmp_path, state), num_heads=2)(images).heatmaps
    assert not torch.allclose(other, got, atol=1e-3)


def test_several_data_sets_and_each_alone(tmp_path):
    state, images = random_vitpose(**PLUS), torch.randn(3, 3, *INPUT)
    path = save(tmp_path, state)
    model = load_official(path, num_heads=4)
    assert isinstance(model, MultiDatasetEstimator)
    for number, K in enumerate(PLUS["K"]):
        index = torch.full((3,), number)
        features = reference_features(state, images, heads=4, dataset_index=index)
        prefix = "keypoint_head." if number == 0 else f"associate_keypoint_heads.{number - 1}."
        expected = reference_heatmaps(state, features, prefix)
        alone = load_official(path, num_heads=4, dataset_index=number)
        assert isinstance(alone, PoseEstimator)
        assert not alone.training
        with torch.no_grad():
            torch.testing.assert_close(alone(images).heatmaps, expected, atol=1e-4, rtol=1e-4)
            got = model(images, index)[number].heatmaps
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
        assert alone.representation.flip_index.tolist() == list(PLUS_SETS[number].flip_permutation)
        assert alone.representation.coding.kind == PLUS_SETS[number].coding
        assert alone(images).heatmaps.shape[1] == K


def split_state(state, number, *, clean_heads):
    """Return what ViTPose's `model_split.py` writes for one data set: all experts are left over."""
    split = dict(state)
    for name in state:
        if ".mlp.fc2." in name:
            split[name] = torch.cat((state[name], state[name.replace(".fc2.", f".experts.{number}.")]))
    own = f"associate_keypoint_heads.{number - 1}."
    moved = {name: value for name, value in state.items() if number and name.startswith(own)}
    if clean_heads:
        split = {name: value for name, value in split.items() if "keypoint_heads" not in name}
    return split | {name.replace(own, "keypoint_head."): value for name, value in moved.items()}


@pytest.mark.parametrize(("number", "clean_heads"), [(0, False), (2, True)])
def test_split_files_with_leftover_experts(tmp_path, number, clean_heads):
    """For COCO the other decoders are left over too."""
    state, images = random_vitpose(**PLUS), torch.randn(2, 3, *INPUT)
    path = save(tmp_path, split_state(state, number, clean_heads=clean_heads))
    model = load_official(path, num_heads=4)
    expected = load_vitpose(state, "whole.pth", num_heads=4, dataset_index=number)
    assert isinstance(model, PoseEstimator)
    with torch.no_grad():
        torch.testing.assert_close(model(images), expected(images))
    with pytest.raises(ValueError, match=r"model\.pth: dataset_index: expected None for one data set, got 1"):
        load_official(path, num_heads=4, dataset_index=1)


def test_multi_task_files_without_experts():
    state = random_vitpose(K=(17, 14, 16)) | {"backbone.cls_token": torch.zeros(1, 1, 24)}
    model, images = load_vitpose(state, "multi.pth", num_heads=4), torch.randn(2, 3, *INPUT)
    features = reference_features(state, images, heads=4)
    expected = reference_heatmaps(state, features, "associate_keypoint_heads.1.")
    alone = load_vitpose(state, "multi.pth", num_heads=4, dataset_index=2)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[2].heatmaps, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(alone(images).heatmaps, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("K", "name"), [(16, "mpii"), (133, "coco_wholebody"), (17, "ap10k"), (14, "crowdpose")]
)
def test_keypoint_sets(K, name):
    state = random_vitpose(K=(K,), decoder="simple")
    given = None if name in ("mpii", "coco_wholebody") else [name]
    heatmap = load_vitpose(state, "x.pth", num_heads=4, keypoint_sets=given).representation
    assert heatmap.flip_index.tolist() == list(KEYPOINT_SETS[name].flip_permutation)
    assert heatmap.coding.kind == KEYPOINT_SETS[name].coding
    own = KeypointSet("mine", tuple(range(K)), "dark")
    heatmap = load_vitpose(state, "x.pth", num_heads=4, keypoint_sets=[own]).representation
    assert heatmap.flip_index.tolist() == list(range(K))
    assert heatmap.coding.kind == "dark"


def test_flips_of_the_published_sets_swap_left_and_right():
    assert KEYPOINT_SETS["mpii"].flip_permutation == MPII.flip_permutation
    for own in KEYPOINT_SETS.values():
        assert sorted(own.flip_permutation) == list(range(own.num_keypoints))
        assert all(own.flip_permutation[i] == k for k, i in enumerate(own.flip_permutation))
    aic, animals = (KEYPOINT_SETS[name].flip_permutation for name in ("aic", "apt36k"))
    assert (aic[0], aic[11], aic[13]) == (3, 8, 13)  # shoulders, ankles, neck
    assert (animals[0], animals[4], animals[7], animals[16]) == (1, 4, 10, 13)  # eyes, tail, paws


def test_input_size_is_that_of_the_positions():
    assert load_vitpose(random_vitpose(cells=48), "x.pth", num_heads=4).backbone.input_size == (128, 96)
    square = random_vitpose(cells=9)
    with pytest.raises(ValueError, match=r"x\.pth: .* for 9 cells, not 4 : 3; give input_size"):
        load_vitpose(square, "x.pth", num_heads=4)
    assert load_vitpose(square, "x.pth", num_heads=4, input_size=(48, 48)).backbone.grid_size == (3, 3)
    with pytest.raises(ValueError, match=r"backbone\.pos_embed \(1, 10, 24\), expected \(1, 13, 24\)"):
        load_vitpose(square, "x.pth", num_heads=4, input_size=INPUT)
    with pytest.raises(ValueError, match=r"x\.pth: input_size: expected multiples of 16"):
        load_vitpose(square, "x.pth", num_heads=4, input_size=(50, 48))


def test_what_does_not_fit_is_named(tmp_path):
    state = random_vitpose()
    for change, message in (
        ({"backbone.blocks.1.attn.qkv.bias": None}, r"missing: backbone\.blocks\.1\.attn\.qkv\.bias"),
        ({"backbone.blocks.1.extra": torch.zeros(1)}, r"unexpected: backbone\.blocks\.1\.extra"),
        ({"neck.weight": torch.zeros(1)}, r"unexpected names .*: neck\.weight"),
        (
            {"backbone.blocks.0.mlp.fc1.weight": torch.zeros(96, 25)},
            r"blocks\.0\.mlp\.fc1\.weight \(96, 25\), expected \(96, 24\)",
        ),
        (
            {"keypoint_head.deconv_layers.3.weight": None},
            r"missing 'keypoint_head\.deconv_layers\.3\.weight'",
        ),
        ({"keypoint_head.deconv_layers.6.weight": torch.zeros(1)}, r"unexpected: keypoint_head\.deconv"),
        ({"backbone.patch_embed.proj.weight": None}, r"missing 'backbone\.patch_embed\.proj\.weight'"),
    ):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        with pytest.raises(ValueError, match=r"model\.pth: .*" + message):
            load_official(save(tmp_path, changed), num_heads=4)
    path = save(tmp_path, state)
    with pytest.raises(ValueError, match=r"model\.pth: no published model has 24 channels; give num_heads"):
        load_official(path)
    with pytest.raises(ValueError, match=r"model\.pth: .*channels that the heads divide"):
        load_official(path, num_heads=5)
    with pytest.raises(ValueError, match=r"model\.pth: dataset_index: expected None .* got 0"):
        load_official(path, num_heads=4, dataset_index=0)


def test_wrong_numbers_of_keypoints_and_decoders_are_named():
    with pytest.raises(ValueError, match=r"x\.pth: .*\[14\] keypoints .*'aic'.*'crowdpose'.*got \[\]"):
        load_vitpose(random_vitpose(K=(14,)), "x.pth", num_heads=4)
    with pytest.raises(ValueError, match=r"decoder 0 gives 17 keypoints, keypoint set 'mpii' has 16"):
        load_vitpose(random_vitpose(), "x.pth", num_heads=4, keypoint_sets=["mpii"])
    with pytest.raises(ValueError, match=r"decoder 1 gives 16 keypoints, keypoint set 'aic' has 14"):
        load_vitpose(random_vitpose(K=(17, 16), experts=2), "x.pth", num_heads=4)
    with pytest.raises(ValueError, match=r"keypoint_sets: .*got \['hands'\]"):
        load_vitpose(random_vitpose(), "x.pth", num_heads=4, keypoint_sets=["hands"])
    with pytest.raises(ValueError, match=r"x\.pth: representations: .*each of 3 experts, got 2"):
        load_vitpose(random_vitpose(K=(17, 14), experts=3), "x.pth", num_heads=4)
    for number in (3, -1):
        with pytest.raises(ValueError, match=rf"x\.pth: dataset_index: expected 0 to 2, got {number}"):
            load_vitpose(random_vitpose(**PLUS), "x.pth", num_heads=4, dataset_index=number)


def test_loading_into_a_model_of_another_size_or_decoder_is_refused():
    def published(size, decoder):
        width = SIZES[size].channels
        sizes = {"dim": width, "depth": SIZES[size].depth, "cells": 192, "width": 256, "decoder": decoder}
        return {name: torch.empty(shape) for name, shape in vitpose_shapes(**sizes).items()}

    with torch.device("meta"):
        model = vitpose("s", COCO.flip_permutation)
        load_vitpose_into(model, published("s", "classic"), "s.pth")
        with pytest.raises(ValueError, match=r"b\.pth: .*other shape: backbone\.pos_embed \(1, 193, 768\)"):
            load_vitpose_into(model, published("b", "classic"), "b.pth")
        with pytest.raises(ValueError, match=r"simple\.pth: .*missing: keypoint_head\.deconv_layers\.0"):
            load_vitpose_into(model, published("s", "simple"), "simple.pth")
        other = vitpose("s", MPII.flip_permutation)
        with pytest.raises(ValueError, match=r"final_layer\.weight \(17, 256, 1, 1\), expected \(16, 256"):
            load_vitpose_into(other, published("s", "classic"), "s.pth")
        plus = {"keypoint_head.final_layer.weight": torch.empty(1), "associate_keypoint_heads.0.x": None}
        with pytest.raises(ValueError, match=r"plus\.pth: expected 1 decoders, got 2"):
            load_vitpose_into(model, plus, "plus.pth")


def test_loaded_values_are_those_of_the_file():
    state = random_vitpose(**PLUS)
    target = load_vitpose(random_vitpose(seed=1, **PLUS), "other.pth", num_heads=4)
    load_vitpose_into(target, state, "x.pth")
    assert all(torch.equal(value, state[name]) for name, value in official_names(target).items())
