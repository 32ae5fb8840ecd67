import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pctlib.complexity import MultiplyAdds, count_flops, count_parameters


class _Tokens(nn.Module):
    """Cells of a map [B, C, h, w] as tokens through a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, images):
        return self.layer(images.flatten(2).transpose(1, 2))


def test_parameters_once_each_without_buffers():
    shared = nn.Linear(3, 5)
    module = nn.Sequential(shared, shared, nn.BatchNorm1d(5))
    module[2].weight.requires_grad_(False)
    assert count_parameters(module) == 3 * 5 + 5 + 2 * 5


def test_convolutions_count_output_cells_times_weights():
    conv = nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2))
    assert count_flops(conv, (6, 10)) == MultiplyAdds(layers=(3 * 5) * (3 * 5) * 3 * 8, attention=0)


def test_groups_divide_the_count():
    assert count_flops(nn.Conv2d(3, 3, 3, padding=1, groups=3), (4, 7)).total == 4 * 7 * 9 * 3


def test_transposed_convolutions_count_input_cells_times_weights():
    deconv = nn.ConvTranspose2d(3, 5, 4, 2, 1)
    assert count_flops(deconv, (6, 7)).total == 6 * 7 * (4 * 4 * 3 * 5)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_count_tokens_times_weights(bias):
    assert count_flops(_Tokens(nn.Linear(3, 11, bias=bias)), (4, 5)).total == 20 * 3 * 11


class _Attend(nn.Module):
    def forward(self, tokens):
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_counts_two_products():
    flops = count_flops(_Tokens(_Attend()), (4, 5))
    assert flops == MultiplyAdds(layers=0, attention=2 * 20 * 20 * 3)
    assert flops.gflops == pytest.approx(2.4e-6)


def test_the_layers_of_torch_are_counted_whole():
    layer = nn.TransformerEncoderLayer(3, 1, dim_feedforward=7, batch_first=True)
    flops = count_flops(_Tokens(layer), (4, 5))  # in eval mode torch would take its fused path
    assert flops == MultiplyAdds(layers=20 * (4 * 3 * 3 + 2 * 3 * 7), attention=2 * 20 * 20 * 3)
    assert torch.backends.mha.get_fastpath_enabled()


def test_normalisation_activation_pooling_and_resizing_count_nothing():
    free = nn.Sequential(nn.BatchNorm2d(3), nn.GELU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2))
    assert count_flops(free, (4, 6)).total == 0


def test_the_module_stays_as_it_is():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    count_flops(module, (3, 5))
    assert [part.training for part in module] == [True, False, True]
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_modes_return_after_an_error():
    module = nn.Sequential(nn.Conv2d(4, 4, 1)).train()
    with pytest.raises(RuntimeError):
        count_flops(module, (3, 5))  # three channels into four
    assert module.training
    assert torch.backends.mha.get_fastpath_enabled()


def test_weights_may_be_without_memory():
    with torch.device("meta"):
        module = nn.Conv2d(3, 8, 1)
    assert count_flops(module, (4, 5)).total == 20 * 24


@pytest.mark.parametrize("size", [(0, 5), (4,), (4, -1)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match="input_size"):
        count_flops(nn.Identity(), size)
