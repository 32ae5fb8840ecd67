import pytest
import timm
import torch

from pctlib.models.backbones import Backbone

SMALL_SWIN = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 4}
SMALL_VIT = {"embed_dim": 24, "depth": 3, "num_heads": 2}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {}),
        ("mobilenetv3_small_050", {}),
        ("hrnet_w18_small", {}),
        ("vit_tiny_patch16_224", {"input_size": (64, 96), **SMALL_VIT}),
        ("swinv2_tiny_window8_256", {"input_size": (64, 96), **SMALL_SWIN}),
        ("swinv2_tiny_window8_256", {"input_size": (64, 96), "final_norm": True, **SMALL_SWIN}),
    ],
)
def test_maps_are_channels_first_and_as_announced(name, options):
    backbone = Backbone(name, **options).eval()
    maps = backbone(torch.randn(2, 3, 64, 96))
    assert len(maps) == len(backbone.channels) == len(backbone.strides)
    for feature_map, channels, stride in zip(maps, backbone.channels, backbone.strides, strict=True):
        assert feature_map.shape == (2, channels, 64 // stride, 96 // stride)
        assert feature_map.is_contiguous()
    assert backbone.strides == sorted(backbone.strides)


def test_chosen_levels():
    backbone = Backbone("resnet10t", out_indices=(1, 3))
    assert backbone.strides == [4, 16]
    assert len(backbone(torch.randn(1, 3, 32, 32))) == 2


def test_final_norm_is_that_of_the_model():
    torch.manual_seed(0)
    backbone = Backbone(
        "swinv2_tiny_window8_256", (64, 64), final_norm=True, out_indices=(2, 3), **SMALL_SWIN
    )
    model, images = backbone.eval().net.model, torch.randn(2, 3, 64, 64)
    torch.nn.init.uniform_(model.norm.weight)
    expected = model.forward_features(images).permute(0, 3, 1, 2)
    torch.testing.assert_close(backbone(images)[-1], expected)
    assert backbone.strides == [16, 32]


def test_nothing_is_downloaded_unless_asked_for(monkeypatch):
    asked = []
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **k: asked.append(k["pretrained"]) or create(*a, **k)
    )
    Backbone("resnet10t")
    assert asked == [False]


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match="has no model 'resnet17'"):
        Backbone("resnet17")


def test_models_of_a_fixed_size_refuse_other_images():
    backbone = Backbone("vit_tiny_patch16_224", (64, 96), **SMALL_VIT)
    with pytest.raises(ValueError, match=r"expected images of \(64, 96\), got \(96, 64\)"):
        backbone(torch.zeros(1, 3, 96, 64))


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small_035", "efficientnet_lite0"])
def test_blocks_behind_the_last_map_are_not_there(name):
    """They would cost time and give nothing; the maps are those of the whole model."""
    torch.manual_seed(0)
    whole = Backbone(name).eval()
    torch.manual_seed(0)
    part = Backbone(name, out_indices=range(3)).eval()
    images = torch.randn(1, 3, 64, 64)
    for mine, theirs in zip(part(images), whole(images), strict=False):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    part.train()
    sum(m.sum() for m in part(images)).backward()
    assert all(p.grad is not None for p in part.parameters())
