"""H3WB: rows, units, cameras and boxes of a file as published, and every kind of file that is not."""

import numpy as np
import pytest
from helpers.whole_bodies import KEYS, films, standing, write_h3wb

from pctlib.data.cameras import read_h36m_cameras
from pctlib.data.containers import read_object_npz
from pctlib.data.h3wb import read_h3wb
from pctlib.skeletons import COCO_WHOLEBODY


def test_every_frame_of_every_camera_is_a_row(tmp_path):
    people = read_h3wb(write_h3wb(tmp_path / "h3wb_train.npz"), "original")
    assert [str(file) for file in people.image_files] == [
        "original/S1/Images/Eating.54138969/frame_5.jpg",
        "original/S1/Images/Eating.54138969/frame_25.jpg",
        "original/S1/Images/Eating.60457274/frame_5.jpg",
        "original/S1/Images/Eating.60457274/frame_25.jpg",
        "original/S1/Images/Walking 1.54138969/frame_60.jpg",
        "original/S7/Images/Eating.54138969/frame_7.jpg",
    ]
    assert people.actions.tolist() == ["Eating"] * 4 + ["Walking 1", "Eating"]
    assert people.skeleton == people.skeleton_3d == COCO_WHOLEBODY
    assert (people.visible == 2).all()
    np.testing.assert_allclose(people.keypoints_3d[2:4], standing(2, seed=1), rtol=1e-6)
    np.testing.assert_allclose(people.boxes_xywh[:, 0], [100, 100, 101, 101, 102, 103])
    np.testing.assert_allclose(people.boxes_xywh[:, 1:], np.tile([50, 200, 400], (6, 1)))


def test_chosen_subjects_alone_are_read(tmp_path):
    file = write_h3wb(tmp_path / "h3wb_train.npz")
    assert len(read_h3wb(file, "", subjects=["S7"])) == 1
    with pytest.raises(ValueError, match="subject S8 is missing, the file has S1, S7"):
        read_h3wb(file, "", subjects=["S8"])


def test_the_camera_is_read_in_pixels_with_its_lens_in_our_order(tmp_path):
    people = read_h3wb(write_h3wb(tmp_path / "h3wb_train.npz"), "")
    np.testing.assert_allclose(people.focal, np.tile([1100, 1200], (6, 1)))
    np.testing.assert_allclose(people.principal_point, np.tile([500, 600], (6, 1)))
    np.testing.assert_allclose(people.distortion, np.tile([0.1, 0.2, 0.3, 0.01, 0.02], (6, 1)), rtol=1e-6)


def test_boxes_that_are_not_there_are_squares_around_the_keypoints(tmp_path):
    content = films()
    del content["bbox"]
    people = read_h3wb(write_h3wb(tmp_path / "h3wb_train.npz", content), "")
    low, high = people.keypoints_image.min(1), people.keypoints_image.max(1)
    np.testing.assert_allclose(people.boxes_xywh[:, 2], 1.2 * (high - low).max(1), rtol=1e-4)
    np.testing.assert_allclose(people.boxes_xywh[:, 2], people.boxes_xywh[:, 3])


def _metres(content):
    for subject, action, camera in KEYS:
        content["train_data"][subject][action][camera]["camera_3d"] /= 1000


def _fewer(content):
    view = content["train_data"]["S1"]["Eating"]["60457274"]
    view["pose_2d"] = view["pose_2d"][:, :17]


def _nan(content):
    content["train_data"]["S7"]["Eating"]["54138969"]["camera_3d"][0, 131, 2] = np.nan


def _no_frames(content):
    content["train_data"]["S1"]["Eating"]["frame_id"] = np.zeros((2, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_metres, "the file seems to be in metres"),
        (_fewer, r"S1, Eating, camera 60457274, pose_2d needs shape \(2, 133, 2\), got \(2, 17, 2\)"),
        (_nan, "S7, Eating, camera 54138969, camera_3d holds a number that is not finite"),
        (_no_frames, r"S1, Eating, frame_id needs shape \(2,\), got \(2, 1\)"),
        (lambda c: c.pop("train_data"), "array train_data is missing"),
        (lambda c: c["train_data"]["S1"]["Eating"].pop("frame_id"), "S1, Eating: frame_id is missing"),
        (lambda c: c["metadata"]["S1"].pop("60457274"), "metadata: S1, 60457274: 60457274 is missing"),
        (lambda c: c["bbox"].pop(("S7", "Eating", "54138969", 7)), "bbox: S7, Eating, 54138969, frame 7"),
        (lambda c: c["train_data"].update(S1=[1]), "S1 must be a dict of actions by name"),
        (lambda c: c.update(train_data={}), "no frame is there"),
        (lambda c: c.update(bbox={"a": print}), "array bbox: refused or damaged pickle"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, damage, message):
    content = films()
    damage(content)
    with pytest.raises(ValueError, match=rf"h3wb_train\.npz.*{message}"):
        read_h3wb(write_h3wb(tmp_path / "h3wb_train.npz", content), "")


def test_local_sample(shared, tmp_path):
    """The sample has the layout and the true camera, but keypoints that are random numbers from 0 to 1."""
    file = shared / "data/fixtures/h3wb/h3wb_train_bbox_subset.npz"
    with pytest.raises(ValueError, match=r"h3wb_train_bbox_subset\.npz: .* the file seems to be in metres"):
        read_h3wb(file, "")
    content = {name: read_object_npz(file, name) for name in ("train_data", "metadata", "bbox")}
    content["train_data"]["S5"]["Directions 1"]["60457274"] |= {"camera_3d": standing(1)}
    people = read_h3wb(write_h3wb(tmp_path / "whole.npz", content), "")
    assert str(people.image_files[0]) == "S5/Images/Directions 1.60457274/frame_2190.jpg"
    assert people.boxes_xywh.tolist() == [[346, 180, 523 - 346, 581 - 180]]
    camera = read_h36m_cameras(shared / "data/fixtures/h36m/cameras.pkl")["S5", "60457274"]
    np.testing.assert_allclose(people.focal[0], camera.focal, rtol=1e-5)
    np.testing.assert_allclose(people.principal_point[0], camera.center, rtol=1e-5)
    np.testing.assert_allclose(people.distortion[0], [*camera.radial, *camera.tangential], rtol=1e-4)
