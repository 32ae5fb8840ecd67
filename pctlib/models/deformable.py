"""Attention that samples a few learned places of several feature maps: the decoder of OSX.

Source: Zhu et al. 2021 (Deformable DETR), arXiv:2010.04159, equation 3; Mao et al. 2022 (Poseur),
arXiv:2201.07412; Lin et al. 2023 (OSX), arXiv:2303.16160, section 3.4, and release.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class DecoderSize:
    """Size of a deformable decoder; the defaults are OSX's.

    Attributes:
        width: E, of queries and memory; divisible by `groups`, the heads and 4.
        num_layers: decoder layers.
        hidden: width of the feed-forward part.
        num_heads: H, of both attentions.
        num_levels: L, feature maps.
        num_points: P, places each head looks at in each map.
        groups: of the group norm behind each map's projection.
        dropout: probability in each residual branch.
    """

    width: int = 256
    num_layers: int = 6
    hidden: int = 1024
    num_heads: int = 8
    num_levels: int = 3
    num_points: int = 4
    groups: int = 32
    dropout: float = 0.1


def deformable_sum(maps: Sequence[Tensor], places: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of bilinear samples of several maps.

    Args:
        maps: L maps [B, C, h, w] of any sizes.
        places: [B, Q, L, P, 2], (x, y) in units of each map's width and height: 0 is the left or upper
            border, not the centre of the first cell, 1 the other. Outside the map is zero.
        weights: [B, Q, L, P].

    Returns:
        [B, Q, C].
    """
    grid = 2 * places - 1
    sampled = [
        F.grid_sample(level, grid[:, :, number], align_corners=False) * weights[:, None, :, number]
        for number, level in enumerate(maps)
    ]  # [B, C, Q, P]
    return torch.stack([level.sum(-1) for level in sampled]).sum(0).mT  # [B, Q, C]


