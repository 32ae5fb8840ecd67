"""What attention in windows sees: the windows of a block, and the cells that a cell hears of."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from pctlib.models.vit_windows import WindowAttention


def window_numbers(attention: WindowAttention) -> np.ndarray:
    """Return [h, w] the number of the window that each cell lies in.

    Where windows are moved, one that reaches over the edge of the grid holds cells of opposite sides, which
    do not see each other: each side has a number of its own.
    """
    axes = zip(attention.grid_size, attention.window, attention.offset, strict=True)
    rows, columns = (_numbers(cells, size, offset) for cells, size, offset in axes)
    return rows[:, None] * (columns.max() + 1) + columns


def _numbers(cells: int, size: int, offset: int) -> np.ndarray:
    """Return [cells] numbers of the windows along one side, counted from its start."""
    return (np.arange(cells) + (size - offset) % size) // size


def cells_heard(blocks: Sequence[nn.Module], grid_size: tuple[int, int], cell: tuple[int, int]) -> np.ndarray:
    """Return [h, w] bool: the cells whose tokens change what blocks make of one cell, by its gradient.

    Args:
        blocks: of a transformer, applied in order; put in eval mode.
        grid_size: (h, w) cells.
        cell: (row, column) of the one cell.
    """
    h, w = grid_size
    channels = next(blocks[0].parameters()).shape[-1]  # of its first norm
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, h * w, channels, generator=draw).requires_grad_()
    with torch.enable_grad():
        output = nn.Sequential(*blocks).eval()(tokens)[0, cell[0] * w + cell[1]]
        [gradient] = torch.autograd.grad(output.square().sum(), tokens)
    return (gradient[0].abs().sum(-1) > 0).reshape(h, w).numpy()
