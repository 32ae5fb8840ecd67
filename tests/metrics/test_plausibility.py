"""Limits of plausible poses, on stick figures whose lengths and angles are known."""

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.data.people import People
from pctlib.metrics.plausibility import PoseLimits, body_angles, body_bones, plausibility_check
from pctlib.skeletons import COCO, COCO_WHOLEBODY, SKELETONS, Skeleton

# a chain of five bones of equal typical length, bent by right angles
CHAIN = Skeleton(
    name="chain",
    keypoint_names=("left_a", "left_b", "left_c", "left_d", "left_e", "left_f"),
    flip_pairs=(),
    limbs=((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)),
    limb_colors=("#000000",) * 5,
    sigmas=None,
    upper_body=(0, 1, 2),
    lower_body=(3, 4, 5),
)
STAIRS = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2]], float)


def people_of(poses, visible=None):
    poses = np.asarray(poses, np.float32)
    N, K = poses.shape[:2]
    return People(
        skeleton=CHAIN,
        image_files=[""] * N,
        image_ids=np.arange(N),
        annotation_ids=np.arange(N),
        boxes_xywh=np.tile([0, 0, 30, 20], (N, 1)),
        areas=np.ones(N),
        keypoints_image=poses,
        visible=np.full((N, K), 2) if visible is None else visible,
        image_sizes=np.zeros((N, 2)),
        source="chains",
    )


def stairs(scales, first_bone=1.0):
    poses = np.asarray(scales)[:, None, None] * STAIRS
    poses[:, 0, 0] = np.asarray(scales) * (1 - np.broadcast_to(first_bone, np.shape(scales)))
    return poses


def test_lengths_are_told_in_the_size_of_the_pose_and_angles_in_degrees():
    limits = PoseLimits.of(people_of(stairs([1.0, 5.0, 20.0])), tail=0, margin=0)
    np.testing.assert_allclose(limits.typical, 1 / 3)
    values = limits.values(stairs([7.0], first_bone=2.5))
    np.testing.assert_allclose(values, [[2.5, 1, 1, 1, 1, 90, 90, 90, 90]])
    np.testing.assert_allclose(limits.low, [1] * 5 + [90] * 4)
    np.testing.assert_allclose(limits.high, limits.low)


def test_a_range_is_widened_by_its_margin():
    people = people_of(stairs([10.0] * 5, first_bone=[0.8, 0.9, 1.0, 1.1, 1.2]))
    limits = PoseLimits.of(people, tail=0, margin=0.25)
    assert limits.low[0] == pytest.approx(0.7)
    assert limits.high[0] == pytest.approx(1.3)
    asked = stairs([3.0] * 4, first_bone=[0.69, 0.71, 1.29, 1.31])
    assert limits.implausible(asked).tolist() == [True, False, False, True]
    assert limits.violations(asked)[:, 1:].sum() == 0
    narrow = PoseLimits.of(people, tail=25, margin=0)
    assert narrow.low[0] == pytest.approx(0.9)


def test_a_joint_bent_too_far_is_a_violation_of_its_angle():
    limits = PoseLimits.of(people_of(stairs([1.0, 2.0])), tail=0, margin=0.0)
    bent = stairs([4.0])
    bent[0, 5] = bent[0, 4] + 4 * np.array([np.cos(0.7), np.sin(0.7)])
    found = limits.violations(bent)[0]
    assert np.flatnonzero(found).tolist() == [8]
    assert limits.values(bent)[0, 8] == pytest.approx(90 + np.degrees(0.7), abs=1e-6)


def test_what_is_not_known_is_no_violation():
    limits = PoseLimits.of(people_of(stairs([1.0, 2.0])), tail=0, margin=0)
    wrong = stairs([3.0], first_bone=9.0)
    assert limits.implausible(wrong).all()
    wrong[0, 0] = np.nan
    assert not limits.implausible(wrong).any()
    wrong[0, 3] = np.nan  # two bones are left: no size to tell lengths in
    assert np.isnan(limits.values(wrong)).all()
    collapsed = np.zeros((1, 6, 2))
    assert not limits.violations(collapsed)[:, :5].any()


def test_unlabelled_joints_do_not_shape_the_limits():
    visible = np.full((3, 6), 2)
    visible[2, 0] = 0
    people = people_of(stairs([1.0, 1.0, 1.0], first_bone=[1, 1, 50]), visible)
    assert PoseLimits.of(people, tail=0, margin=0).high[0] == pytest.approx(1)


@pytest.mark.parametrize("name", SKELETONS)
def test_bones_of_every_skeleton_are_of_the_body(name):
    skeleton = SKELETONS[name]
    names = [{skeleton.keypoint_names[k] for k in bone} for bone in body_bones(skeleton)]
    assert {"left_knee", "left_ankle"} in names
    assert not any("eye" in a and "eye" in b for a, b in map(tuple, names))
    for first, joint, second in body_angles(skeleton):
        assert len({first, joint, second}) == 3
        assert any({first, joint} == set(bone) for bone in body_bones(skeleton))
        assert any({second, joint} == set(bone) for bone in body_bones(skeleton))


def test_hands_and_faces_are_left_out():
    assert len(body_bones(COCO)) == 14
    assert len(body_bones(COCO_WHOLEBODY)) == 14 + 6  # the feet


def test_the_rule_is_checked_on_true_and_on_broken_poses(tmp_path):
    limits = PoseLimits.of(make_people(tmp_path, 60, seed=1), margin=0.3)  # 60 poses show little of a range
    people = make_people(tmp_path, 40, seed=2)
    check = plausibility_check(limits, people, rng=np.random.default_rng(0))
    assert check == plausibility_check(limits, people, rng=np.random.default_rng(0))
    assert check["false alarms"] < 0.25 < 0.6 < check["one joint moved"]
    assert (
        check["one joint moved"]
        != plausibility_check(limits, people, rng=np.random.default_rng(1))["one joint moved"]
    )


def test_bad_requests_are_refused():
    people = people_of(stairs([1.0]))
    for options in ({"tail": 50}, {"tail": -1}, {"margin": -0.1}):
        with pytest.raises(ValueError, match="0 <= tail < 50 and margin >= 0"):
            PoseLimits.of(people, **options)
    visible = np.full((1, 6), 2)
    visible[0, 5] = 0
    with pytest.raises(ValueError, match="chains: no pose shows the bone between left_e and left_f"):
        PoseLimits.of(people_of(stairs([1.0]), visible))
