import numpy as np
import pytest
from matplotlib.colors import to_hex

from pctlib.visualization.heatmaps import maps_over_crop

CROP = np.full((12, 8, 3), 100, np.uint8)


def peak(row, column, height=1.0):
    values = np.zeros((3, 4))
    values[row, column] = height
    return values


def test_a_cell_lies_where_its_centre_is_in_the_crop():
    figure = maps_over_crop(CROP, {"target": peak(1, 2)}, {}, stride_xy=(2.0, 4.0))
    crop, over = figure.axes
    assert len(crop.images) == 1
    left, right, bottom, top = over.images[1].get_extent()
    assert (left, right, bottom, top) == (-1, 7, 10, -2)  # cell (1, 2) is centred on pixel (x, y) = (4, 4)
    assert over.get_xlim() == (-0.5, 7.5)
    assert over.get_ylim() == (11.5, -0.5)


def test_the_crop_is_dark_under_maps_and_each_map_says_how_high_it_is():
    maps = {"target": peak(0, 0), "prediction": peak(2, 3, 0.25)}
    figure = maps_over_crop(CROP, maps, {}, stride_xy=(2, 4))
    assert [axes.images[0].get_array().max() for axes in figure.axes] == [100, 50, 50]
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["", "target\nhighest 1.00", "prediction\nhighest 0.25"]
    alpha = figure.axes[2].images[1].get_alpha()
    assert alpha[2, 3] == 0.85  # its own highest value is bright, however low
    assert alpha.sum() == pytest.approx(0.85)


def test_an_empty_map_is_drawn_empty():
    figure = maps_over_crop(CROP, {"flat": np.full((3, 4), 1e-4), "below": -peak(0, 0)}, {}, stride_xy=(2, 4))
    assert figure.axes[1].images[1].get_alpha().max() == pytest.approx(0.01)
    assert figure.axes[2].images[1].get_alpha().max() == 0


def test_points_are_marked_in_every_panel():
    points = {"true": np.array([3.0, 5.0]), "decoded": np.array([4.0, 6.0])}
    figure = maps_over_crop(CROP, {"target": peak(1, 2)}, points, stride_xy=(2, 4))
    for axes in figure.axes:
        assert [line.get_xydata().tolist() for line in axes.lines] == [[[3.0, 5.0]], [[4.0, 6.0]]]
        assert [line.get_marker() for line in axes.lines] == ["o", "x"]
        assert len({to_hex(line.get_markeredgecolor()) for line in axes.lines}) == 2
    assert [text.get_text() for text in figure.legends[0].texts] == ["true", "decoded"]


def test_figure_refuses():
    with pytest.raises(ValueError, match="at least one map and at most 4 points, got 0, 0"):
        maps_over_crop(CROP, {}, {}, stride_xy=(1, 1))
    many = {str(n): np.zeros(2) for n in range(5)}
    with pytest.raises(ValueError, match="got 1, 5"):
        maps_over_crop(CROP, {"target": peak(0, 0)}, many, stride_xy=(1, 1))
