import pytest
import torch
import torch.nn.functional as F

from pctlib.models.layers import (
    FlatMlp,
    LinearNormRelu,
    MixerLayer,
    MixerSize,
    ResidualBlock,
    along_positions,
    full_precision,
    mixer_stack,
)

SIZE = MixerSize(dim=6, num_layers=3, token_hidden=4, channel_hidden=9)


def test_mixer_layer_written_out():
    layer, x = MixerLayer(5, SIZE), torch.randn(2, 5, 6)
    y = F.layer_norm(x, (6,))
    mlp = layer.token_mlp
    y = x + (F.gelu(y.mT @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T + mlp.fc2.bias).mT
    z = F.layer_norm(y, (6,))
    mlp = layer.channel_mlp
    z = y + F.gelu(z @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T + mlp.fc2.bias
    torch.testing.assert_close(layer(x), z)


def test_stack_has_its_layers_and_every_parameter_a_gradient():
    stack = mixer_stack(5, SIZE)
    assert len(stack) == 3
    out = stack(torch.randn(2, 5, 6))
    assert out.shape == (2, 5, 6)
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in stack.parameters())


def test_dropout_acts_in_training_only():
    layer = MixerLayer(5, MixerSize(dim=6, num_layers=1, token_hidden=4, channel_hidden=9, dropout=0.5))
    x = torch.randn(2, 5, 6)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_along_positions_maps_the_middle_axis():
    linear, x = torch.nn.Linear(5, 7), torch.randn(2, 5, 6)
    expected = torch.einsum("btd,st->bsd", x, linear.weight) + linear.bias[:, None]
    torch.testing.assert_close(along_positions(linear, x), expected)


def test_linear_norm_relu():
    layer, x = LinearNormRelu(4, 7), torch.randn(3, 2, 4)
    torch.testing.assert_close(layer(x), F.layer_norm(layer.linear(x), (7,)).relu())


@pytest.mark.parametrize("dilation", [1, 2])
def test_residual_block_keeps_the_size_and_reaches_as_far_as_its_dilation(dilation):
    block = ResidualBlock(3, dilation=dilation).eval()
    x = torch.zeros(1, 3, 11, 13)
    moved = x.clone()
    moved[0, :, 5, 6] = 1.0
    changed = (block(moved) != block(x)).any(1)[0]
    assert block(x).shape == x.shape
    assert changed.any(1).nonzero().flatten().tolist() == list(
        range(5 - 2 * dilation, 6 + 2 * dilation, dilation)
    )


def test_full_precision_holds_under_autocast_and_is_nothing_where_there_is_none():
    x = torch.ones(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x.T).dtype == torch.bfloat16
        with full_precision(x.device):
            assert (x @ x.T).dtype == torch.float32
    with full_precision(torch.device("meta")):
        assert (x.to("meta") @ x.T.to("meta")).shape == (2, 2)


def test_flat_mlp_written_out():
    """Two hidden layers over the flattened sequence; nothing is added to the input."""
    torch.manual_seed(0)
    layer = FlatMlp(3, MixerSize(dim=4, num_layers=2, token_hidden=99, channel_hidden=5))
    x = torch.randn(2, 3, 4)
    first, last, (middle,) = layer.expand, layer.contract, layer.between
    y = torch.nn.functional.gelu(x.reshape(2, 12) @ first.weight.T + first.bias)
    y = torch.nn.functional.gelu(y @ middle.weight.T + middle.bias)
    torch.testing.assert_close(layer(x), (y @ last.weight.T + last.bias).reshape(2, 3, 4))
    assert (layer.dropout.p, FlatMlp(3, MixerSize(4, 1, 9, 5, dropout=0.5)).dropout.p) == (0.0, 0.5)
