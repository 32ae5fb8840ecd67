from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pctlib.inference.poses import PhotoPoses
from pctlib.inference.tracking import OneEuro, Tracker, resemblance
from pctlib.skeletons import COCO


def people(*places):
    """People of 50 x 100 pixels, whose boxes begin at these places."""
    corners = np.array(places, np.float32).reshape(-1, 2)
    shape = np.random.default_rng(0).uniform(0, 1, (17, 2)) * [50, 100]
    boxes = np.concatenate([corners, corners + np.float32([50, 100])], 1).astype(np.float32)
    N = len(corners)
    keypoints = (corners[:, None] + shape).astype(np.float32)
    return PhotoPoses(
        np.zeros((300, 400, 3), np.uint8), keypoints, np.ones((N, 17), np.float32), boxes, np.ones(N), COCO
    )


def test_people_keep_their_number_when_their_order_changes():
    tracker = Tracker()
    assert tracker(people((0, 0), (200, 0))).track_ids.tolist() == [1, 2]
    assert tracker(people((203, 1), (2, 1))).track_ids.tolist() == [2, 1]
    assert tracker(people((206, 1))).track_ids.tolist() == [2]
    assert tracker(people()).track_ids.tolist() == []
    assert tracker(people((4, 1), (100, 150), (206, 1))).track_ids.tolist() == [1, 3, 2]


def test_who_is_away_too_long_comes_back_as_somebody_else():
    tracker = Tracker(patience=2)
    tracker(people((0, 0)))
    tracker(people())
    assert tracker(people((0, 0))).track_ids.tolist() == [1]
    for _ in range(2):
        tracker(people())
    assert tracker(people((0, 0))).track_ids.tolist() == [2]


def test_resemblance_is_the_mean_of_two_overlaps():
    one = people((0, 0))
    assert resemblance(one, one) == pytest.approx([1])
    assert resemblance(people((500, 0)), one) == pytest.approx([0], abs=1e-9)
    boxed = replace(one, boxes_xyxy=np.array([[25, 0, 75, 100]], np.float32))
    assert resemblance(boxed, one) == pytest.approx([(1 + 1 / 3) / 2])


def test_standing_people_tremble_less_and_moving_ones_lag_little():
    rng, smooth = np.random.default_rng(1), OneEuro()
    still = replace(people((0, 0)), track_ids=np.array([1]))
    noisy = [replace(still, keypoints=still.keypoints + rng.normal(0, 1, (1, 17, 2))) for _ in range(60)]
    found = np.stack([smooth(each, n / 30).keypoints for n, each in enumerate(noisy)])[20:]
    assert (found - still.keypoints).std() < 0.5
    smooth, speed = OneEuro(), 300.0  # pixels a second
    moved = [replace(still, keypoints=still.keypoints + np.float32(speed * n / 30)) for n in range(60)]
    last = [smooth(each, n / 30).keypoints for n, each in enumerate(moved)][-1]
    assert 0 < (moved[-1].keypoints - last).max() < speed / 30 * 2


@given(st.floats(0, 100), st.integers(0, 5))
def test_the_first_frame_and_a_repeated_time_stay_as_they_are(seconds, shift):
    smooth = OneEuro()
    first = replace(people((shift, 0)), track_ids=np.array([1]))
    np.testing.assert_array_equal(smooth(first, seconds).keypoints, first.keypoints)
    np.testing.assert_array_equal(smooth(first, seconds).keypoints, first.keypoints)


def test_smoothing_needs_tracks():
    with pytest.raises(ValueError, match="smoothing needs track ids"):
        OneEuro()(people((0, 0)), 0.0)
