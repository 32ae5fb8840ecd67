"""ViTPose built from the values of a profile."""

import pytest
import torch
from pydantic import ValidationError

from pctlib.models.mae import MaskedAutoencoder
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vit import ViT, resize_positions
from pctlib.models.vitpose import SimpleDecoder
from pctlib.profiles.pages import VitSizeProfile
from pctlib.skeletons import COCO, MPII
from pctlib.study.pages.vitpose import build_vitpose, start_from, vit_size

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


def test_a_pretrained_transformer_is_the_start_of_a_vitpose_of_any_input_size():
    torch.manual_seed(0)
    encoder = MaskedAutoencoder(ViT(vit_size(profile()), (64, 48)), dim=8, depth=1, num_heads=2).encoder
    torch.nn.init.constant_(encoder.last_norm.weight, 3.0)
    same, larger = (
        build_vitpose(profile(drop_path=0.1), COCO, input_size=size).backbone for size in ((64, 48), (96, 48))
    )
    start_from(same, encoder)
    start_from(larger, encoder)
    images = torch.randn(2, 3, 64, 48)
    assert torch.equal(same.embed(images), encoder.embed(images))
    assert torch.equal(larger.pos_embed, resize_positions(encoder.pos_embed, (4, 3), (6, 3)))
    for name, value in encoder.blocks.state_dict().items():
        assert torch.equal(same.blocks.state_dict()[name], value)
    assert same.last_norm.weight.tolist() == 24 * [1.0]  # starts anew
    with torch.no_grad():
        same.pos_embed += 1
    assert not torch.equal(same.pos_embed, encoder.pos_embed)  # a copy
    with pytest.raises(ValueError, match="the pretrained transformer does not fit ViT: missing 'blocks.2"):
        start_from(ViT(vit_size(profile(depth=3)), (64, 48)), encoder)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValidationError, match="heads: expected a divisor of dim 24, got 5"):
        profile(heads=5)
    with pytest.raises(ValueError, match="16"):
        build_vitpose(profile(), COCO, input_size=(40, 48))
