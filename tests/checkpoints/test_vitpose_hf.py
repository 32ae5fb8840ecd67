"""Hugging Face folders of ViTPose, read and written: the recordings, and transformers' own model."""

import json

import pytest
import torch
from helpers.official_vitpose import random_vitpose
from safetensors.torch import load_file, save_file

from pctlib.checkpoints import load_official
from pctlib.checkpoints.vitpose import load_vitpose
from pctlib.checkpoints.vitpose_hf import load_vitpose_hf, save_vitpose_hf
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vitpose import MultiDatasetEstimator, vitpose_heatmap
from pctlib.skeletons import COCO

CASES = ["simple", "classic", "plus_simple", "plus_classic"]
INPUT = (64, 48)
CONFIG = {
    "model_type": "vitpose",
    "backbone_config": {
        "model_type": "vitpose_backbone",
        "image_size": [*INPUT],
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "out_features": ["stage2"],
    },
    "id2label": {str(k): f"LABEL_{k}" for k in range(17)},
}


def ours(*, decoder="simple", experts=0, seed=0):
    """Return a model of ours with random weights: one decoder, with or without experts."""
    sizes = {"decoder": decoder, "width": 256, "experts": experts}
    return load_vitpose(random_vitpose(seed, **sizes), "x.pth", num_heads=4)


def write_folder(folder, config, state):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    return folder


def with_backbone(**values):
    return CONFIG | {"backbone_config": CONFIG["backbone_config"] | values}


@pytest.fixture
def folder(tmp_path):
    """Return a folder of a simple model, its configuration as short as published ones are."""
    save_vitpose_hf(ours(), tmp_path / "written")
    state = load_file(tmp_path / "written" / "model.safetensors")
    return write_folder(tmp_path / "short", CONFIG, state)


