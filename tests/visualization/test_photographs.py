import numpy as np
import pytest

from pctlib.skeletons import COCO
from pctlib.visualization.photographs import draw_poses

GREY = np.full((100, 120, 3), 128, np.uint8)
POSE = np.stack([np.linspace(20, 100, 17), np.linspace(15, 85, 17)], -1)[None]


def changed(scores, keypoints=POSE, **options):
    drawn = draw_poses(GREY, keypoints, scores, skeleton=COCO, min_score=0.3, **options)
    return (np.asarray(drawn) != GREY).any(-1)


def test_joints_below_the_limit_are_not_drawn_nor_their_limbs():
    assert not changed(np.zeros((1, 17))).any()
    only = np.zeros((1, 17))
    only[0, 9] = 0.3
    where = np.argwhere(changed(only))[:, ::-1]
    assert np.abs(where - POSE[0, 9]).max() < 6
    assert np.abs(where.mean(0) - POSE[0, 9]).max() < 0.75
    ends = np.zeros((1, 17))
    ends[0, [7, 9]] = 1
    middle = POSE[0, [7, 9]].mean(0).round().astype(int)
    assert changed(ends)[middle[1], middle[0]]
    assert (np.asarray(GREY) == 128).all()


@pytest.mark.parametrize("shift", [1000, -1000, np.nan, np.inf, 70])
def test_what_lies_outside_the_picture_is_cut_off(shift):
    assert changed(np.ones((1, 17)), POSE + shift).any() == (shift == 70)


def test_lines_keep_their_colour_over_any_background():
    ends = np.zeros((1, 17))
    ends[0, [7, 9]] = 1  # left elbow and wrist: blue
    for value in (0, 255):
        flat = np.full((100, 120, 3), value, np.uint8)
        drawn = np.asarray(draw_poses(flat, POSE, ends, skeleton=COCO, min_score=0.3))
        colours = {tuple(int(v) for v in pixel) for pixel in drawn.reshape(-1, 3)}
        blue = COCO.limb_colors[COCO.limbs.index((7, 9))].lstrip("#")
        assert any(np.abs(np.subtract(c, tuple(bytes.fromhex(blue)))).max() < 12 for c in colours)


def test_labels_stand_above_their_person():
    plain, labelled = (changed(np.ones((1, 17)), labels=labels) for labels in ((), ["8"]))
    extra = np.argwhere(labelled & ~plain)
    assert len(extra) > 10
    assert extra[:, 0].max() < 30


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"skeleton coco: expected keypoints \[N, 17, 2\]"):
        draw_poses(GREY, POSE[:, :3], np.ones((1, 3)), skeleton=COCO, min_score=0)
