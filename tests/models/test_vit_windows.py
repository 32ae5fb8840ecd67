"""Attention inside windows: who sees whom, and that the weights are those of full attention."""

import pytest
import torch

from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vit_windows import WindowAttention, Windows, WindowViT

GRID = (4, 6)
WINDOW = (2, 3)


def attention(seed=0, grid=GRID, moved=False, **windows):
    torch.manual_seed(seed)
    return WindowAttention(8, 2, grid_size=grid, windows=Windows(**{"size": WINDOW} | windows), moved=moved)


def influence(layer, grid=GRID):
    """Return [T, T] bool: whether the output at a cell (row) depends on the input at a cell (column)."""
    x = torch.randn(1, grid[0] * grid[1], 8, requires_grad=True)
    y = layer(x)
    rows = [torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)[0][0] for t in range(x.shape[1])]
    return torch.stack(rows).abs().sum(-1) > 0


def pairs(labels):
    """Return [T, T] bool: whether two cells of [h, w] carry the same label."""
    labels = labels.flatten()
    return labels[:, None] == labels[None]


def windows_of(grid, window):
    rows, columns = torch.arange(grid[0]) // window[0], torch.arange(grid[1]) // window[1]
    return 100 * rows[:, None] + columns


def test_a_token_sees_its_window_and_nothing_else():
    assert torch.equal(influence(attention()), pairs(windows_of(GRID, WINDOW)))


def test_moved_windows_reach_over_borders_but_not_over_the_edge():
    """Windows of 2 x 3 moved by 1 x 1 on 4 x 6 cells, so that pieces at the edges are smaller."""
    rows = torch.tensor([0, 1, 1, 2])
    columns = torch.tensor([0, 1, 1, 1, 2, 2])
    expected = pairs(100 * rows[:, None] + columns)
    assert torch.equal(influence(attention(moved=True)), expected)


def test_pooled_windows_let_every_token_see_all():
    for moved in (False, True):
        assert influence(attention(pool=True, moved=moved)).all()


def test_one_window_is_full_attention_whatever_is_moved():
    torch.manual_seed(1)
    x = torch.randn(2, 24, 8)
    layer = attention(size=GRID, moved=True)
    q, k, v = layer.qkv(x).view(2, 24, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = (q @ k.mT / 4**0.5).softmax(-1)
    expected = layer.proj((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x), expected)


def test_the_mean_of_a_window_acts_as_one_more_token():
    """One token a window: window means are the tokens, so with pooling each token counts twice for itself."""
    layer = attention(size=(1, 1), grid=(1, 3), pool=True)
    x = torch.randn(1, 3, 8)
    q, k, v = layer.qkv(x).view(3, 3, 2, 4).permute(1, 2, 0, 3)  # [heads, 3, 4] each
    logits = q @ k.mT / 2
    weights = logits.exp() * (1 + torch.eye(3))
    expected = layer.proj(((weights / weights.sum(-1, keepdim=True)) @ v).transpose(0, 1).flatten(1))
    torch.testing.assert_close(layer(x)[0], expected)


def test_splitting_is_undone():
    for moved in (False, True):
        layer = attention(moved=moved)
        x = torch.randn(2, 24, 8)
        assert torch.equal(layer._join(layer._split(x)), x)


SIZE = ViTSize(24, 3, 3, drop_path=0.4)


def test_every_second_block_moves_its_windows_and_drop_path_rises():
    shifted = WindowViT(SIZE, (64, 96), windows=Windows(WINDOW, shift=True))
    assert [block.attn.offset for block in shifted.blocks] == [(0, 0), (1, 1), (0, 0)]
    assert [block.attn.pool for block in shifted.blocks] == [False] * 3
    assert shifted.blocks[2].drop_path2.drop_prob == 0.4
    still = WindowViT(SIZE, (64, 96), windows=Windows(WINDOW, pool=True))
    assert [block.attn.offset for block in still.blocks] == [(0, 0)] * 3
    assert [block.attn.pool for block in still.blocks] == [True] * 3


def test_weights_of_full_attention_fit_and_one_window_computes_the_same():
    torch.manual_seed(0)
    full = ViT(SIZE, (64, 96)).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for windows, same in ((Windows(GRID), True), (Windows(WINDOW), False)):
            windowed = WindowViT(SIZE, (64, 96), windows=windows).eval()
            windowed.load_state_dict(full.state_dict())
            close = torch.allclose(windowed(images)[0], full(images)[0], atol=1e-5)
            assert close is same


def test_gradient_reaches_every_parameter():
    backbone = WindowViT(SIZE, (64, 96), windows=Windows(WINDOW, shift=True, pool=True)).eval()
    backbone(torch.randn(2, 3, 64, 96))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match=r"divides \(4, 6\) cells, got \(3, 3\)"):
        WindowViT(SIZE, (64, 96), windows=Windows((3, 3)))
    with pytest.raises(ValueError, match=r"divides \(4, 6\) cells, got \(0, 3\)"):
        attention(size=(0, 3))
    backbone = WindowViT(SIZE, (64, 96), windows=Windows(WINDOW))
    with pytest.raises(ValueError, match=r"one token for each of \(4, 6\) cells, got 16"):
        backbone(torch.zeros(1, 3, 64, 64))
