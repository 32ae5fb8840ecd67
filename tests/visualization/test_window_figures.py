import numpy as np
import pytest

from pctlib.visualization.windows import borders, windows_over_crop

HALVES = np.array([[0, 0, 1], [0, 0, 1]])  # 2 x 3 cells
CROP = np.full((40, 60, 3), 9, np.uint8)


def test_borders_part_cells_of_different_windows():
    assert borders(HALVES).tolist() == [[[2, 0], [2, 1]], [[2, 1], [2, 2]]]
    assert borders(HALVES.T).tolist() == [[[0, 2], [1, 2]], [[1, 2], [2, 2]]]
    assert borders(np.zeros((2, 2))).shape == (0, 2, 2)


def test_windows_are_drawn_in_pixels_of_the_crop():
    heard = np.array([[True, False, False], [True, True, False]])
    figure = windows_over_crop(CROP, {"one": (HALVES, heard), "two": (HALVES, ~heard)}, cell=(1, 0))
    first, second = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["one", "two"]
    lines = np.array(first.collections[0].get_segments())
    assert lines.tolist() == [[[39.5, -0.5], [39.5, 19.5]], [[39.5, 19.5], [39.5, 39.5]]]
    assert first.lines[0].get_xydata().tolist() == [[9.5, 29.5]]
    dark = first.images[1].get_array()[..., 3] > 0
    assert (dark == ~heard).all()
    assert ((second.images[1].get_array()[..., 3] > 0) == heard).all()


def test_figure_refuses():
    with pytest.raises(ValueError, match="panels: expected at least one"):
        windows_over_crop(CROP, {}, cell=(0, 0))
    with pytest.raises(ValueError, match=r"grids of one shape, got \[\(2, 3\), \(3, 2\)\]"):
        windows_over_crop(CROP, {"one": (HALVES, HALVES.T > 0)}, cell=(0, 0))
