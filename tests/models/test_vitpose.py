"""ViTPose's decoders, its sizes, and one backbone for several data sets."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.official_vitpose import random_vitpose, reference_features, reference_heatmaps

import pctlib
from pctlib.checkpoints.files import part
from pctlib.models.representations.heatmap import DeconvolutionHead, HeatmapPrediction
from pctlib.models.representations.heatmap_coding import HeatmapTarget
from pctlib.models.vit import SIZES, ViT, ViTSize
from pctlib.models.vitpose import (
    MultiDatasetEstimator,
    SimpleDecoder,
    vitpose,
    vitpose_head,
    vitpose_heatmap,
)
from pctlib.skeletons import COCO

SWAP = {5: (1, 0, 2, 4, 3), 3: (1, 0, 2), 4: (0, 1, 3, 2)}
INPUT = (64, 48)
SMALL = ViTSize(24, 2, 4, part_features=8)


def several(K=(5, 3, 4), *, experts=None, seed=0):
    torch.manual_seed(seed)
    backbone = ViT(SMALL, INPUT, num_experts=len(K) if experts is None else experts)
    heads = [vitpose_heatmap(SimpleDecoder(24, joints), SWAP[joints], input_size=INPUT) for joints in K]
    for head in heads:
        torch.nn.init.normal_(head.head.final_layer.weight, std=0.1)
    return MultiDatasetEstimator(backbone, heads).eval()


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_recorded_decoders_and_flip_test(golden, decoder):
    data = golden("vitpose_official")
    head = vitpose_head(decoder, data.config["embed"], data.config["K"])
    head.load_state_dict(part(data.state, f"{decoder}.keypoint_head."))
    flips = list(range(data.config["K"]))
    for left, right in data.config["flip_pairs"]:
        flips[left], flips[right] = right, left
    heatmap = vitpose_heatmap(head, flips, input_size=(128, 96)).eval()
    backbone = ViT(ViTSize(48, 3, 4), (128, 96)).eval()
    backbone.load_state_dict(part(data.state, "backbone."))
    with torch.no_grad():
        upright, mirrored = (
            heatmap(backbone(images)) for images in (data.inputs["image"], data.inputs["image"].flip(3))
        )
    torch.testing.assert_close(upright.heatmaps, data.outputs[f"heatmaps_{decoder}"], atol=2e-5, rtol=0)
    merged = heatmap.merge_flipped(upright, mirrored).heatmaps
    back = data.outputs[f"flipped_back_{decoder}"]
    torch.testing.assert_close(merged, (upright.heatmaps + back) / 2, atol=2e-5, rtol=0)
    if decoder == "classic":
        torch.testing.assert_close(merged, data.outputs["flip_avg_classic"], atol=2e-5, rtol=0)


@pytest.mark.parametrize("decoder", ["classic", "simple"])
def test_decoders_compute_the_published_function(decoder):
    state = part(random_vitpose(dim=6, K=(5,), decoder=decoder, width=256), "keypoint_head.")
    head = vitpose_head(decoder, 6, 5)
    head.load_state_dict(state)
    features = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        got = head.eval()(features)
    assert got.shape == (2, 5, 12, 16)
    torch.testing.assert_close(got, reference_heatmaps(state, features, ""), atol=1e-4, rtol=1e-4)


def test_simple_decoder_cuts_before_it_upsamples():
    head = SimpleDecoder(1, 1)
    torch.nn.init.zeros_(head.final_layer.weight)
    head.final_layer.weight.data[0, 0, 1, 1] = 1.0
    features = torch.tensor([[[[-8.0, 4.0]]]])
    expected = F.interpolate(torch.tensor([[[[0.0, 4.0]]]]), (4, 8), mode="bilinear")
    torch.testing.assert_close(head(features), expected)


def test_built_sizes_have_the_published_number_of_parameters():
    """The table of the paper counts the backbone; the release with the classic decoder is a little larger."""
    table = Path(pctlib.__file__).parent / "published" / "coco_val_vitpose.csv"
    rows = {row["method"]: row for row in csv.DictReader(table.open(encoding="utf-8"))}
    release = {"s": 24.3, "b": 90.0, "l": 308.5, "h": 637.2}
    for size, classic in release.items():
        with torch.device("meta"):
            model = vitpose(size, COCO.flip_permutation)
        millions = {
            name: sum(p.numel() for p in module.parameters()) / 1e6
            for name, module in (("whole", model), ("backbone", model.backbone))
        }
        assert millions["whole"] == pytest.approx(classic, rel=0.005)
        if size != "s":  # not in the paper
            row = rows[f"ViTPose-{size.upper()}"]
            assert millions["backbone"] == pytest.approx(float(row["params_m"]), rel=0.02)
        assert model.backbone.blocks[0].attn.num_heads == SIZES[size].num_heads


@pytest.mark.parametrize("decoder", ["classic", "simple"])
@pytest.mark.parametrize("coding", ["udp", "standard"])
def test_built_model_learns_and_predicts(monkeypatch, decoder, coding):
    torch.manual_seed(0)
    monkeypatch.setitem(SIZES, "s", replace(SMALL, drop_path=0.2))
    options = {"input_size": (96, 64), "decoder": decoder, "coding": coding}
    model = vitpose("s", SWAP[5], **options)
    assert model.representation.coding.kind == coding
    assert model.representation.shift_flipped is (coding == "standard")
    assert model.representation.coding.sigma == 2
    images = torch.randn(2, 3, 96, 64)
    target = model.representation.encode(torch.rand(2, 5, 2) * 60, torch.full((2, 5), 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = model.representation.loss(model(images), target)["heatmap"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert losses[-1] < 0.8 * losses[0]
    poses = model.eval().predict(images, flip_test=True)
    assert poses.keypoints.shape == (2, 5, 2)
    assert poses.scores.shape == (2, 5)


def test_recorded_decoders_and_losses_of_several_data_sets(golden):
    data = golden("vitpose_moe_official")
    c, index = data.config, data.inputs["dataset_idx"]
    backbone = ViT(ViTSize(48, 2, 4, c["part_features"]), tuple(c["img_size"]), num_experts=c["num_expert"])
    backbone.load_state_dict(part(data.state, "backbone."))
    heatmaps = []
    for number, K in enumerate(c["K"]):
        prefix = "keypoint_head." if number == 0 else f"associate_keypoint_heads.{number - 1}."
        state = part(data.state, prefix)
        width = state["deconv_layers.0.weight"].shape[1]
        head = DeconvolutionHead(48, K, channels=(width, width), kernels=(4, 4))
        head.load_state_dict(state)
        heatmaps.append(vitpose_heatmap(head, range(K), input_size=tuple(c["img_size"])))
    model = MultiDatasetEstimator(backbone, heatmaps).eval()
    with torch.no_grad():
        predictions = model(data.inputs["image"], index)
    targets = [
        HeatmapTarget(data.inputs["target"][:, :K], data.inputs["target_weight"][:, :K, 0]) for K in c["K"]
    ]
    losses = model.loss(predictions, targets, index)
    for number, prediction in enumerate(predictions):
        expected = data.outputs[f"heatmaps_head{number}"]
        torch.testing.assert_close(prediction.heatmaps, expected, atol=2e-5, rtol=0)
        recorded = data.outputs[f"loss_head{number}"]
        torch.testing.assert_close(losses[f"heatmap_{number}"], recorded, rtol=1e-4, atol=0)


def test_losses_of_several_data_sets_by_hand():
    model = several()
    B, h, w = 4, 16, 12
    index = torch.tensor([1, 0, 1, 0])
    predictions, targets = [], []
    for K in (5, 3, 4):
        predictions.append(HeatmapPrediction(torch.zeros(B, K, h, w)))
        maps = torch.full((B, K, h, w), float(K))
        maps[index != len(targets)] = float("nan")  # of other data sets
        targets.append(HeatmapTarget(maps, torch.ones(B, K)))
    losses = model.loss(predictions, targets, index)
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {"heatmap_0": 25 * 2 / 4, "heatmap_1": 9 * 2 / 4, "heatmap_2": 0.0}
    )
    with pytest.raises(ValueError, match=r"each of 3 sets, got \(3, 2, 3\)"):
        model.loss(predictions[:2], targets, index)


def test_one_data_set_alone_predicts_as_among_the_others():
    model, images = several(), torch.randn(3, 3, *INPUT)
    for number in range(3):
        alone = model.of_dataset(number)
        with torch.no_grad():
            expected = model(images, torch.full((3,), number))[number].heatmaps
            torch.testing.assert_close(alone(images).heatmaps, expected, atol=1e-5, rtol=1e-5)
        assert alone.predict(images, flip_test=True).keypoints.shape == (3, (5, 3, 4)[number], 2)
        assert not alone.training
    with torch.no_grad():
        alone.representation.head.final_layer.bias += 1
    assert model.representations[2].head.final_layer.bias.abs().sum() == 0  # a copy


def test_without_experts_the_backbone_is_shared():
    model, images = several((5, 3), experts=0), torch.randn(2, 3, *INPUT)
    with torch.no_grad():
        predictions = model(images)
        with_index = model(images, torch.tensor([1, 0]))
        alone = model.of_dataset(1)(images)
    assert [len(p.heatmaps[0]) for p in predictions] == [5, 3]
    torch.testing.assert_close(with_index, predictions)
    torch.testing.assert_close(alone, predictions[1])
    assert model.num_datasets == 2


def test_one_decoder_for_several_experts():
    model, images = several((5,), experts=3), torch.randn(2, 3, *INPUT)
    index = torch.tensor([2, 1])
    with torch.no_grad():
        (prediction,) = model(images, index)
        alone = torch.cat([model.of_dataset(i)(images[j : j + 1])[0] for j, i in enumerate((2, 1))])
    torch.testing.assert_close(prediction.heatmaps, alone, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="each of 3 sets"):
        model.loss([prediction], [prediction], index)


def test_the_reference_of_these_tests_agrees_with_the_whole_model():
    state = random_vitpose(K=(5, 3), experts=2, decoder="simple")
    model = several((5, 3))
    model.backbone.load_state_dict(part(state, "backbone."))
    model.representations[1].head.load_state_dict(part(state, "associate_keypoint_heads.0."))
    images, index = torch.randn(2, 3, *INPUT), torch.tensor([1, 0])
    features = reference_features(state, images, heads=4, dataset_index=index)
    expected = reference_heatmaps(state, features, "associate_keypoint_heads.0.")
    with torch.no_grad():
        got = model(images, index)[1].heatmaps
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"size: expected one of \['s', 'b', 'l', 'h'\], got 'xl'"):
        vitpose("xl", SWAP[5])
    with pytest.raises(ValueError, match="decoder: expected one of .* got 'deep'"):
        vitpose_head("deep", 24, 5)
    with pytest.raises(ValueError, match="dataset_index: expected 0 to 2, got 3"):
        several().of_dataset(3)
    with pytest.raises(ValueError, match="one for each of 4 experts, got 3"):
        several(experts=4)
    with pytest.raises(ValueError, match="got 0"):
        MultiDatasetEstimator(ViT(SMALL, INPUT), [])
