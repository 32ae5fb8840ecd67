import math

import pytest
import torch

from pctlib.models.hrformer import HRFormer, HRFormerBlock, HRFormerModule, WindowAttention

B, C, HEADS, WINDOW = 2, 6, 3, 4


def small(**sizes):
    options = {"widths": (4, 8, 12, 16), "heads": (1, 2, 3, 4), "stem_width": 8, "num_modules": (1, 2, 2)}
    return HRFormer(**{**options, **sizes})


def slow_window_attention(net, x):
    """Attention of each cell of a map [h, w, C] to the cells of its window, one by one."""
    height, width, dim = x.shape
    heads, span = net.attention.num_heads, 2 * net.window - 1
    q, k, v = net.attention.qkv(x).unflatten(-1, (3, heads, dim // heads)).unbind(dim=2)
    out = torch.zeros_like(q)
    for y, column in ((y, column) for y in range(height) for column in range(width)):
        top, left = y // net.window * net.window, column // net.window * net.window
        cells = [(top + i, left + j) for i in range(net.window) for j in range(net.window)]
        for head in range(heads):
            logits = torch.stack(
                [
                    q[y, column, head] @ k[there][head] / math.sqrt(dim // heads)
                    + net.relative_position_bias_table[
                        (y - there[0] + net.window - 1) * span + column - there[1] + net.window - 1, head
                    ]
                    for there in cells
                ]
            )
            values = torch.stack([v[there][head] for there in cells])
            out[y, column, head] = logits.softmax(dim=0) @ values
    return net.attention.out(out.flatten(2))


@torch.no_grad()
def test_window_attention_cell_by_cell():
    torch.manual_seed(0)
    net = WindowAttention(C, HEADS, window=2)
    net.relative_position_bias_table.normal_()
    x = torch.randn(1, 4, 6, C)
    torch.testing.assert_close(net(x)[0], slow_window_attention(net, x[0]))


@torch.no_grad()
def test_padding_is_zeros_around_the_map():
    torch.manual_seed(0)
    net = WindowAttention(C, HEADS, window=WINDOW)
    x = torch.randn(B, 5, 6, C)  # to 8 x 8: 1 above, 2 below, 1 left, 1 right
    padded = torch.zeros(B, 8, 8, C)
    padded[:, 1:6, 1:7] = x
    torch.testing.assert_close(net(x), net(padded)[:, 1:6, 1:7])


def test_windows_do_not_see_each_other():
    net = WindowAttention(C, HEADS, window=WINDOW)
    x = torch.randn(1, 8, 12, C, requires_grad=True)
    net(x)[0, 0, 5].sum().backward()
    seen = x.grad[0].abs().sum(dim=-1) > 0
    assert seen[:4, 4:8].all()
    assert seen.sum() == 16


def test_a_block_joins_windows_by_its_convolution():
    block = HRFormerBlock(C, HEADS, window=WINDOW).eval()
    x = torch.randn(1, C, 8, 12, requires_grad=True)
    out = block(x)
    assert out.shape == x.shape
    out[0, :, 3, 5].sum().backward()
    seen = x.grad[0].abs().sum(dim=0) > 0
    assert seen[4, 5]  # the window below
    assert not seen[:, 8:].any()  # two windows to the right of the neighbours'


def test_drop_path_skips_both_parts_in_training_only():
    torch.manual_seed(0)
    block = HRFormerBlock(C, HEADS, window=WINDOW, drop_path=0.999)
    x = torch.randn(B, C, 4, 8)
    assert torch.equal(block(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_the_window_of_a_block_changes_the_result():
    x, results = torch.randn(B, C, 4, 8), []
    for window in (WINDOW, 2):
        torch.manual_seed(0)
        results.append(HRFormerBlock(C, HEADS, window=window)(x))
    assert not torch.allclose(*results)


def test_a_module_gives_as_many_maps_as_asked():
    widths = (4, 6, 8)
    maps = [torch.randn(B, width, 16 >> level, 24 >> level) for level, width in enumerate(widths)]
    for count in (1, 3):
        module = HRFormerModule(widths, (1, 2, 4), drop_paths=[0.0], num_outputs=count, window=WINDOW)
        assert [x.shape for x in module(maps)] == [x.shape for x in maps[:count]]


def test_the_map_and_a_gradient_to_every_parameter():
    net = small(drop_path=0.0)
    (features,) = net(torch.randn(B, 3, 64, 96))
    assert features.shape == (B, 4, 16, 24)
    assert (net.channels, net.strides) == ([4], [4])
    features.square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in net.parameters())


def test_drop_path_grows_from_zero_block_by_block():
    net = small(drop_path=0.2)
    rates = [
        [block.drop_path.drop_prob for block in branch]
        for stage in net.stages
        for module in stage
        for branch in module.branches
    ]
    firsts = [rates[0], rates[2], rates[5], rates[8], rates[12]]  # of the finest map of each module
    expected = torch.linspace(0, 0.2, 10).tolist()
    assert [rate for pair in firsts for rate in pair] == pytest.approx(expected)
    assert rates[0] == rates[1]


@pytest.mark.parametrize("option", [{"num_modules": (1, 1, 2)}, {"window": 3}, {"heads": (2, 2, 3, 4)}])
def test_every_size_changes_the_result(option):
    images, results = torch.randn(1, 3, 64, 96), []
    for sizes in ({}, option):
        torch.manual_seed(0)
        results.append(small(**sizes).eval()(images)[0])
    assert not torch.allclose(*results)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="4 widths"):
        small(widths=(4, 8, 12))
    with pytest.raises(ValueError, match="multiples of 32"):
        small()(torch.randn(1, 3, 64, 80))
