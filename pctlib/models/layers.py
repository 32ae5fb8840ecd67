"""Layers that several networks share: MLP-Mixer blocks, a plain MLP, residual convolutions, soft-argmax."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context in which nothing is computed in half precision, also under autocast.

    Does nothing for devices without autocast, such as "meta".
    """
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


@dataclass(frozen=True)
class MixerSize:
    """Size of a stack of mixer layers.

    Attributes:
        dim: width of each position.
        num_layers: layers in the stack.
        token_hidden: hidden width of the MLP along the positions.
        channel_hidden: hidden width of the MLP along the width.
        dropout: probability inside the MLPs, after the activation and after the second linear layer.
    """

    dim: int
    num_layers: int
    token_hidden: int
    channel_hidden: int
    dropout: float = 0.0


class MixerLayer(nn.Module):
    """Mix information along the positions of a sequence, then along its channels.

    Source: Tolstikhin et al. 2021, arXiv:2105.01601, figure 1; as in PCT, arXiv:2303.11638.

    Args:
        num_positions: length T of the sequences: keypoints or tokens.
        size: width and hidden widths; its `num_layers` plays no part.
    """

    def __init__(self, num_positions: int, size: MixerSize) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(size.dim)
        self.token_mlp = Mlp(num_positions, size.token_hidden, drop=size.dropout)
        self.channel_norm = nn.LayerNorm(size.dim)
        self.channel_mlp = Mlp(size.dim, size.channel_hidden, drop=size.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, dim] of [B, T, dim]."""
        x = x + along_positions(self.token_mlp, self.token_norm(x))
        return x + self.channel_mlp(self.channel_norm(x))


def mixer_stack(num_positions: int, size: MixerSize) -> nn.Sequential:
    """Return `size.num_layers` mixer layers over sequences of `num_positions`."""
    return nn.Sequential(*(MixerLayer(num_positions, size) for _ in range(size.num_layers)))


class FlatMlp(nn.Module):
    """A plain MLP over all positions at once: flattened, `num_layers` hidden layers with GELU, and back.

    The control of `mixer_stack`: nothing is shared between positions or channels, and nothing is added to
    the input. The hidden width is that of the MLP along the width; the one along the positions is not used.

    Args:
        num_positions: length T of the sequences.
        size: width, number and width of the hidden layers, dropout.
    """

    def __init__(self, num_positions: int, size: MixerSize) -> None:
        super().__init__()
        flat, hidden = num_positions * size.dim, size.channel_hidden
        self.expand = nn.Linear(flat, hidden)
        self.between = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(size.num_layers - 1))
        self.contract = nn.Linear(hidden, flat)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, T, dim] of [B, T, dim]."""
        y = self.dropout(F.gelu(self.expand(x.flatten(1))))
        for layer in self.between:
            y = self.dropout(F.gelu(layer(y)))
        return self.contract(y).view(x.shape)


def along_positions(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer for the last axis to the position axis: [B, T, dim] to [B, T', dim]."""
    return layer(x.transpose(1, 2)).transpose(1, 2)


class LinearNormRelu(nn.Module):
    """A linear layer, LayerNorm and ReLU along the last axis.

    Args:
        in_dim: width in.
        out_dim: width out.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        self.norm = nn.LayerNorm(out_dim)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out_dim] of [..., in_dim]."""
        return self.activation(self.norm(self.linear(x)))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation around a shortcut; size and width stay.

    Source: He et al. 2015, arXiv:1512.03385, figure 5 left.

    Args:
        channels: C.
        dilation: of both convolutions, in cells; the padding is the same number.
    """

    def __init__(self, channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H, W] of [B, C, H, W]."""
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(x + self.norm2(self.conv2(y)))


def soft_argmax(logits: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Return the softmax over the last `dims` axes and its mean place.

    Args:
        logits: [..., (D,) H, W].
        dims: 2 or 3.

    Returns:
        Probabilities, of the shape of the logits, and places [..., dims], (x, y(, z)) in cells: a cell's
        place is its index.
    """
    probability = logits.flatten(-dims).softmax(-1).view_as(logits)
    places = [mean_cell(marginal) for marginal in marginals(probability, dims)]
    return probability, torch.stack(places, dim=-1)


def marginals(probability: Tensor, dims: int) -> list[Tensor]:
    """Return the sums of [..., (D,) H, W] along x, y (and z): [..., W], [..., H] (and [..., D])."""
    axes = range(-1, -1 - dims, -1)
    return [probability.sum([other for other in axes if other != axis]) for axis in axes]


def mean_cell(probability: Tensor) -> Tensor:
    """Return the mean index [...] under probabilities [..., n]."""
    cells = torch.arange(probability.shape[-1], device=probability.device, dtype=probability.dtype)
    return (probability * cells).sum(-1)
