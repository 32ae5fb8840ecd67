from pathlib import Path

import numpy as np
import pytest

from pctlib.data.people import People
from pctlib.visualization import (
    box_sizes,
    mean_pose,
    normalised_poses,
    occlusion_levels,
    visibility_by_joint,
    visibility_table,
)


@pytest.fixture
def people(skeleton):
    """Return three people of four keypoints; the star is never labelled."""
    visible = np.array([[2, 1, 0, 0], [2, 2, 1, 0], [2, 2, 1, 0]], np.uint8)
    boxes = np.array([[0, 0, 10, 20], [10, 10, 40, 20], [0, 0, 10, 10]], np.float32)
    centres = boxes[:, None, :2] + boxes[:, None, 2:] / 2
    keypoints = centres + boxes[:, 2:].max(1)[:, None, None] * np.array(
        [[-0.5, 0], [0, -0.25], [0.5, 0], [9, 9]]
    )
    return People(
        skeleton=skeleton,
        image_files=[Path()] * 3,
        image_ids=np.arange(3),
        annotation_ids=np.arange(3),
        boxes_xywh=boxes,
        areas=np.ones(3, np.float32),
        keypoints_image=keypoints.astype(np.float32),
        visible=visible,
        image_sizes=np.zeros((3, 2), np.int32),
        occlusion=np.array([0.0, 0.5, 0.25], np.float32),
        source="three people",
    )


def test_visibility_table_counts_shares(people):
    table = visibility_table(people)
    assert table["joint"].tolist() == ["left_hand", "neck", "right_hand", "star"]
    np.testing.assert_allclose(table["visible"], [1, 2 / 3, 0, 0])
    np.testing.assert_allclose(table["hidden"], [0, 1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(table["not labelled"], [0, 0, 1 / 3, 1])


def test_visibility_bars_fill_every_row(people):
    axes = visibility_by_joint(people).axes[0]
    assert len(axes.patches) == 3 * 4
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches[8:]]
    np.testing.assert_allclose(ends, 1)


def test_normalised_poses_are_in_box_sides_from_the_centre(people):
    poses = normalised_poses(people)
    np.testing.assert_allclose(poses[:, 0], [[-0.5, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(poses[1, 1], [0, -0.25], atol=1e-6)
    assert np.isnan(poses[:, 3]).all()
    assert np.isnan(poses[0, 2]).all()


def test_mean_pose_leaves_out_joints_that_nobody_has(people):
    axes = mean_pose(people).axes[0]
    assert len(axes.patches) == 3
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[-0.5, 0], [0, -0.25]], atol=1e-6)


def test_box_sizes_state_their_medians(people):
    sides, ratios = box_sizes(people).axes
    assert sides.get_title("left") == "median 20"
    assert ratios.get_title("left") == "median 1"
    assert sum(patch.get_height() for patch in sides.patches) == 3


def test_occlusion_levels_need_no_measured_share(people):
    joints, share = occlusion_levels(people).axes
    assert [patch.get_height() for patch in joints.patches] == [3]  # one hidden joint each
    assert share.get_title("left") == "median 0.25"
    people.occlusion = None
    assert len(occlusion_levels(people).axes) == 1


@pytest.mark.parametrize("draw", [visibility_by_joint, box_sizes, occlusion_levels, mean_pose])
def test_nobody_is_an_error(people, draw):
    with pytest.raises(ValueError, match="three people: no people to draw"):
        draw(people.select([]))
