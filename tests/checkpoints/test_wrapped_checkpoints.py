"""Official weights as people keep them: wrapped, averaged, in parts, of other keypoints, of other models."""

import re

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.official_vitpose import random_vitpose, reference_features, reference_heatmaps

from pctlib.checkpoints import load_official, read_official
from pctlib.checkpoints.reading import read_checkpoint
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.vit import ViT
from pctlib.skeleton_files import make_skeleton
from pctlib.skeletons import COCO, MPII

SIZES = {"input_size": (64, 48), "num_heads": 2}


def rtmpose(num_keypoints=17, seed=0):
    """Return the state of a small RTMPose under the official names."""
    torch.manual_seed(seed)
    backbone = CSPNeXt(0.167, 0.0625)
    head = RTMCC(backbone.channels[-1], range(num_keypoints), input_size=(64, 32), hidden_dim=16, key_dim=8)
    model = PoseEstimator(backbone, head)
    return {name.removeprefix("representation."): value for name, value in model.state_dict().items()}


def mmpose_names(state):
    """Return a ViTPose of the authors under the names of mmpose 1.x, its shared position added to all."""
    rules = [
        (r"keypoint_head\.", "head."),
        (r"blocks\.(\d+)\.norm1", r"layers.\1.ln1"),
        (r"blocks\.(\d+)\.norm2", r"layers.\1.ln2"),
        (r"blocks\.(\d+)\.mlp\.fc1", r"layers.\1.ffn.layers.0.0"),
        (r"blocks\.(\d+)\.mlp\.fc2", r"layers.\1.ffn.layers.1"),
        (r"blocks\.", "layers."),
        (r"patch_embed\.proj\.", "patch_embed.projection."),
        (r"backbone\.last_norm", "backbone.ln1"),
    ]
    renamed = {}
    for name, value in state.items():
        for pattern, theirs in rules:
            name = re.sub(pattern, theirs, name)
        renamed[name] = value
    positions = renamed["backbone.pos_embed"]
    renamed["backbone.pos_embed"] = positions[:, 1:] + positions[:, :1]
    return renamed


def save(tmp_path, content, name="model.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def renamed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def weights_of(model):
    return {name.removeprefix("representation."): value for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: renamed(s, "module."),
        lambda s: renamed(s, "_orig_mod."),
        lambda s: renamed(s, "model."),
        lambda s: renamed(s, "module._orig_mod.model."),
        lambda s: {name.replace("backbone.", "backbone._orig_mod.", 1): value for name, value in s.items()},
        lambda s: {"net": s},
        lambda s: {"model_state_dict": renamed(s, "module."), "optimizer": {"lr": 0.1}},
        lambda s: {"model": {"state_dict": s}, "epoch": 3},
        lambda s: {"state_dict": {**renamed(s, "pose_model."), "loss.weight": torch.ones(2)}},
    ],
    ids=["ddp", "compiled", "lightning", "all", "inside", "net", "msd", "nested", "beside"],
)
def test_wrappers_around_a_file_change_nothing_of_the_model(tmp_path, wrap):
    state = rtmpose()
    model = load_official(save(tmp_path, wrap(state)))
    assert all(torch.equal(value, state[name]) for name, value in weights_of(model).items())


