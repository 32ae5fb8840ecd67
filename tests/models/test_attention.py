import math

import pytest
import torch
from torch import nn

from pctlib.models.attention import EncoderLayer, SelfAttention, init_matrices, sine_positions

B, T, E, HEADS = 2, 7, 12, 3


def test_attention_equals_torch():
    torch.manual_seed(0)
    ours, theirs = SelfAttention(E, HEADS), nn.MultiheadAttention(E, HEADS, batch_first=True)
    with torch.no_grad():
        ours.qkv.weight.copy_(theirs.in_proj_weight)
        ours.qkv.bias.copy_(theirs.in_proj_bias.normal_())
        ours.out.load_state_dict(theirs.out_proj.state_dict())
    x, bias = torch.randn(B, T, E), torch.randn(T, T)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])
    torch.testing.assert_close(ours(x, bias), theirs(x, x, x, attn_mask=bias)[0])


def test_a_bias_by_head_reaches_that_head_alone():
    attention = SelfAttention(E, HEADS).eval()
    attention.out = nn.Identity()
    x, bias = torch.randn(B, T, E), torch.zeros(1, HEADS, T, T)
    bias[:, 1, :, 0] = 5.0
    changed = (attention(x, bias) - attention(x)).abs().amax(dim=(0, 1)).unflatten(0, (HEADS, -1))
    assert (changed[1] > 0).all()
    assert changed[[0, 2]].max() < 1e-6


def test_attention_options():
    assert SelfAttention(E, HEADS, qkv_bias=False).qkv.bias is None
    with pytest.raises(ValueError, match="heads"):
        SelfAttention(E, 5)


def test_encoder_layer_equals_torch_where_nothing_has_a_position():
    torch.manual_seed(0)
    ours = EncoderLayer(E, HEADS, hidden=20).eval()
    theirs = nn.TransformerEncoderLayer(E, HEADS, 20, dropout=0.0, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(B, T, E)
    torch.testing.assert_close(ours(x, torch.zeros(T, E)), theirs(x))


def test_positions_tell_where_to_look_but_are_not_carried_on():
    layer = EncoderLayer(E, HEADS, hidden=20)
    x, positions = torch.randn(B, T, E), torch.randn(T, E)
    assert not torch.allclose(layer(x, positions), layer(x, torch.zeros(T, E)))
    with torch.no_grad():
        layer.self_attn.in_proj_weight[: 2 * E] = 0  # queries and keys see nothing
    torch.testing.assert_close(layer(x, positions), layer(x, torch.zeros(T, E)))


def test_dropout_acts_in_training_only():
    layer = EncoderLayer(E, HEADS, hidden=20, dropout=0.5)
    x, positions = torch.randn(B, T, E), torch.zeros(T, E)
    torch.manual_seed(0)
    assert not torch.equal(layer(x, positions), layer(x, positions))
    layer.eval()
    assert torch.equal(layer(x, positions), layer(x, positions))


def test_sine_positions_by_hand():
    positions = sine_positions((2, 3), 8).unflatten(0, (2, 3))
    row, column = 2 * math.pi * 1 / 2, 2 * math.pi * 2 / 3  # first of two rows, second of three columns
    slow = 10_000 ** (2 / 4)
    expected = [
        *(math.sin(row), math.cos(row), math.sin(row / slow), math.cos(row / slow)),
        *(math.sin(column), math.cos(column), math.sin(column / slow), math.cos(column / slow)),
    ]
    torch.testing.assert_close(positions[0, 1], torch.tensor(expected), atol=1e-5, rtol=0)


def test_sine_positions_are_all_different_and_need_pairs():
    positions = sine_positions((3, 5), 8)
    assert positions.shape == (15, 8)
    assert (torch.pdist(positions) > 1e-3).all()
    with pytest.raises(ValueError, match="dim"):
        sine_positions((3, 5), 6)


def test_matrices_are_drawn_and_biases_left():
    layer = nn.Linear(50, 30)
    bias = layer.bias.clone()
    init_matrices(layer)
    assert torch.equal(layer.bias, bias)
    limit = math.sqrt(6 / 80)
    assert 0.9 * limit < layer.weight.abs().max() <= limit
