import numpy as np
import pytest
import torch

from pctlib.body_model import JOINT_NAMES
from pctlib.data.procedural.activities import ACTIVITIES, draw_pose, mirror_angles
from pctlib.data.procedural.anatomy import (
    ANGLES,
    HIGH,
    LIMITS,
    LOW,
    angles_of,
    clamp,
    joint_rotations,
    max_shoulder_elevation,
    within_limits,
)
from pctlib.data.procedural.body import embedded_body


def joints(angles):
    """Positions by joint name, relative to the pelvis."""
    pose = torch.from_numpy(joint_rotations(angles).astype(np.float32))
    with torch.inference_mode():
        output = embedded_body()(
            body_pose=pose[1:22].reshape(1, 63), left_hand_pose=pose[25:40].reshape(1, 45)
        )
    return dict(zip(JOINT_NAMES, (output.joints[0] - output.joints[0, 0]).numpy(), strict=True))


def test_limits_hold_for_200_poses_and_every_activity():
    rng = np.random.default_rng(3)
    poses = [draw_pose(rng) for _ in range(200)]
    poses += [draw_pose(rng, activity=name) for name in ACTIVITIES for _ in range(5)]
    assert all(within_limits(pose.angles) for pose in poses)
    assert len({pose.activity for pose in poses[:200]}) > 15
    spread = np.std([pose.angles for pose in poses], axis=0)
    assert spread.min() > 0.5  # no angle is frozen


def test_zero_is_standing_with_hanging_arms():
    at = joints(angles_of({}))
    assert at["left_wrist"][1] < at["left_elbow"][1] < at["left_shoulder"][1] - 0.2
    assert abs(at["left_wrist"][0] - at["left_shoulder"][0]) < 0.03
    assert at["left_ankle"][1] < -0.8


@pytest.mark.parametrize(
    ("name", "value", "joint", "axis", "sign"),
    [
        ("left_knee_flexion", 60, "left_ankle", 2, -1),  # backward
        ("left_hip_flexion", 60, "left_knee", 2, 1),  # forward
        ("left_hip_abduction", 30, "left_knee", 0, 1),  # to the left
        ("right_hip_abduction", 30, "right_knee", 0, -1),
        ("left_elbow_flexion", 90, "left_wrist", 2, 1),
        ("right_elbow_flexion", 90, "right_wrist", 2, 1),
        ("left_shoulder_elevation", 90, "left_elbow", 0, 1),
        ("spine1_flexion", 20, "head", 2, 1),
        ("neck_flexion", 20, "jaw", 1, -1),
        ("left_ankle_dorsiflexion", 20, "left_foot", 1, 1),
        ("left_collar_elevation", 20, "left_shoulder", 1, 1),
    ],
)
def test_angles_move_the_right_way(name, value, joint, axis, sign):
    move = joints(angles_of({name: value}))[joint] - joints(angles_of({}))[joint]
    assert sign * move[axis] > 0.01


def test_arm_swings_in_its_plane():
    forward = joints(angles_of({"left_shoulder_plane": 90, "left_shoulder_elevation": 90}))
    direction = forward["left_elbow"] - forward["left_shoulder"]
    np.testing.assert_allclose(direction / np.linalg.norm(direction), (0, 0, 1), atol=0.05)


def test_fingers_curl_towards_the_palm():
    """With hanging arms the palm faces the thigh."""
    flat = joints(angles_of({}))
    bent = joints(angles_of({"left_middle1_flexion": 80}))
    assert bent["left_middle3"][0] < flat["left_middle3"][0] - 0.02


def test_clamp_cuts_to_the_limits():
    np.testing.assert_array_equal(clamp(np.full(len(LOW), -999.0)), LOW)
    high = clamp(np.full(len(LOW), 999.0))
    elevation = [ANGLES[f"{side}_shoulder_elevation"] for side in ("left", "right")]
    assert high[elevation].tolist() == [max_shoulder_elevation(130)] * 2 == [110, 110]
    assert (np.delete(high, elevation) == np.delete(HIGH, elevation)).all()
    assert not within_limits(angles_of({"left_knee_flexion": -5}))
    assert LIMITS["left_knee_flexion"] == (0, 145)


def test_mirror_of_a_mirror_is_the_pose():
    angles = draw_pose(np.random.default_rng(0)).angles
    np.testing.assert_array_equal(mirror_angles(mirror_angles(angles)), angles)
    at, other = joints(angles), joints(mirror_angles(angles))
    np.testing.assert_allclose(other["right_wrist"], at["left_wrist"] * (-1, 1, 1), atol=1e-4)
    np.testing.assert_allclose(other["head"], at["head"] * (-1, 1, 1), atol=1e-4)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown joint angle 'tail_flexion'"):
        angles_of({"tail_flexion": 3})
    with pytest.raises(ValueError, match="unknown activity 'flying'"):
        draw_pose(np.random.default_rng(0), activity="flying")
