import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pctlib.visualization.drawn_values import drawn_values
from pctlib.visualization.galleries import GalleryRow
from pctlib.visualization.occlusion import StripRow, level_strip, method_panels, robustness_curves
from pctlib.visualization.style import MISSED, MUTED, RECOVERED

TRUTH = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0], [8.0, 8.0]])


def points(methods=("A", "B", "floor"), kinds=("objects", "frame"), metrics=("hidden", "seen"), levels=3):
    rows = [
        {
            "method": m,
            "kind": k,
            "level": level,
            "metric": x,
            "value": 10.0 * i + level,
            "low": 9.0 * i,
            "high": 60.0,
        }
        for i, m in enumerate(methods)
        for k in kinds
        for x in metrics
        for level in range(levels)
    ]
    return pd.DataFrame(rows)


def bands(axes):
    return sum(len(group.get_paths()) for group in axes.collections)


def test_curves_have_a_panel_a_metric_and_kind_and_a_line_a_method():
    figure = robustness_curves(points(), {"hidden": "error (%)", "seen": "share (%)"}, floor="floor")
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["objects, hidden", "frame, hidden", "objects, seen", "frame, seen"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["A", "B", "floor"]
        assert axes.lines[1].get_ydata().tolist() == [10, 11, 12]
        assert axes.lines[2].get_color() == MUTED
        assert bands(axes) == 2, "the floor has no band"
        assert axes.get_ylim()[0] == 0 < 60 <= axes.get_ylim()[1]
    assert [axes.get_ylabel() for axes in figure.axes] == ["error (%)", "", "share (%)", ""]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "level", "level"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A", "B", "floor"]
    values = drawn_values(figure)
    assert len(values) == 4 * 3 * 3
    assert set(values.series) == {"A", "B", "floor"}


def test_a_single_metric_is_not_repeated_in_the_titles_and_the_limit_is_kept():
    figure = robustness_curves(points(), {"seen": "share (%)"}, limit=100)
    assert [axes.get_title("left") for axes in figure.axes] == ["objects", "frame"]
    assert figure.axes[0].get_ylim() == (0, 100)
    assert bands(figure.axes[0]) == 3


def test_differences_show_both_sides_of_zero():
    frame = points(methods=("A",))
    frame[["value", "low"]] -= 3.0
    figure = robustness_curves(frame, {"hidden": "points"}, differences=True)
    assert figure.axes[0].get_ylim()[0] < -3
    assert len(figure.axes[0].lines) == 2
    assert len(drawn_values(figure)) == 2 * 3, "the line at zero is no value"


def test_each_method_has_a_panel():
    methods = ("A", "B", "C", "a name that is much longer than the panel is wide", "floor")
    figure = method_panels(
        points(methods), hidden="hidden", seen="seen", label="error", floor="floor", columns=3
    )
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title("left") for axes in shown] == list(methods[:4])
    labels = [line.get_label() for line in shown[0].lines]
    assert labels == ["objects, hidden", "objects, seen", "frame, hidden", "frame, seen", "floor, hidden"]
    assert shown[3].lines[0].get_ydata().tolist() == [30, 31, 32]
    assert shown[0].lines[4].get_ydata().tolist() == [40, 41, 42]
    sizes = [axes._left_title.get_fontsize() for axes in shown]
    assert sizes[3] < sizes[0]
    assert shown[0].get_ylim() == (0, 60)
    lost = points(methods)
    lost.loc[lost.method == "A", "high"] = 900.0
    assert (
        method_panels(lost, hidden="hidden", seen="seen", label="", floor="floor").axes[0].get_ylim()[1]
        == 126
    )
    without = method_panels(points(methods[:2]), hidden="hidden", seen="seen", label="error")
    assert len(without.axes[0].lines) == 4


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (points().drop(columns="low"), "frame: expected the columns"),
        (points(metrics=("seen",)), r"frame: no metric 'hidden'; there are \['seen'\]"),
    ],
)
def test_curves_refuse(frame, message):
    with pytest.raises(ValueError, match=message):
        robustness_curves(frame, {"hidden": ""})
    with pytest.raises(ValueError, match=message):
        method_panels(frame, hidden="hidden", seen="seen", label="")


def cells(levels=3, offset=0.0):
    image = np.full((12, 10, 3), 40, np.uint8)
    flags = np.array([1, 1, 2, 2])
    predictions = {"A": TRUTH + np.array([[0.5, 0], [3.0 + offset, 0], [9, 9], [0, 0]])}
    return [GalleryRow(image, TRUTH, flags, predictions, 10.0, f"level {n}") for n in range(levels)]


def rings(axes):
    return [
        to_hex(group.get_edgecolor()[0])
        for group in axes.collections
        if group.get_zorder() == 6 and len(group.get_offsets())
    ]


def test_a_strip_has_a_row_a_method_and_rings_hidden_joints(skeleton):
    rows = [StripRow("truth", cells()), StripRow("method A", cells(), "A")]
    figure = level_strip(rows, skeleton=skeleton, tolerance=0.1)
    assert len(figure.axes) == 6
    assert [axes.get_title("left") for axes in figure.axes[:3]] == ["level 0", "level 1", "level 2"]
    assert [figure.axes[n].texts[0].get_text() for n in (0, 3)] == ["truth", "method A"]
    assert rings(figure.axes[0]) == []
    assert rings(figure.axes[3]) == [RECOVERED, MISSED]
    assert rings(level_strip(rows[1:], skeleton=skeleton, tolerance=0.4).axes[0]) == [RECOVERED]
    assert figure.axes[5].get_xlim() == (-0.5, 9.5)
    assert len(figure.legends) == 1
    assert not level_strip(rows[:1], skeleton=skeleton, tolerance=0.1).legends
    assert not len(drawn_values(figure))


def test_a_strip_of_unequal_rows_is_refused(skeleton):
    rows = [StripRow("a", cells(2)), StripRow("b", cells(3))]
    with pytest.raises(ValueError, match=r"expected equal numbers of levels above 0, got \[2, 3\]"):
        level_strip(rows, skeleton=skeleton, tolerance=0.1)
    with pytest.raises(ValueError, match="above 0"):
        level_strip([], skeleton=skeleton, tolerance=0.1)
