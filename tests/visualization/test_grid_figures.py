"""The grid's figures show every point once, and failed points as crosses."""

import numpy as np
import pandas as pd

from pctlib.visualization.drawn_values import drawn_values
from pctlib.visualization.grid import grid_curves, grid_maps

MEANS = pd.DataFrame([[1.0, 2.0], [3.0, np.nan]], index=[8, 16], columns=[2, 4])


def test_maps_write_every_mean_and_cross_out_what_failed():
    figure = grid_maps({"error": MEANS}, low_is_good={"error": True})
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3", "×"]
    colors = [text.get_color() for text in figure.axes[0].texts[:3]]
    assert colors[0] == "white"  # the best is the darkest
    assert colors[2] != "white"


def test_curves_have_a_line_for_each_value_of_the_other_axis():
    points = pd.DataFrame({"V": [8, 8, 16, 16], "M": [2, 4, 2, 4], "e": [4.0, 3.0, 2.0, 1.0]})
    frame = drawn_values(grid_curves(points, {"e": "error"}, along="M", series="V"))
    assert frame.groupby("series")["y"].apply(list).to_dict() == {"V = 8": [4.0, 3.0], "V = 16": [2.0, 1.0]}
