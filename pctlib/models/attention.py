"""Attention layers that TransPose, TokenPose, HRFormer and PRTR are made of."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, with one linear layer for queries, keys and values.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.

    Args:
        dim: width E of the tokens.
        num_heads: heads; divides the width.
        qkv_bias: whether the first linear layer has a bias.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"expected a width that {num_heads} heads divide, got {dim}")
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return [B, T, E] of tokens [B, T, E].

        Args:
            x: the tokens.
            bias: added to the logits; broadcasts to [B, heads, T, T], queries before keys.
        """
        q, k, v = rearrange(self.qkv(x), "B T (n h E) -> n B h T E", n=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # [B, h, T, E / h]
        return self.out(rearrange(mixed, "B h T E -> B T (h E)"))


class EncoderLayer(nn.Module):
    """A transformer layer as in DETR: positions join queries and keys only, norms follow the sums.

    Source: Carion et al. 2020, arXiv:2005.12872, appendix A.3; names as in the releases of DETR, TransPose
    and PRTR.

    Args:
        dim: width E of the tokens.
        num_heads: heads of the attention.
        hidden: width inside the two-layer network.
        dropout: probability on attention weights, inside the network and on both results.
    """

    def __init__(self, dim: int, num_heads: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return tokens [B, T, E] of tokens [B, T, E] at positions [T, E]."""
        q = k = x + positions
        x = self.norm1(x + self.dropout(self.self_attn(q, k, x, need_weights=False)[0]))
        hidden = self.dropout(self.linear1(x).relu())
        return self.norm2(x + self.dropout(self.linear2(hidden)))


def sine_positions(grid_size: tuple[int, int], dim: int) -> Tensor:
    """Return the position of each cell of a grid as sines and cosines.

    Source: Carion et al. 2020, arXiv:2005.12872, appendix A.4, and release: rows and columns run to 2 pi.

    Args:
        grid_size: (h, w) cells.
        dim: width E: the first half tells the row, the second the column.

    Returns:
        [h w, E], row by row.

    Raises:
        ValueError: if the width is no multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"dim: expected a multiple of 4, got {dim}")
    half = dim // 2
    wave = 10_000 ** (2 * (torch.arange(half, dtype=torch.float32) // 2) / half)  # [E / 2], each twice
    height, width = grid_size
    rows, columns = (_axis_positions(size, wave) for size in (height, width))  # [h, E / 2], [w, E / 2]
    both = (rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1))
    return torch.cat(both, dim=-1).flatten(0, 1)  # [h w, E]


def _axis_positions(size: int, wave: Tensor) -> Tensor:
    """Return [size, E / 2]: sines and cosines in turn of angles up to 2 pi over the wave lengths."""
    angle = torch.arange(1, size + 1, dtype=torch.float32) / (size + 1e-6) * 2 * math.pi
    phase = angle[:, None] / wave  # [size, E / 2]
    return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=-1).flatten(1)


def init_matrices(module: nn.Module) -> None:
    """Draw every matrix of a module from Xavier's uniform distribution, as DETR and its followers start."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
