"""3D predictions: errors worked by hand, the floor, levels of occlusion, depth of the root."""

import dataclasses

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.skeletons import COCO, H36M
from pctlib.study.predictions_3d import (
    Predictions3D,
    errors_by_level,
    joint_flags,
    judge_3d,
    load_predictions_3d,
    mean_pose_3d,
    pixels_to_millimetres,
    supposed_root_depth,
    truth_3d,
)


@pytest.fixture
def people(tmp_path):
    found = make_people(tmp_path, 5)
    return dataclasses.replace(found, occlusion=np.array([0, 0, 0.1, 0.3, 0.9]))


def predictions(people, offset):
    poses = truth_3d(people) + np.asarray(offset, np.float32)
    return Predictions3D(poses, np.ones(poses.shape[:2], np.float32))


def test_errors_of_a_known_offset(people):
    errors = judge_3d(people, predictions(people, [30.0, 40, 120]))
    assert errors["MPJPE mm"] == pytest.approx(130)
    assert errors["plane mm"] == pytest.approx(50)
    assert errors["depth mm"] == pytest.approx(120)
    assert errors["PA-MPJPE mm"] == pytest.approx(0, abs=1e-3)
    assert errors["MPJPE mm seen"] == pytest.approx(130)
    grown = Predictions3D(2 * truth_3d(people), np.ones((5, 17), np.float32))
    assert judge_3d(people, grown)["N-MPJPE mm"] == pytest.approx(0, abs=1e-3)


def test_seen_and_hidden_are_those_of_the_shared_joints(people):
    flags = joint_flags(people)
    for name in ("left_wrist", "right_hip", "left_ankle"):
        np.testing.assert_array_equal(flags[:, H36M.index(name)], people.visible[:, COCO.index(name)])
    assert (flags[:, [H36M.index(name) for name in ("pelvis", "spine", "thorax", "head")]] == 0).all()
    assert (flags.any(0)).sum() == 12
    offset = np.zeros((5, 17, 3))
    offset[flags == 1, 2] = 10
    errors = judge_3d(people, predictions(people, offset))
    assert errors["MPJPE mm hidden"] == pytest.approx(10)
    assert errors["MPJPE mm seen"] == 0


def test_the_floor_is_the_mean_training_pose(people):
    floor = mean_pose_3d(people.select([0, 1]), people.select([2, 3, 4]))
    expected = truth_3d(people)[:2].mean(0)
    np.testing.assert_allclose(floor.poses, np.stack([expected] * 3), rtol=1e-5)


def test_levels_of_occlusion(people):
    rows = errors_by_level(people, {"one": predictions(people, [3.0, 0, 4])})
    assert [(row["hidden"], row["people"]) for row in rows] == [
        ("nothing", 2),
        ("0 to 20 %", 1),
        ("20 to 40 %", 1),
        ("40 to 100 %", 1),
    ]
    assert all(row["MPJPE mm"] == pytest.approx(5) for row in rows)
    with pytest.raises(ValueError, match="does not say how much of a body is hidden"):
        errors_by_level(dataclasses.replace(people, occlusion=None), {})


def test_root_depth_from_bones_finds_the_true_one_for_average_people(people):
    joints = people.keypoints_3d + np.array([0, 0, 5000], np.float32)
    focal = np.full((5, 2), 300.0)
    seen = dataclasses.replace(people, keypoints_3d=joints, focal=focal, principal_point=np.zeros((5, 2)))
    one = seen.select([2])
    pixels, depths = one.joints_image, one.keypoints_3d[..., 2] - one.keypoints_3d[:, :1, 2]
    found = supposed_root_depth(one, pixels, depths, train=one)
    np.testing.assert_allclose(found, one.keypoints_3d[:, 0, 2], rtol=1e-3)
    poses = pixels_to_millimetres(one, pixels, depths, root_depth=found)
    np.testing.assert_allclose(poses, one.keypoints_3d, rtol=2e-3, atol=2)
    np.testing.assert_allclose(pixels_to_millimetres(one, pixels, depths), one.keypoints_3d, atol=0.1)
    with pytest.raises(ValueError, match="no camera to bring pixels back"):
        pixels_to_millimetres(people, pixels, depths)


def test_predictions_are_kept_with_their_people(people, tmp_path):
    path, made = tmp_path / "p.npz", predictions(people, [1.0, 2, 3])
    made.save(path, people)
    np.testing.assert_array_equal(load_predictions_3d(path, people).poses, made.poses)
    with pytest.raises(ValueError, match="predictions of 5 other people"):
        load_predictions_3d(path, people.select([0, 1]))
    np.savez(tmp_path / "other.npz", annotation_ids=people.annotation_ids)
    with pytest.raises(ValueError, match="expected 3D predictions, the file has annotation_ids"):
        load_predictions_3d(tmp_path / "other.npz", people)
    with pytest.raises(ValueError, match="has no 3D joints"):
        truth_3d(dataclasses.replace(people, keypoints_3d=None))