class PostValueAttention(nn.Module):
    """Deformable attention whose heads sample the whole memory and project what they found.

    Deformable DETR projects the memory, bias included, before; the heads here project the weighted sum, with
    matrices and biases of their own. A sum of samples is linear in the memory, so the matrices may come
    first, and a head samples only its share of the channels; the bias may not, as outside the maps is zero.

    Args:
        size: widths, heads, levels, points.
    """

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        self.size = size
        E, H = size.width, size.num_heads
        places = H * size.num_levels * size.num_points
        self.sampling_offsets = nn.Linear(E, 2 * places)
        self.attention_weights = nn.Linear(E, places)
        self.value_weight = nn.Parameter(torch.empty(H, E, E // H))
        self.value_bias = nn.Parameter(torch.zeros(H, E // H))
        self.output_proj = nn.Linear(E, E)
        nn.init.xavier_uniform_(self.value_weight.view(H * E, E // H))
        nn.init.xavier_uniform_(self.output_proj.weight)
        nn.init.zeros_(self.output_proj.bias)
        self.spread_offsets()

    def spread_offsets(self) -> None:
        """Let head k look 1 to P cells away in the k-th of H directions, with equal weights at first.

        Source: Deformable DETR, appendix A.4. Differs: OSX's start of training overwrites it by chance.
        """
        size = self.size
        angles = torch.arange(size.num_heads) * (2 * math.pi / size.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)  # [H, 2]
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, size.num_points + 1)
        bias = directions[:, None, None] * steps[:, None]  # [H, 1, P, 2]
        with torch.no_grad():
            self.sampling_offsets.weight.zero_()
            self.sampling_offsets.bias.copy_(bias.expand(-1, size.num_levels, -1, -1).reshape(-1))
            self.attention_weights.weight.zero_()
            self.attention_weights.bias.zero_()

    def forward(self, query: Tensor, maps: Sequence[Tensor], reference: Tensor) -> Tensor:
        """Return what each query finds, [B, Q, E].

        Args:
            query: [B, Q, E], its position added.
            maps: the memory, L maps [B, E, h, w].
            reference: [B, Q, 2] place of each query, (x, y) in units of the maps' width and height.
        """
        B, Q, E = query.shape
        H, L, P = self.size.num_heads, self.size.num_levels, self.size.num_points
        offsets = self.sampling_offsets(query).view(B, Q, H, L, P, 2)
        extent = query.new_tensor([[level.shape[3], level.shape[2]] for level in maps])  # [L, 2]
        places = reference[:, :, None, None, None] + offsets / extent[:, None]  # [B, Q, H, L, P, 2]
        weights = self.attention_weights(query).view(B, Q, H, L * P).softmax(-1).view(B, Q, H, L, P)
        kernel = self.value_weight.mT.reshape(E, E, 1, 1)  # of all heads, one below the other
        values = [F.conv2d(level, kernel).reshape(B * H, -1, *level.shape[2:]) for level in maps]
        by_head = (part.transpose(1, 2).flatten(0, 1) for part in (places, weights))
        found = deformable_sum(values, *by_head).view(B, H, Q, -1).transpose(1, 2)  # [B, Q, H, E / H]
        return self.output_proj((found + self.value_bias).flatten(2))


class DecoderLayer(nn.Module):
    """Self-attention among the joints, deformable attention to the maps, feed-forward; norms behind each.

    Args:
        size: of the decoder.
    """

    def __init__(self, size: DecoderSize) -> None:
        super().__init__()
        E = size.width
        self.self_attention = nn.MultiheadAttention(E, size.num_heads, dropout=size.dropout, batch_first=True)
        self.cross_attention = PostValueAttention(size)
        self.expand, self.contract = nn.Linear(E, size.hidden), nn.Linear(size.hidden, E)
        self.norms = nn.ModuleList(nn.LayerNorm(E) for _ in range(3))
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, x: Tensor, position: Tensor, maps: Sequence[Tensor], reference: Tensor) -> Tensor:
        """Return [B, Q, E] of queries `x` [B, Q, E]; `position` [Q, E] is added to queries and keys only."""
        placed = x + position
        attended = self.self_attention(placed, placed, x, need_weights=False)[0]
        x = self.norms[0](x + self.dropout(attended))
        x = self.norms[1](x + self.dropout(self.cross_attention(x + position, maps, reference)))
        hidden = self.dropout(F.relu(self.expand(x)))
        return self.norms[2](x + self.dropout(self.contract(hidden)))


class DeformableDecoder(nn.Module):
    """Refine one query per joint by looking at several maps around the place a guide found for it.

    Places stay what the guide gave, in all layers. There is no encoder.

    Args:
        size: of the decoder.
        channels: of each map, fine to coarse.
        num_joints: Q.
    """

    def __init__(self, size: DecoderSize, channels: Sequence[int], num_joints: int) -> None:
        super().__init__()
        E = size.width
        self.necks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(C, E, 1, bias=False), nn.GroupNorm(size.groups, E)) for C in channels
        )
        # One row more than there are maps, as in the release: it is never read.
        self.level_embeds = nn.Parameter(torch.randn(len(channels) + 1, E))
        self.position = nn.Parameter(torch.randn(num_joints, E))
        self.layers = nn.ModuleList(DecoderLayer(size) for _ in range(size.num_layers))

    def memory(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps [B, C, h, w] at the decoder's width with place and level added, [B, E, h, w]."""
        projected = [neck(level) for neck, level in zip(self.necks, maps, strict=True)]
        return [
            level + sine_embedding(*level.shape[1:]).to(level) + self.level_embeds[number][:, None, None]
            for number, level in enumerate(projected)
        ]

    def forward(self, query: Tensor, maps: Sequence[Tensor], reference: Tensor) -> Tensor:
        """Return the refined queries [B, Q, E].

        Args:
            query: [B, Q, E].
            maps: [B, C, h, w], fine to coarse.
            reference: [B, Q, 2] place of each joint, (x, y) in units of the maps' width and height; takes no
                gradient.
        """
        memory, reference = self.memory(maps), reference.detach()
        for layer in self.layers:
            query = layer(query, self.position, memory, reference)
        return query


def sine_embedding(width: int, height: int, length: int) -> Tensor:
    """Return sines and cosines of place, [E, h, w]; the first half of E for y, the second for x.

    Args:
        width: E, divisible by 4.
        height: h.
        length: w.
    """
    half = width // 2
    frequencies = 10000.0 ** -(2 * (torch.arange(half) // 2) / half)  # [E / 2]

    def along(cells: int) -> Tensor:
        place = (torch.arange(cells) + 0.5) / (cells + 1e-6) * 2 * math.pi
        angles = place[:, None] * frequencies  # [cells, E / 2]
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=-1).flatten(1).mT

    y = along(height)[:, :, None].expand(-1, -1, length)
    x = along(length)[:, None, :].expand(-1, height, -1)
    return torch.cat((y, x))
