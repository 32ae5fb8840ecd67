"""Every representation as a head on any backbone: sizes follow from the profile."""

import pytest
import torch

from pctlib.models.backbones import Backbone
from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.pages.comparison.codings import simcc_sigma
from pctlib.study.pages.comparison.heads import HEADS, Parts, build_head, rescale_tokenizer

PROFILE = load_profile("smoke", crop__input_height=64, crop__input_width=96, heatmap__sigma=2.0)
PLAIN = [name for name in HEADS if name != "pct"]


@pytest.fixture(scope="module", params=[3, None], ids=["stride 8", "stride 32"])
def backbone(request):
    stages = None if request.param is None else range(request.param)
    return Backbone("mobilenetv4_conv_small_035", out_indices=stages)


def tiny_tokenizer(**options):
    sizes = MixerSize(dim=8, num_layers=1, token_hidden=4, channel_hidden=8)
    return PoseTokenizer(17, 3, codebook_size=5, token_dim=4, encoder=sizes, decoder=sizes, **options)


@pytest.mark.parametrize("name", PLAIN)
def test_a_head_learns_and_decodes_on_a_backbone_of_any_stride(backbone, name):
    torch.manual_seed(0)
    head = build_head(name, PROFILE, backbone, COCO)
    features = backbone(torch.randn(2, 3, 64, 96))
    keypoints = torch.rand(2, 17, 2) * 60
    losses = head.loss(head(features), head.encode(keypoints, torch.full((2, 17), 2)))
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert head.decode(head(features)).keypoints.shape == (2, 17, 2)


@pytest.mark.parametrize("kind", ["standard", "dark", "udp"])
def test_heatmaps_are_a_quarter_of_the_input_whatever_the_stride(backbone, kind):
    head = build_head(f"heatmap_{kind}", PROFILE, backbone, COCO)
    assert head.coding.kind == kind
    assert head.coding.heatmap_size == (16, 24)
    assert head.coding.sigma == 2.0
    assert head(backbone(torch.zeros(1, 3, 64, 96))).heatmaps.shape == (1, 17, 16, 24)


def test_gaussians_of_simcc_are_as_narrow_beside_those_of_heatmaps_as_published(backbone):
    """Published for 256 x 192: 2 cells of 4 pixels, and 6 bins of half a pixel."""
    assert simcc_sigma(PROFILE) == 6.0
    assert simcc_sigma(PROFILE, bins_per_pixel=1.0) == 3.0
    assert simcc_sigma(load_profile("smoke", heatmap__sigma=3.0)) == 9.0
    for name in ("simcc", "rtmcc"):
        assert build_head(name, PROFILE, backbone, COCO).coding.sigma_xy == (6.0, 6.0)


def test_tokens_are_those_of_the_tokenizer(backbone):
    tokenizer = tiny_tokenizer()
    head = build_head("pct", PROFILE, backbone, COCO, parts=Parts(tokenizer))
    assert head.tokenizer is tokenizer
    assert head(backbone(torch.randn(2, 3, 64, 96))).logits.shape == (2, 3, 5)
    with pytest.raises(ValueError, match="pct: expected a trained tokenizer"):
        build_head("pct", PROFILE, backbone, COCO)


def test_a_rescaled_tokenizer_reads_the_same_tokens_at_another_size():
    tokenizer = tiny_tokenizer(coordinate_center=(47.5, 31.5), coordinate_scale=24.0).eval()
    half = rescale_tokenizer(tokenizer, 0.5)
    keypoints, visible = torch.rand(2, 17, 2) * 60, torch.full((2, 17), 2)
    here, there = tokenizer(keypoints, visible), half(keypoints / 2, visible)
    assert torch.equal(here.indices, there.indices)
    torch.testing.assert_close(there.keypoints, here.keypoints / 2)
    assert tokenizer.coordinate_scale == 24.0  # the one given stays


def test_a_tokenizer_of_raw_pixels_has_one_size():
    tokenizer = tiny_tokenizer()
    assert rescale_tokenizer(tokenizer, 1.0).coordinate_scale == 1
    with pytest.raises(ValueError, match=r"tokenizer.normalise is false: .* scaled by 0.5"):
        rescale_tokenizer(tokenizer, 0.5)


def test_what_cannot_be_built_is_named(backbone):
    with pytest.raises(ValueError, match="representation: expected one of .*simcc.*, got 'heatmaps'"):
        build_head("heatmaps", PROFILE, backbone, COCO)
    few = load_profile("smoke", heatmap__deconv_channels=[])
    with pytest.raises(ValueError, match="heatmap.deconv_channels: 0 widths cannot lead from stride"):
        build_head("soft_argmax", few, backbone, COCO)