@pytest.mark.parametrize("case", CASES)
def test_recorded_model_is_loaded_to_its_outputs(golden, tmp_path, case):
    data = golden(f"vitpose_hf_{case}")
    c = data.config
    backbone = {
        "image_size": c["image_size"],
        "hidden_size": c["hidden_size"],
        "num_hidden_layers": c["num_hidden_layers"],
        "num_attention_heads": c["num_attention_heads"],
        "num_experts": c["num_experts"],
        "part_features": c["part_features"],
    }
    config = {
        "model_type": "vitpose",
        "backbone_config": backbone,
        "id2label": dict.fromkeys(map(str, range(c["num_labels"])), ""),
        "use_simple_decoder": bool(c["use_simple_decoder"]),
    }
    path = write_folder(tmp_path, config, data.state)
    model, images = load_official(path), data.inputs["image"]
    assert model.backbone.last_norm.eps == c["layer_norm_eps"]
    index = data.inputs.get("dataset_index")
    with torch.no_grad():
        features = model.backbone(images, index)[0]
        heatmap = model.representations[0] if index is not None else model.representation
        upright, mirrored = heatmap([features]), heatmap(model.backbone(images.flip(3), index))
    expected = data.outputs["features_tokens"].mT.reshape(features.shape)
    torch.testing.assert_close(features, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(upright.heatmaps, data.outputs["heatmaps"], atol=2e-5, rtol=0)
    merged = heatmap.merge_flipped(upright, mirrored).heatmaps
    both = data.outputs["heatmaps"] + data.outputs["heatmaps_flipped_back"]
    torch.testing.assert_close(merged, both / 2, atol=2e-5, rtol=0)
    if index is not None:
        for image, number in enumerate(index.tolist()):
            alone = load_official(path, dataset_index=number)
            with torch.no_grad():
                got = alone(images[image : image + 1]).heatmaps[0]
            torch.testing.assert_close(got, data.outputs["heatmaps"][image], atol=2e-5, rtol=0)


@pytest.mark.parametrize("decoder", ["simple", "classic"])
@pytest.mark.parametrize("experts", [0, 3])
def test_a_written_folder_is_read_back_entry_by_entry(tmp_path, decoder, experts):
    model = ours(decoder=decoder, experts=experts)
    assert save_vitpose_hf(model, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    back = load_official(tmp_path / "a" / "b")
    assert type(back) is type(model)
    assert not back.training
    assert back.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())
    assert back.backbone.last_norm.eps == model.backbone.last_norm.eps == 1e-6
    images = torch.randn(2, 3, *INPUT)
    if experts:
        alone = load_vitpose_hf(tmp_path / "a" / "b", dataset_index=2)
        with torch.no_grad():
            expected = model(images, torch.tensor([2, 2]))[0].heatmaps
            torch.testing.assert_close(alone(images).heatmaps, expected, atol=1e-5, rtol=1e-5)
    else:
        flips = back.representation.flip_index.tolist()
        assert flips == list(COCO.flip_permutation)
        assert back.representation.coding.input_size == INPUT


def their_model(transformers, *, simple, experts):
    """Return transformers' own model with random weights."""
    backbone = transformers.VitPoseBackboneConfig(
        image_size=INPUT,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_experts=experts or 1,
        part_features=8,
        out_indices=[2],
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, use_simple_decoder=simple, num_labels=17)
    model = transformers.VitPoseForPoseEstimation(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(std=0.2, generator=generator)
    return model


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("experts", [0, 3])
def test_both_ways_with_transformers(tmp_path, simple, experts):
    """What transformers saves is loaded here, what is saved here transformers loads, with equal outputs."""
    transformers = pytest.importorskip("transformers")
    theirs = their_model(transformers, simple=simple, experts=experts)
    theirs.save_pretrained(tmp_path / "theirs")
    model = load_official(tmp_path / "theirs")
    images = torch.randn(3, 3, *INPUT, generator=torch.Generator().manual_seed(6))
    index = torch.tensor([2, 0, 2]) if experts else None
    assert isinstance(model, MultiDatasetEstimator if experts else PoseEstimator)
    with torch.no_grad():
        expected = theirs(images, dataset_index=index).heatmaps
        got = model(images, index)[0].heatmaps if experts else model(images).heatmaps
    torch.testing.assert_close(got, expected, atol=1e-5 * expected.abs().max().item(), rtol=0)

    save_vitpose_hf(model, tmp_path / "ours", keypoint_names=COCO.keypoint_names)
    back, info = transformers.VitPoseForPoseEstimation.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(info.values()), info
    assert back.config.id2label[9] == "left_wrist"
    with torch.no_grad():
        again = back.eval()(images, dataset_index=index).heatmaps
    torch.testing.assert_close(again, expected)


def test_the_image_processor_of_a_written_folder_makes_crops_of_the_input_size(tmp_path):
    transformers = pytest.importorskip("transformers")
    save_vitpose_hf(ours(), tmp_path)
    processor = transformers.VitPoseImageProcessor.from_pretrained(tmp_path)
    image = torch.randint(256, (3, 70, 90), dtype=torch.uint8)
    pixels = processor(image, boxes=[[[10.0, 5.0, 40.0, 60.0]]], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, *INPUT)


def test_a_short_configuration_means_the_defaults(folder):
    model = load_official(folder)
    assert model.backbone.last_norm.eps == 1e-12
    assert model.backbone.num_experts == 0
    assert all(torch.equal(v, ours().state_dict()[k]) for k, v in model.state_dict().items())
    mine = load_vitpose_hf(folder, keypoint_sets=["ap10k"])
    assert mine.representation.shift_flipped
    assert mine.representation.flip_index.tolist()[:3] == [1, 0, 2]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CONFIG | {"model_type": "vit"}, "expected model_type 'vitpose' and a 'backbone_config'"),
        ({"model_type": "vitpose"}, "expected model_type 'vitpose' and a 'backbone_config'"),
        ([], "expected model_type"),
        (CONFIG | {"scale_factor": 2}, "scale_factor: expected 4, got 2"),
        (with_backbone(patch_size=14), r"backbone_config\.patch_size: expected \(16, 16\), got \(14, 14\)"),
        (with_backbone(hidden_act="relu"), r"backbone_config\.hidden_act: expected gelu, got relu"),
        (with_backbone(out_features=["stage1"]), r"out_features: expected stage2, got \('stage1',\)"),
        (with_backbone(hidden_size="24"), r"backbone_config\.hidden_size: expected such as 768, got '24'"),
        (with_backbone(num_attention_heads=5), "channels that the heads divide"),
        (with_backbone(image_size=[64, 50]), "multiples of 16"),
        (
            with_backbone(hidden_size=32),
            r"other shape: backbone\.embeddings\.position_embeddings \(1, 13, 24\)",
        ),
        (
            with_backbone(num_hidden_layers=1, out_features=["stage1"]),
            r"unexpected: backbone\.encoder\.layer\.1",
        ),
        (with_backbone(image_size=[64, 64]), r"position_embeddings \(1, 13, 24\), expected \(1, 17, 24\)"),
        (with_backbone(num_experts=2, part_features=8), r"missing: .*layer\.0\.mlp\.experts\.0\.weight"),
        (CONFIG | {"use_simple_decoder": False}, r"missing: head\.deconv1\.weight"),
        (
            CONFIG | {"id2label": {str(k): "" for k in range(16)}},
            r"head\.conv\.weight \(17, 24, 3, 3\), expected \(16, 24, 3, 3\)",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(folder, config, message):
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message) as error:
        load_official(folder)
    assert str(folder) in str(error.value)


def test_weights_that_do_not_fit_are_named(folder):
    state = load_file(folder / "model.safetensors")
    key = "backbone.encoder.layer.1.attention.attention.key.bias"
    for change, message in (
        ({key: None}, rf"model\.safetensors: missing {key}"),
        ({"classifier.weight": torch.zeros(1)}, r"model\.safetensors: unexpected names .*classifier\.weight"),
        ({"head.extra": torch.zeros(1)}, r"model\.safetensors: .*unexpected: head\.extra"),
    ):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        save_file(changed, folder / "model.safetensors")
        with pytest.raises(ValueError, match=message):
            load_official(folder)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="dataset_index: expected None without experts, got 0"):
        load_official(folder, dataset_index=0)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_official(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_official(folder)


def test_unknown_data_sets_and_keypoints_are_named(tmp_path):
    save_vitpose_hf(ours(experts=3), tmp_path)
    with pytest.raises(ValueError, match="dataset_index: expected 0 to 2, got 3") as error:
        load_official(tmp_path, dataset_index=3)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="gives 17 keypoints, keypoint set 'mpii' has 16"):
        load_official(tmp_path, keypoint_sets=["mpii"])


