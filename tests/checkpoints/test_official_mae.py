"""A pre-trained transformer as the start of a ViTPose: what the official loader makes of it."""

import pytest
import torch
import torch.nn.functional as F
from helpers.official_vitpose import random_vitpose, reference_features

from pctlib.checkpoints import load_official
from pctlib.checkpoints.files import part
from pctlib.checkpoints.mae import adapt_mae, is_mae, load_mae, load_mae_into
from pctlib.models.vit import ViT, ViTSize, resize_positions

INPUT = (64, 48)  # 4 x 3 cells


def mae_state(*, patch=16, side=3, seed=0):
    state = part(random_vitpose(seed, cells=side**2), "backbone.")
    state = {name: value for name, value in state.items() if not name.startswith("last_norm")}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][..., :patch, :patch].clone()
    left_out = {"cls_token": (1, 1, 24), "mask_token": (1, 1, 8), "norm.weight": (24,), "norm.bias": (24,)}
    left_out |= {"decoder_pos_embed": (1, 10, 8), "decoder_blocks.0.attn.qkv.weight": (24, 8)}
    return state | {name: torch.randn(shape) for name, shape in left_out.items()}


@pytest.mark.parametrize("experts", [0, 3])
def test_recorded_conversion(golden, experts):
    data = golden("vitpose_pretrain_load")
    size = ViTSize(48, 1, 4, part_features=12)
    backbone = ViT(size, tuple(data.config["img_size"]), num_experts=experts)
    adapted = adapt_mae(data.inputs, backbone, "pretrained.pth")
    for name, expected in data.outputs.items():
        if experts or not name.startswith("moe/"):
            torch.testing.assert_close(adapted[name.removeprefix("moe/")], expected, atol=1e-6, rtol=0)
    if not experts:
        fc2 = "blocks.0.mlp.fc2.weight"
        assert torch.equal(adapted[fc2], data.inputs[fc2])


def test_positions_are_resized_bicubically_and_row_zero_stays():
    state = mae_state()
    backbone = ViT(ViTSize(24, 2, 4), INPUT)
    got = adapt_mae(state, backbone, "mae.pth")["pos_embed"]
    grid = state["pos_embed"][:, 1:].mT.unflatten(2, (3, 3))
    expected = F.interpolate(grid, (4, 3), mode="bicubic", align_corners=False).flatten(2).mT
    torch.testing.assert_close(got, torch.cat((state["pos_embed"][:, :1], expected), 1))


def test_a_smaller_patch_gets_zeros_around_it():
    state = mae_state(patch=13)
    got = adapt_mae(state, ViT(ViTSize(24, 2, 4), INPUT), "mae.pth")["patch_embed.proj.weight"]
    assert got.shape == (24, 3, 16, 16)
    assert torch.equal(got[..., 1:14, 1:14], state["patch_embed.proj.weight"])  # one before, two after
    assert got.abs().sum() == pytest.approx(state["patch_embed.proj.weight"].abs().sum().item())


def test_experts_start_from_the_last_channels():
    state = mae_state()
    model = load_mae(state, "mae.pth", num_heads=4, num_experts=2, input_size=INPUT)
    assert model.size.part_features == 6  # a quarter, where nothing is published
    images = torch.randn(2, 3, *INPUT)
    plain = load_mae(state, "mae.pth", num_heads=4, input_size=INPUT)
    with torch.no_grad():
        torch.testing.assert_close(model(images, torch.tensor([1, 0])), plain(images), atol=1e-5, rtol=1e-5)
    first, second = (model.blocks[0].mlp.experts[i].weight for i in range(2))
    assert torch.equal(first, second)
    with torch.no_grad():
        first += 1
    assert not torch.equal(first, second)  # no shared memory


def test_a_loaded_backbone_computes_the_published_function(tmp_path):
    state, path = mae_state(), tmp_path / "mae.pth"
    torch.save({"model": state}, path)
    backbone, images = load_official(path, num_heads=4, input_size=INPUT), torch.randn(2, 3, *INPUT)
    positions = resize_positions(state["pos_embed"], (3, 3), (4, 3))
    norm = {"last_norm.weight": torch.ones(24), "last_norm.bias": torch.zeros(24)}
    expected = reference_features(state | norm | {"pos_embed": positions}, images, heads=4)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[0], expected, atol=1e-4, rtol=1e-4)
    assert not backbone.training
    assert is_mae(state)
    assert not is_mae(random_vitpose())


def test_loading_into_a_backbone_keeps_its_last_norm():
    backbone = ViT(ViTSize(24, 2, 4, drop_path=0.3), INPUT)
    torch.nn.init.constant_(backbone.last_norm.weight, 3.0)
    load_mae_into(backbone, mae_state(), "mae.pth")
    assert backbone.last_norm.weight.tolist() == 24 * [3.0]
    assert torch.equal(backbone.blocks[1].attn.qkv.weight, mae_state()["blocks.1.attn.qkv.weight"])


def test_what_does_not_fit_is_named():
    for change, message in (
        ({"pos_embed": torch.zeros(1, 9, 24)}, "for 8 cells and a class token, not a square grid"),
        ({"patch_embed.proj.weight": torch.zeros(24, 3, 32, 32)}, "patches of 32, more than 16"),
        ({"blocks.1.norm2.bias": None}, r"missing: blocks\.1\.norm2\.bias"),
        ({"blocks.0.gamma": torch.zeros(24)}, r"unexpected: blocks\.0\.gamma"),
    ):
        changed = {k: v for k, v in (mae_state() | change).items() if v is not None}
        with pytest.raises(ValueError, match=r"mae\.pth: .*" + message):
            load_mae(changed, "mae.pth", num_heads=4, input_size=INPUT)
    with pytest.raises(ValueError, match=r"mae\.pth: no published model has 24 channels"):
        load_mae(mae_state(), "mae.pth")
    with pytest.raises(ValueError, match=r"mae\.pth: input_size: expected multiples of 16"):
        load_mae(mae_state(), "mae.pth", num_heads=4, input_size=(50, 48))
    with pytest.raises(
        ValueError, match=r"mae\.pth: .*other shape: .*qkv\.weight \(72, 24\), expected \(96, 32\)"
    ):
        load_mae_into(ViT(ViTSize(32, 2, 4), INPUT), mae_state(), "mae.pth")
