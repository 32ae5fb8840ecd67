"""Mesh errors: the recorded evaluation, and cases worked by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pctlib.metrics.mesh import (
    AgoraPeople,
    MeshParts,
    agora_scores,
    box_iou,
    mean_errors,
    mesh_errors,
    ubody_errors,
)

RECORDED = {
    "MPVPE all": "mpvpe_all",
    "MPVPE hands": "mpvpe_hand",
    "MPVPE face": "mpvpe_face",
    "PA-MPVPE all": "pa_mpvpe_all",
    "PA-MPVPE hands": "pa_mpvpe_hand",
    "PA-MPVPE face": "pa_mpvpe_face",
    "PA-MPJPE body": "pa_mpjpe_body",
    "PA-MPJPE hands": "pa_mpjpe_hand",
}
V = 60


@pytest.fixture
def parts(rng):
    regressor = rng.random((55, V))
    return MeshParts(
        regressor / regressor.sum(1, keepdims=True),
        left_hand=np.arange(0, 9),
        right_hand=np.arange(9, 20),
        face=np.arange(20, 32),
        body=np.arange(32, 60),
        body_joints=np.eye(V)[:14],
    )


def test_recorded_evaluation(golden):
    data = golden("osx_metrics")
    arrays = {name: value.numpy() for name, value in data.inputs.items()}
    parts = MeshParts(
        arrays["J_regressor"],
        arrays["left_hand_idx"],
        arrays["right_hand_idx"],
        arrays["face_idx"],
        arrays["j14_regressor"],
        arrays["left_hand_regressor"],
        arrays["right_hand_regressor"],
    )
    errors = mesh_errors(arrays["mesh_pred"], arrays["mesh_gt"] @ arrays["R"].T, parts)
    for ours, theirs in RECORDED.items():
        np.testing.assert_allclose(errors[ours], data.outputs[theirs].numpy(), atol=1e-9, rtol=0)
    unturned = mesh_errors(arrays["mesh_pred"], arrays["mesh_gt"], parts)
    assert abs(unturned["MPVPE all"] - errors["MPVPE all"]).min() > 1


def test_a_similar_mesh_has_no_aligned_error_and_a_shifted_one_none(rng, parts):
    truth = rng.normal(size=(2, V, 3))
    turn = Rotation.from_rotvec([0.2, 1.1, -0.4]).as_matrix()
    similar = mesh_errors(1.7 * truth @ turn.T + [1, 2, 3], truth, parts)
    for name, values in similar.items():
        assert values.max() < 1e-9 if name.startswith("PA") else values.min() > 100, name
    shifted = mesh_errors(truth + np.array([0.5, -3, 2]), truth, parts)
    assert max(values.max() for values in shifted.values()) < 1e-9
    mirrored = mesh_errors(truth * [-1, 1, 1], truth, parts)
    assert mirrored["PA-MPVPE all"].min() > 100


def test_a_part_is_aligned_at_its_own_joint(rng, parts):
    truth = rng.normal(size=(1, V, 3))
    found = truth.copy()
    found[:, parts.left_hand] += [0.1, 0, 0]
    errors = mesh_errors(found, truth, parts)
    moved = 100 * np.abs(1 - parts.joint_regressor[20, parts.left_hand].sum())  # the wrist moves along
    right = 100 * parts.joint_regressor[21, parts.left_hand].sum()
    np.testing.assert_allclose(errors["MPVPE hands"], (moved + right) / 2, atol=1e-9)
    with pytest.raises(ValueError, match="row 0: the predicted mesh is not finite"):
        mesh_errors(np.full_like(truth, np.nan), truth, parts)
    with pytest.raises(ValueError, match=r"\[N, 60, 3\]"):
        mesh_errors(found[:, :5], truth, parts)


def test_ubody_counts_what_is_in_the_image(rng, parts):
    truth = rng.normal(size=(2, V, 3))
    found = truth + rng.normal(size=truth.shape) * 0.01
    pixels = np.full((2, V, 2), 5.0)
    sizes = np.array([[10, 20], [10, 20]])
    everything = ubody_errors(found, truth, pixels, sizes, parts)
    whole = mesh_errors(found, truth, parts)
    for name, values in everything.items():
        np.testing.assert_allclose(values, whole[name], atol=1e-9)
    pixels[0, parts.left_hand] = [5, 10]  # below the last row
    one = ubody_errors(found, truth, pixels, sizes, parts)
    alone = np.linalg.norm(
        (found - truth + (parts.joint_regressor @ (truth - found))[:, 21, None])[0, parts.right_hand], axis=-1
    )
    np.testing.assert_allclose(one["MPVPE hands"][0], 1000 * alone.mean(), atol=1e-9)
    pixels[0, parts.right_hand] = [-1, 5]
    none = ubody_errors(found, truth, pixels, sizes, parts)
    assert np.isnan(none["MPVPE hands"][0])
    assert mean_errors(none)["MPVPE hands"] == none["MPVPE hands"][1]


def _agora(offsets, places, valid=None):
    """People whose vertices and joints are all moved by an offset in metres, at places in pixels."""
    count = len(offsets)
    vertices = np.stack([np.zeros((V, 3)) for _ in range(count)])
    joints = np.zeros((count, 127, 3))
    square = np.array([[0, 0], [10, 10]] * 12, float)
    pixels = np.stack([square + place for place in places])
    for i, offset in enumerate(offsets):
        vertices[i] += [offset, 0, 0]  # the joints stay, so every vertex is off by as much
    return AgoraPeople(vertices, joints, pixels, valid)


def test_agora_with_a_miss_and_a_false_alarm(parts):
    truth = [_agora([0, 0], [(0, 0), (100, 0)]), _agora([0], [(0, 0)])]
    found = [_agora([0.03, 0.05], [(1, 0), (500, 500)]), _agora([0.01], [(0, 0)])]
    scores = agora_scores(truth, found, parts)
    assert scores["F1"] == 0.67
    assert scores["precision"] == 0.67
    assert scores["recall"] == 0.67
    assert scores["MVE B"] == 20.0  # of those found alone: 30 and 10
    assert scores["MVE FB"] == 40.0  # the body and the mean of three parts
    assert scores["NMVE FB"] == round(40 / 0.67, 1)
    assert scores["NMVE B"] == round(20 / 0.67, 1)
    assert scores["MPJPE FB"] == 0.0


def test_agora_aligns_the_body_at_the_middle_of_the_hips(parts):
    truth, found = [_agora([0], [(0, 0)])], [_agora([0.02], [(0, 0)])]
    found[0].joints[0, [1, 2]] += [[0.01, 0, 0], [0.03, 0, 0]]
    assert agora_scores(truth, found, parts)["MVE B"] == 0.0
    found[0].joints[0, 0] += 5  # the pelvis itself does not matter for vertices
    assert agora_scores(truth, found, parts)["MVE B"] == 0.0


def test_agora_leaves_invalid_people_out_and_needs_somebody(parts):
    truth = [_agora([0, 0], [(0, 0), (100, 0)], valid=[True, False])]
    scores = agora_scores(truth, [_agora([0.01], [(0, 0)])], parts)
    assert scores["F1"] == 1.0
    with pytest.raises(ValueError, match="no predicted person"):
        agora_scores(truth, [_agora([0.01], [(400, 0)])], parts)


def test_overlap_of_boxes():
    first = np.array([0.0, 0, 2, 2])
    assert box_iou(first, np.array([1.0, 1, 3, 3])) == pytest.approx(1 / 7)
    assert box_iou(first, np.array([2.0, 2, 1, 1])) == 0
    assert box_iou(first, first) == 1