def test_models_hugging_face_cannot_hold_are_refused(tmp_path):
    two = load_vitpose(random_vitpose(K=(17, 14), experts=2, decoder="simple"), "x.pth", num_heads=4)
    with pytest.raises(ValueError, match="ViT with 2; take one data set by of_dataset"):
        save_vitpose_hf(two, tmp_path)
    save_vitpose_hf(two.of_dataset(1), tmp_path)
    model = ours()
    narrow = vitpose_heatmap(DeconvolutionHead(24, 17, channels=(8, 8), kernels=(4, 4)), range(17))
    with pytest.raises(ValueError, match="a classic one of width 256"):
        save_vitpose_hf(PoseEstimator(model.backbone, narrow), tmp_path)
    with pytest.raises(ValueError, match="got Backbone with 1"):
        save_vitpose_hf(PoseEstimator(Backbone("resnet10t"), model.representation), tmp_path)
    for names in (["nose"], ["nose"] * 17):
        with pytest.raises(ValueError, match="keypoint_names: expected 17 different names"):
            save_vitpose_hf(model, tmp_path, keypoint_names=names)
    shared = MultiDatasetEstimator(model.backbone, [model.representation])
    with pytest.raises(ValueError, match="expected a PoseEstimator where there are no experts"):
        save_vitpose_hf(shared, tmp_path)
