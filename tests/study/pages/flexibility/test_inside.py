"""Windows of attention: where they lie, and what a cell hears of, told by the network's own gradient."""

import numpy as np
import pytest
import torch

from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vit_windows import Windows, WindowViT
from pctlib.study.pages.flexibility.inside import cells_heard, window_numbers

SIZE = ViTSize(channels=8, depth=2, num_heads=2)


def blocks(**windows):
    torch.manual_seed(0)
    return WindowViT(SIZE, (96, 64), windows=Windows((3, 2), **windows)).blocks  # 6 x 4 cells


def test_windows_are_counted_row_by_row():
    first, second = blocks(shift=True)
    assert window_numbers(first.attn).tolist() == 3 * [[0, 0, 1, 1]] + 3 * [[2, 2, 3, 3]]
    moved = [[0, 1, 1, 2]] + 3 * [[3, 4, 4, 5]] + 2 * [[6, 7, 7, 8]]
    assert window_numbers(second.attn).tolist() == moved


@pytest.mark.parametrize("number", [0, 1])
def test_a_cell_hears_of_its_window_and_of_nothing_else(number):
    block = blocks(shift=True)[number]
    numbers = window_numbers(block.attn)
    for cell in np.ndindex(6, 4):
        np.testing.assert_array_equal(cells_heard([block], (6, 4), cell), numbers == numbers[cell])


def test_moved_windows_and_means_carry_word_further():
    alone, moved, pooled = (blocks(**helped) for helped in ({}, {"shift": True}, {"pool": True}))
    heard = [cells_heard(two, (6, 4), (3, 2)) for two in (alone, moved, pooled)]
    assert heard[0].sum() == 6  # its window, however many blocks
    assert heard[1].sum() > heard[0].sum()
    assert heard[2].all()
    assert cells_heard(ViT(SIZE, (96, 64)).blocks, (6, 4), (0, 0)).all()


def test_it_works_where_no_gradient_is_wanted():
    with torch.no_grad():
        assert cells_heard(blocks()[:1], (6, 4), (0, 0)).sum() == 6
