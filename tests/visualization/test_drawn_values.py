"""What a figure shows can be read back from it as numbers."""

import numpy as np
import pandas as pd

from pctlib.visualization import curves
from pctlib.visualization.drawn_values import drawn_values
from pctlib.visualization.style import new_figure


def test_curves_give_back_their_history():
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.5, 0.25], "val_AP": [np.nan, 0.75]})
    frame = drawn_values(curves.learning_curves(history, references={"val_AP": 0.9}))
    assert frame.values.tolist() == [
        ["Training loss", "", 1.0, 0.5],
        ["Training loss", "", 2.0, 0.25],
        ["Validation AP", "", 2.0, 0.75],
    ]


def test_bars_give_back_groups_series_and_lengths():
    rows = pd.DataFrame(
        {"joint": ["left_hip", "nose"] * 2, "kind": ["seen"] * 2 + ["hidden"] * 2, "v": [1.0, 2, 3, 4]}
    )
    frame = drawn_values(curves.bars(rows, group="joint", series="kind", value="v"))
    assert frame[["series", "y", "x"]].values.tolist() == [
        ["seen", "left hip", 1.0],
        ["seen", "nose", 2.0],
        ["hidden", "left hip", 3.0],
        ["hidden", "nose", 4.0],
    ]


def test_a_heat_map_gives_back_its_cells():
    figure, (axes,) = new_figure(size=(2, 2))
    axes.imshow([[1.0, 2.0], [3.0, 4.0]])
    axes.set_xticks([0, 1], ["8", "16"])
    frame = drawn_values(figure)
    assert frame[["x", "y", "value"]].values.tolist() == [
        ["8", 0, 1.0],
        ["16", 0, 2.0],
        ["8", 1, 3.0],
        ["16", 1, 4.0],
    ]


def test_pictures_and_hidden_axes_are_no_values():
    figure, (picture, pose) = new_figure(1, 2, size=(2, 4))
    picture.imshow(np.zeros((4, 4, 3), dtype=np.uint8))
    pose.plot([0, 1], [0, 1])
    pose.set_axis_off()
    assert drawn_values(figure).empty
