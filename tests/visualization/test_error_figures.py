import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pctlib.visualization.error_figures import TYPE_COLORS, error_groups_figure, error_types_figure


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def summary(names):
    shares = np.linspace(0.05, 0.2, len(names))
    table = pd.DataFrame(dict.fromkeys(TYPE_COLORS, shares), index=names)
    return table.assign(error=shares / 2, keypoints=100)


def test_types_are_stacked_with_the_first_joint_on_top():
    figure = error_types_figure(summary(["nose", "left_eye", "all"]))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all", "left eye", "nose"]
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    assert ends == pytest.approx([4 * 0.2, 4 * 0.125, 4 * 0.05])
    assert axes.get_xlim()[1] >= 0.8
    figure.canvas.draw()


def test_types_are_needed():
    with pytest.raises(ValueError, match="no column 'jitter'"):
        error_types_figure(pd.DataFrame({"error": [0.1]}, index=["nose"]))


def test_one_panel_a_grouping():
    figure = error_groups_figure({"visibility": summary(["seen", "hidden", "all"]), "size": summary(["all"])})
    assert [axes.get_title() for axes in figure.axes] == ["visibility", "size"]
    assert len(figure.axes[0].containers[0]) == 3
    figure.canvas.draw()
    with pytest.raises(ValueError, match="at least one grouping"):
        error_groups_figure({})
