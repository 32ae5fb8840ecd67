"""3D poses from three sides: what is drawn where, and what is refused."""

import numpy as np
import pytest

from pctlib.skeletons import H36M
from pctlib.visualization.poses_3d import TRUTH, TRUTH_COLOR, PoseRow3D, pose_views

POSE = np.random.default_rng(0).normal(0, 300, (17, 3))
COLORS = {"PCT": "#d62728"}


def limb(axes, number):
    return np.stack(axes.lines[number].get_data(), axis=1)


def test_three_views_show_the_right_axes():
    figure = pose_views([PoseRow3D({TRUTH: POSE})], skeleton=H36M, colors={})
    front, side, above = figure.axes
    start, end = H36M.limbs[0]
    for axes, columns in ((front, [0, 1]), (side, [2, 1]), (above, [0, 2])):
        np.testing.assert_allclose(limb(axes, 0), POSE[[start, end]][:, columns])
    assert front.yaxis_inverted(), "y points down"
    assert not above.yaxis_inverted(), "what is farther away is higher"


def test_truth_lies_below_and_has_its_own_colour():
    image = np.zeros((4, 4, 3), np.uint8)
    rows = [PoseRow3D({"PCT": POSE, TRUTH: POSE + 5}, image=image, label="median error")] * 2
    figure = pose_views(rows, skeleton=H36M, colors=COLORS)
    assert len(figure.axes) == 8
    lines = figure.axes[1].lines
    assert lines[0].get_color() == TRUTH_COLOR
    assert lines[-1].get_color() == COLORS["PCT"]
    assert figure.axes[0].get_title(loc="left") == "median error"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows: expected at least one"),
        ([PoseRow3D({"other": POSE})], "colors: there is none for 'other'"),
        (
            [PoseRow3D({TRUTH: POSE}), PoseRow3D({TRUTH: POSE}, image=np.zeros((2, 2, 3), np.uint8))],
            "expected a picture in each row, or in none",
        ),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        pose_views(rows, skeleton=H36M, colors=COLORS)
