import io

import numpy as np
import pytest
from helpers.coloured_joints import SKELETON, picture
from PIL import Image

from pctlib.inference.poses import PhotoPoses, save_picture

JOINTS = np.array([[50.0, 40.0], [90.0, 70.0]])


def poses(count=2, **options):
    keypoints = np.stack([JOINTS + 20 * n for n in range(count)]).astype(np.float32)
    scores = np.linspace(0.9, 0.5, 2 * count).reshape(count, 2).astype(np.float32)
    boxes = np.array([[30 + 20 * n, 20, 110 + 20 * n, 90] for n in range(count)], np.float32)
    return PhotoPoses(
        picture(JOINTS), keypoints, scores, boxes, np.ones(count, np.float32), SKELETON, **options
    )


def test_a_notebook_shows_the_drawn_picture():
    shown = Image.open(io.BytesIO(poses()._repr_png_()))
    assert shown.size == (160, 120)
    assert np.abs(np.asarray(shown.convert("RGB"), int) - picture(JOINTS)).max() > 50


def test_coco_results_hold_box_and_track():
    entries = poses(track_ids=np.array([4, 9])).coco_results(7)
    assert [entry["image_id"] for entry in entries] == [7, 7]
    assert [entry["track_id"] for entry in entries] == [4, 9]
    assert entries[1]["bbox"] == [50.0, 20.0, 80.0, 70.0]
    assert entries[0]["keypoints"][:3] == pytest.approx([50, 40, 0.9], abs=1e-4)
    assert entries[0]["score"] == pytest.approx(poses().scores[0].mean(), abs=1e-6)
    assert "track_id" not in poses().coco_results(7)[0]


def test_the_worse_of_two_equal_poses_goes():
    twice = poses().select(np.array([1, 0, 0]))
    kept = twice.without_duplicates()
    np.testing.assert_array_equal(kept.keypoints, twice.keypoints[:2])
    assert len(twice.without_duplicates(threshold=1.01)) == 3


def test_pictures_are_written_in_their_format(tmp_path):
    for name, kind in (("a.jpg", "JPEG"), ("b.PNG", "PNG"), ("c.webp", "WEBP")):
        with Image.open(save_picture(poses().draw(), tmp_path / name)) as written:
            assert written.format == kind
    for name in ("a", "a.txt", "a.pdfx"):
        with pytest.raises(ValueError, match=rf"{name}: the ending names no format of images"):
            poses().draw(tmp_path / name)
