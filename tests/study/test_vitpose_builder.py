"""ViTPose built from the values of a profile."""

import pytest
import torch
from pydantic import ValidationError

from pctlib.family_profiles import VitSizeProfile
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vit import ViT
from pctlib.models.vitpose import SimpleDecoder
from pctlib.skeletons import COCO, MPII
from pctlib.study.vitpose import build_vitpose, vit_size

TRAINING = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "layer_decay": 0.75}


def profile(**changes):
    values = {"dim": 24, "depth": 2, "heads": 3, "decoder_width": 20, "training": TRAINING}
    return VitSizeProfile(**(values | changes))


def test_every_value_of_the_profile_is_in_the_model():
    size = profile(drop_path=0.2)
    model = build_vitpose(size, MPII, input_size=(64, 48))
    backbone, head = model.backbone, model.representation.head
    assert (backbone.channels, len(backbone.blocks), backbone.grid_size) == ([24], 2, (4, 3))
    assert backbone.blocks[0].attn.num_heads == 3
    assert backbone.blocks[1].drop_path1.drop_prob == 0.2
    assert isinstance(head, DeconvolutionHead)
    assert head.deconv_layers[0].out_channels == head.deconv_layers[3].out_channels == 20
    assert vit_size(size, part_features=8).part_features == 8
    assert vit_size(size).layer_decay == 0.75
    maps = model.eval()(torch.zeros(2, 3, 64, 48)).heatmaps
    assert maps.shape == (2, 16, 16, 12)


def test_decoder_and_coding_may_differ_from_the_profile():
    size = profile()
    assert isinstance(
        build_vitpose(size, COCO, input_size=(32, 48), decoder="simple").representation.head, SimpleDecoder
    )
    simple = build_vitpose(profile(decoder="simple"), COCO, input_size=(32, 48), coding="dark")
    assert isinstance(simple.representation.head, SimpleDecoder)
    assert simple.representation.coding.kind == "dark"
    assert build_vitpose(size, COCO, input_size=(32, 48)).representation.coding.kind == "udp"


def test_a_backbone_of_ones_own_is_used_and_must_be_as_wide():
    size = profile()
    backbone = ViT(vit_size(size), (32, 32))
    assert build_vitpose(size, COCO, input_size=(32, 32), backbone=backbone).backbone is backbone
    with pytest.raises(ValueError, match="backbone: expected 24 channels, got 36"):
        build_vitpose(size, COCO, input_size=(32, 32), backbone=ViT(vit_size(profile(dim=36)), (32, 32)))


def test_impossible_sizes_are_refused():
    with pytest.raises(ValidationError, match="heads: expected a divisor of dim 24, got 5"):
        profile(heads=5)
    with pytest.raises(ValueError, match="16"):
        build_vitpose(profile(), COCO, input_size=(40, 48))
