"""The published Swin V2 under timm: same numbers, and a refusal where they would differ."""

import pytest
import torch
import torch.nn.functional as F
from helpers.official_pct import SMALL_SWIN, position_table, random_state, swin_shapes

from pctlib.checkpoints.swin import SWIN_NAMES, check_windows, load_swin


def test_recorded_backbone(golden):
    record = golden("pct_swin")
    backbone = load_swin(record.state, "pct_swin.npz")
    with torch.no_grad():
        maps = backbone(record.inputs["image"])
    torch.testing.assert_close(maps[-1], record.outputs["feature_map"], atol=1e-4, rtol=0)
    for stage in range(3):
        torch.testing.assert_close(maps[stage], record.outputs[f"stage{stage}"], atol=1e-4, rtol=0)
    assert backbone.channels == [16, 32, 64, 128]
    assert backbone.strides == [4, 8, 16, 32]


def _reference(state, images, depths, heads, windows):
    """Return the last normalised map [B, C, h, w] of the published Swin V2, written out."""

    def linear(name, x, bias=None):
        bias = state.get(f"{name}.bias") if bias is None else bias
        return F.linear(x, state[f"{name}.weight"], bias)

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    def windows_of(x, w):
        B, H, W, C = x.shape
        return x.view(B, H // w, w, W // w, w, C).transpose(2, 3).reshape(-1, w * w, C)

    def attention(name, x, w, head, shift):
        B, H, W, C = x.shape
        region = torch.zeros(1, H, W, 1)
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
            edges = torch.bucketize(torch.arange(H), torch.tensor([H - w, H - shift]), right=True).float()
            region = (3 * edges[:, None] + edges)[None, :, :, None]
        tokens, region = windows_of(x, w), windows_of(region, w)
        q_bias, v_bias = state[f"{name}.q_bias"], state[f"{name}.v_bias"]
        qkv = linear(f"{name}.qkv", tokens, torch.cat([q_bias, torch.zeros_like(q_bias), v_bias]))
        q, k, v = qkv.unflatten(-1, (3, head, -1)).permute(2, 0, 3, 1, 4)
        scale = state[f"{name}.logit_scale"].exp().clamp(max=100)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * scale
        hidden = F.relu(linear(f"{name}.rpe_mlp.0", state[f"{name}.relative_coords_table"]))
        bias = 16 * torch.sigmoid(linear(f"{name}.rpe_mlp.2", hidden)).view(-1, head)
        scores = scores + bias[state[f"{name}.relative_position_index"]].permute(2, 0, 1)
        apart = -100.0 * (region != region.mT)  # [windows, w^2, w^2]
        scores = scores + apart.repeat(B, 1, 1).unsqueeze(1)
        out = linear(f"{name}.proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        out = out.view(B, H // w, W // w, w, w, C).transpose(2, 3).reshape(B, H, W, C)
        return out.roll((shift, shift), (1, 2)) if shift else out

    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=4)
    x = norm("patch_embed.norm", x.permute(0, 2, 3, 1))
    for i, (depth, head, w) in enumerate(zip(depths, heads, windows, strict=True)):
        for j in range(depth):
            name = f"layers.{i}.blocks.{j}"
            shift = w // 2 if j % 2 and i < 2 else 0
            x = x + norm(f"{name}.norm1", attention(f"{name}.attn", x, w, head, shift))
            x = x + norm(f"{name}.norm2", linear(f"{name}.mlp.fc2", F.gelu(linear(f"{name}.mlp.fc1", x))))
        if i < 3:
            quarters = [x[:, r::2, c::2] for r, c in ((0, 0), (1, 0), (0, 1), (1, 1))]
            x = norm(
                f"layers.{i}.downsample.norm",
                linear(f"layers.{i}.downsample.reduction", torch.cat(quarters, -1)),
            )
    return norm("norm3", x).permute(0, 3, 1, 2)


def test_backbone_computes_the_published_function():
    state = random_state(swin_shapes(**SMALL_SWIN), pretrained=(3, 3, 3, 2))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    backbone = load_swin(state, "swin.pth")
    with torch.no_grad():
        maps = backbone(images)
    expected = _reference(state, images, *(SMALL_SWIN[key] for key in ("depths", "heads", "windows")))
    assert maps[-1].shape == (2, 64, 2, 2)
    torch.testing.assert_close(maps[-1], expected, atol=1e-4, rtol=1e-4)


def test_names_translate_both_ways():
    names = [name for name in swin_shapes() if "relative_" not in name]
    ours = [SWIN_NAMES.to_ours(name) for name in names]
    assert len(set(ours)) == len(names)
    assert [SWIN_NAMES.to_official(name) for name in ours] == names
    assert SWIN_NAMES.to_ours("layers.1.downsample.norm.bias").endswith("layers.2.downsample.norm.bias")


@pytest.mark.parametrize("pretrained", [(3, 4, 5, 2), (12, 12, 12, 6)])
def test_size_of_pretraining_is_read_from_the_tables(pretrained):
    backbone = load_swin(random_state(swin_shapes(**SMALL_SWIN), pretrained=pretrained), "swin.pth")
    found = [stage.blocks[0].attn.pretrained_window_size[0] for stage in backbone.net.model.layers]
    assert tuple(found) == pretrained


@pytest.mark.parametrize("name", ["relative_coords_table", "relative_position_index"])
def test_tables_that_the_sizes_do_not_imply_are_refused(name):
    state = random_state(swin_shapes(**SMALL_SWIN))
    key = f"layers.2.blocks.1.attn.{name}"
    state[key] = state[key].flip(1)
    with pytest.raises(ValueError, match=rf"swin\.pth: 'backbone\.{key}' is not the table"):
        load_swin(state, "swin.pth", prefix="backbone.")
    del state[key]
    with pytest.raises(ValueError, match=rf"swin\.pth: missing 'backbone\.{key}'"):
        load_swin(state, "swin.pth", prefix="backbone.")


def test_tables_of_no_window_are_refused():
    state = random_state(swin_shapes(**SMALL_SWIN))
    state["layers.0.blocks.0.attn.relative_coords_table"] = torch.randn(1, 7, 7, 2)
    with pytest.raises(ValueError, match="is not the table"):
        load_swin(state, "swin.pth")


@pytest.mark.parametrize("size", [128, 512])
def test_other_input_sizes_than_the_published_are_refused(size):
    """At 256 timm computes the published function; elsewhere the padding or the shift differs."""
    check_windows((256, 256), (16, 16, 16, 8), (2, 2, 18, 2))
    with pytest.raises(ValueError, match=r"stage \d: a window of"):
        check_windows((size, size), (16, 16, 16, 8), (2, 2, 18, 2))


def test_windows_that_do_not_divide_the_map_are_refused():
    with pytest.raises(ValueError, match="stage 1: a window of 6 on 8 x 8 cells"):
        check_windows((64, 64), (4, 6, 4, 2), (2, 2, 2, 2))


def test_a_single_block_is_never_shifted():
    check_windows((64, 64), (16, 8, 4, 2), (1, 1, 1, 1))


def test_tables_follow_the_formula():
    table = position_table(3, 5)
    assert table.shape == (1, 5, 5, 2)
    assert table[0, 4, 2].tolist() == pytest.approx([torch.log2(torch.tensor(5.0)).item() / 3, 0.0])