def test_wrapped_safetensors_are_read(tmp_path):
    state = rtmpose()
    safetensors.torch.save_file(renamed(state, "module."), tmp_path / "model.safetensors")
    model = load_official(tmp_path / "model.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in weights_of(model).items())


@pytest.mark.parametrize("place", ["ema_state_dict", "state_dict_ema", "model_ema", "ema"])
def test_averaged_weights_alone_are_read_and_said(tmp_path, place, caplog):
    state = rtmpose()
    averaged = {**renamed(state, "module."), "steps": torch.tensor(5)}
    model = load_official(save(tmp_path, {place: averaged, "epoch": 3}))
    assert all(torch.equal(value, state[name]) for name, value in weights_of(model).items())
    assert f"model.pth: it holds averaged weights alone (under '{place}'); they are read" in caplog.text


def test_plain_weights_go_before_averaged_ones(tmp_path, caplog):
    plain, averaged = rtmpose(seed=1), rtmpose(seed=2)
    model = load_official(save(tmp_path, {"ema_state_dict": averaged, "state_dict": plain}))
    assert all(torch.equal(value, plain[name]) for name, value in weights_of(model).items())
    assert "averaged" not in caplog.text


def test_names_that_fall_together_are_refused(tmp_path):
    state = rtmpose() | renamed(rtmpose(), "module.")
    with pytest.raises(ValueError, match=r"model\.pth: two tensors are called 'backbone\.stem"):
        load_official(save(tmp_path, state))


def test_several_models_in_a_file_are_named(tmp_path):
    state = renamed(rtmpose(), "first.") | renamed(rtmpose(), "second.")
    with pytest.raises(ValueError, match=r"model\.pth: holds several models, under 'first\.', 'second\.'"):
        load_official(save(tmp_path, state))


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_vitpose_of_mmpose_1_gives_what_the_formulas_give(tmp_path, decoder):
    state = random_vitpose(decoder=decoder)
    path = save(tmp_path, {"state_dict": mmpose_names(state), "meta": {"epoch": 210}})
    model = load_official(path, **SIZES)
    images = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        heatmaps = model(images).heatmaps
    expected = reference_heatmaps(state, reference_features(state, images, heads=2))
    torch.testing.assert_close(heatmaps, expected, rtol=1e-4, atol=1e-5)
    assert model.representation.coding.kind == "udp"


def test_vitpose_of_mmpose_1_names_what_does_not_fit(tmp_path):
    state = mmpose_names(random_vitpose())
    for change, message in (
        ({"backbone.layers.0.attn.gamma1.weight": torch.ones(24)}, "unexpected name .*gamma1"),
        ({"backbone.layers.1.ffn.layers.1.bias": None}, r"missing: backbone\.blocks\.1\.mlp\.fc2\.bias"),
    ):
        changed = {name: value for name, value in (state | change).items() if value is not None}
        with pytest.raises(ValueError, match=rf"model\.pth: .*{message}"):
            load_official(save(tmp_path, changed), **SIZES)


ANIMAL = ["L_Eye", "R_Eye", "Nose", "Neck", "Root of tail", *(f"{s}_{j}" for s in "LR" for j in "abcdef")]
META = {
    "dataset_name": "ap10k",
    "num_keypoints": 17,
    "keypoint_id2name": dict(enumerate(ANIMAL)),
    "flip_indices": [1, 0, 2, 3, 4, 11, 12, 13, 14, 15, 16, 5, 6, 7, 8, 9, 10],
    "skeleton_links": [(0, 1), (0, 2)],
    "sigmas": np.linspace(0.025, 0.105, 17, dtype=np.float32),
    "keypoint_colors": np.zeros((17, 3), np.uint8),
}


def test_keypoints_are_those_that_the_file_describes(tmp_path, caplog):
    path = save(tmp_path, {"state_dict": rtmpose(), "meta": {"dataset_meta": META}})
    model, skeleton = read_official(path)
    assert skeleton.name == "ap10k"
    assert skeleton.keypoint_names == tuple(ANIMAL)
    assert skeleton.limbs == ((0, 1), (0, 2))
    assert skeleton.flip_permutation == tuple(META["flip_indices"])
    np.testing.assert_array_equal(np.float32(skeleton.sigmas), META["sigmas"])
    assert model.representation.flip_index.tolist() == META["flip_indices"]
    assert not caplog.text


def test_a_description_of_a_benchmark_gives_its_own_skeleton(tmp_path):
    meta = {"dataset_name": "coco", "keypoint_id2name": dict(enumerate(COCO.keypoint_names))}
    path = save(tmp_path, {"state_dict": rtmpose(), "meta": {"dataset_meta": meta}})
    assert read_official(path).skeleton is COCO


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoint_id2name": {0: "a"}}, "the model gives 17 keypoints, skeleton 'ap10k' has 1"),
        ({"keypoint_id2name": {1: "a"}}, r"dataset_meta: keypoint_id2name: expected a name for each"),
        ({"flip_indices": [0] * 17}, r"dataset_meta: flip_indices: expected each of 0\.\.16 once"),
        ({"sigmas": [0.1]}, "dataset_meta: .*sigmas has 1 values"),
        ({"skeleton_links": [(0, 99)]}, r"dataset_meta: limbs\[0\]"),
    ],
)
def test_a_wrong_description_is_named(tmp_path, change, message):
    meta = META | change
    if len(meta["keypoint_id2name"]) == 1:
        meta = {"dataset_name": "ap10k", "keypoint_id2name": meta["keypoint_id2name"]}
    path = save(tmp_path, {"state_dict": rtmpose(), "meta": {"dataset_meta": meta}})
    with pytest.raises(ValueError, match=rf"model\.pth: .*{message}"):
        read_official(path)


