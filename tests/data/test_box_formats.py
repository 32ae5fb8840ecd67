"""Boxes in other formats are noticed by the keypoints of their persons; right ones never."""

import numpy as np
import pytest

from pctlib.data.box_formats import FORMATS, odd_boxes
from pctlib.data.coco import read_coco


def people(N=40, seed=0):
    """Return keypoints [N, 17, 3], boxes around them as x, y, width, height, and sizes of images."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(60, 200, (N, 2))
    low = rng.uniform(0, 1, (N, 2)) * (np.array([640, 480]) - size - 8) + 4
    points = low[:, None] + rng.uniform(0, 1, (N, 17, 2)) * size[:, None]
    flags = rng.integers(0, 3, (N, 17, 1))
    boxes = np.concatenate([low - 3, size + 6], axis=1)
    return np.concatenate([points, flags], axis=2), boxes, np.tile([[480, 640]], (N, 1))


def test_right_boxes_are_not_noticed():
    assert odd_boxes(*people()) == {}
    triples, boxes, sizes = people()
    assert odd_boxes(triples, boxes, np.zeros_like(sizes)) == {}
    assert odd_boxes(triples[:0], boxes[:0], sizes[:0]) == {}
    triples[..., 2] = 0
    assert odd_boxes(triples, boxes, sizes) == {}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", FORMATS[1:])
def test_other_formats_are_named(name, known):
    triples, boxes, sizes = people()
    x, y, w, h = boxes.T
    columns = {
        "x1 y1 x2 y2": (x, y, x + w, y + h),
        "centre x, centre y, width, height": (x + w / 2, y + h / 2, w, h),
        "y1 x1 y2 x2": (y, x, y + h, x + w),
    }
    (note,) = odd_boxes(triples, np.stack(columns[name], axis=1), sizes if known else 0 * sizes)
    assert note == f"boxes fit their keypoints better as {name} than as x y width height"


def test_boxes_of_somewhere_else_are_noticed():
    triples, boxes, sizes = people()
    boxes[:, :2] = 1
    boxes[:, 2:] = 10
    assert odd_boxes(triples, boxes, sizes) == {
        "boxes have most labelled keypoints outside, in whatever format": 40
    }


@pytest.mark.parametrize(
    "file",
    [
        "coco-mini/annotations/person_keypoints_train2017.json",
        "coco-mini/annotations/person_keypoints_val2017.json",
        "coco-poses/person_keypoints_trainsplit.json",
    ],
)
def test_real_boxes_are_right(shared, file):
    assert read_coco(shared / "data" / file).notes == {}
