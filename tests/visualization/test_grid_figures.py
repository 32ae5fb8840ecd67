"""The grid's figures show every point once, and failed points as crosses."""

import numpy as np
import pandas as pd
import pytest

from pctlib.visualization.drawn_values import drawn_values
from pctlib.visualization.grid import grid_maps, sweep_curves

MEANS = pd.DataFrame([[1.0, 2.0], [3.0, np.nan]], index=[8, 16], columns=[2, 4])
CURVES = pd.DataFrame(
    {
        "V": [8, 8, 16, 16],
        "M": [4, 2, 2, 4],
        "metric": "error",
        "value": [3.0, 4.0, 2.0, 1.0],
        "low": [2.5, 3.5, 1.5, 0.5],
        "high": [3.5, 4.5, 2.5, 1.5],
    }
)


def test_maps_write_every_mean_and_cross_out_what_failed():
    figure = grid_maps({"error": MEANS}, low_is_good={"error": True})
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3", "×"]
    colors = [text.get_color() for text in figure.axes[0].texts[:3]]
    assert colors[0] == "white"  # the best is the darkest
    assert colors[2] != "white"
    turned = grid_maps({"AP": MEANS}, low_is_good={"AP": False}).axes[0].texts
    assert [text.get_color() == "white" for text in turned[:3]] == [False, False, True]


def test_maps_of_failures_alone_are_crosses():
    figure = grid_maps({"error": MEANS * np.nan}, low_is_good={"error": True})
    assert {text.get_text() for text in figure.axes[0].texts} == {"×"}


def test_curves_have_a_line_for_each_value_of_the_other_axis_in_the_order_of_the_first():
    figure = sweep_curves(CURVES, along="M", series="V")
    frame = drawn_values(figure)
    assert frame.groupby("series")["y"].apply(list).to_dict() == {"V = 8": [4.0, 3.0], "V = 16": [2.0, 1.0]}
    bands = [band.get_paths()[0].vertices[:, 1] for band in figure.axes[0].collections]
    assert [(band.min(), band.max()) for band in bands] == [(2.5, 4.5), (0.5, 2.5)]
    turned = drawn_values(sweep_curves(CURVES, along="V", series="M"))
    assert turned.groupby("series")["y"].apply(list).to_dict() == {"M = 2": [4.0, 2.0], "M = 4": [3.0, 1.0]}


def test_named_series_keep_their_names_and_every_metric_has_a_panel():
    frame = pd.concat([CURVES.assign(metric="AP"), CURVES]).assign(joints="seen joints")
    figure = sweep_curves(frame[frame.M == 2], along="V", series="joints")
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["AP", "error"]
    assert figure.legends[0].get_texts()[0].get_text() == "seen joints"


def test_curves_without_a_point_or_a_column():
    assert (
        sweep_curves(CURVES.iloc[:0], along="V", series="M").axes[0].get_title("left") == "no point finished"
    )
    with pytest.raises(ValueError, match=r"no column \['low'\]"):
        sweep_curves(CURVES.drop(columns="low"), along="V", series="M")