def test_without_a_description_the_assumption_is_said(tmp_path, caplog):
    assert read_official(save(tmp_path, rtmpose())).skeleton is COCO
    assert "model.pth: the file does not say which keypoints it gives; 17 are taken for coco" in caplog.text


def test_a_given_skeleton_counts_most(tmp_path, caplog):
    path = save(tmp_path, {"state_dict": rtmpose(21), "meta": {"dataset_meta": None}})
    with pytest.raises(ValueError, match=r"model\.pth: no known skeleton has 21 keypoints.*give a skeleton"):
        read_official(path)
    hand = make_skeleton("hand", [f"left_{i}" for i in range(10)] + [f"right_{i}" for i in range(10)] + ["w"])
    model, skeleton = read_official(path, skeleton=hand)
    assert skeleton is hand
    assert model.representation.flip_index.tolist() == [*range(10, 20), *range(10), 20]
    with pytest.raises(ValueError, match="the model gives 21 keypoints, skeleton 'mpii' has 16"):
        read_official(path, skeleton=MPII)
    assert not caplog.text


def test_a_skeleton_is_taken_by_every_family(tmp_path):
    own = make_skeleton("own", [f"{side}_{i}" for side in ("left", "right") for i in range(8)] + ["nose"])
    for state, options in (
        (random_vitpose(), SIZES),
        (mmpose_names(random_vitpose()), SIZES),
        (rtmpose(), {}),
    ):
        model, skeleton = read_official(save(tmp_path, state), skeleton=own, **options)
        assert skeleton is own
        assert model.representation.flip_index.tolist() == list(own.flip_permutation)


def test_backbones_alone_are_named_with_their_use(tmp_path):
    vit = {k: v for k, v in random_vitpose(dim=24, depth=3).items() if k.startswith("backbone.")}
    cases = {
        "a vision transformer of 3 blocks and 24 channels": vit,
        "CSPNeXt, as in RTMPose": {k: v for k, v in rtmpose().items() if k.startswith("backbone.")},
    }
    for meaning, state in cases.items():
        for content in (state, {k.removeprefix("backbone."): v for k, v in state.items()}):
            with pytest.raises(
                ValueError, match=rf"model\.pth: a backbone alone \({meaning}\).*initial_weights"
            ):
                load_official(save(tmp_path, content))


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        (["backbone.stem.conv.conv.weight", "head.dcc.gau.uv.weight"], "RTMO of mmpose"),
        (["backbone.stage4.0.branches.0.0.conv1.weight", "head.final_layer.weight"], "HRNet with heatmaps"),
        (["stage4.0.branches.0.0.conv1.weight", "final_layer.weight"], "HRNet with heatmaps"),
        (["backbone.layer4.0.conv1.weight", "head.deconv_layers.0.weight"], "SimpleBaseline"),
        (["backbone.stage1.0.conv.weight", "bbox_head.rtm_cls.0.weight"], "RTMDet, a detector"),
        (["backbone.encoder.layer.0.attention.attention.key.weight",
          "backbone.embeddings.patch_embeddings.projection.weight"], "give the folder, with its config.json"),
        (["representation.head.w", "backbone.w"], "give the folder of its run"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_read_are_named_with_the_list_of_those_that_can(tmp_path, names, meaning):
    state = {name: torch.ones(2) for name in names}
    with pytest.raises(
        ValueError, match=rf"model\.pth: .*{meaning}.*can be read: PCT, RTMPose, .*RTMW.*ViTPose"
    ):
        load_official(save(tmp_path, state))


def test_a_pretrained_transformer_is_still_one(tmp_path):
    size = {"blocks.0.attn.qkv.weight": (72, 24), "patch_embed.proj.weight": (24, 3, 16, 16)}
    vit = ViT  # the class of the result
    state = {k.removeprefix("backbone."): v for k, v in random_vitpose(cells=16).items()}
    state = {k: v for k, v in state.items() if not k.startswith(("last_norm", "keypoint_head"))}
    assert {k: tuple(state[k].shape) for k in size} == size
    assert isinstance(load_official(save(tmp_path, {"model": state}), input_size=(64, 48), num_heads=2), vit)


def test_recorded_arrays_are_not_built_from_odd_bytes(tmp_path):
    """An array whose bytes do not fit its shape is passed over; the sigmas are then wrong, and named."""
    meta = {"keypoint_id2name": dict(enumerate(COCO.keypoint_names)), "sigmas": np.array(["a", "b"])}
    torch.save({"state_dict": rtmpose(), "meta": {"dataset_meta": meta}}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"dataset_meta: sigmas: expected a list of numbers"):
        read_checkpoint(tmp_path / "model.pth")
