"""Which vertices are hands and face: of the embedded body, and of files like the licensed ones."""

import pickle

import numpy as np
import pytest
import torch

from pctlib.body_model import BodyModel
from pctlib.data.procedural.body import build_body, embedded_body
from pctlib.metrics.mesh import mesh_errors
from pctlib.metrics.mesh_parts import SMPLX_FILES, embedded_parts, smplx_parts

V = 2505


def test_parts_of_the_embedded_body_are_hands_and_head():
    parts, body = embedded_parts(), embedded_body()
    template = body.template.numpy()
    assert len(parts.left_hand) == len(parts.right_hand) == 251
    assert len(parts.face) == 480
    assert template[parts.left_hand, 0].min() > 0.6
    assert template[parts.right_hand, 0].max() < -0.6
    assert template[parts.face, 1].min() > 1.4
    sets = (parts.left_hand, parts.right_hand, parts.face, parts.body)
    assert sorted(np.concatenate(sets)) == list(range(V))


def test_joints_of_papers_are_where_they_should_be():
    parts, body = embedded_parts(), embedded_body()
    template, joints = body.template.numpy(), (body.joint_regressor @ body.template).numpy()
    lsp = parts.body_joints @ template
    assert lsp.shape == (14, 3)
    np.testing.assert_allclose(lsp[[0, 5, 6, 11]], joints[[8, 7, 21, 20]], atol=1e-5)
    assert lsp[13, 1] == template[:, 1].max()
    hand = parts.left_hand_joints @ template
    assert hand.shape == (21, 3)
    np.testing.assert_allclose(hand[0], joints[20], atol=1e-5)
    np.testing.assert_allclose(hand[1:4], joints[37:40], atol=1e-5)  # the thumb
    np.testing.assert_allclose(hand[4], template[body.named_vertex_ids[11]], atol=1e-6)
    np.testing.assert_allclose(parts.right_hand_joints @ template * [-1, 1, 1], hand, atol=1e-3)


def test_a_bent_finger_is_an_error_of_the_hands_alone():
    body, parts = embedded_body(), embedded_parts()
    hand = torch.zeros(1, 45)
    hand[0, 2] = 0.8
    truth, bent = body().vertices.numpy(), body(left_hand_pose=hand).vertices.numpy()
    errors = mesh_errors(bent, truth, parts)
    assert errors["MPVPE hands"][0] > 0.5
    assert errors["PA-MPJPE hands"][0] > 0.2
    assert errors["MPVPE face"][0] < 1e-3
    assert errors["PA-MPVPE face"][0] < 1e-3
    assert errors["MPJPE body"][0] < 0.2


@pytest.fixture
def licensed(tmp_path):
    """A folder of files with the names and kinds of the licensed ones, for the embedded mesh."""
    hands = {"left_hand": np.arange(5), "right_hand": np.arange(5, 9)}
    (tmp_path / SMPLX_FILES["hands"]).write_bytes(pickle.dumps(hands, protocol=2))
    np.save(tmp_path / SMPLX_FILES["face"], np.arange(20, 30))
    (tmp_path / SMPLX_FILES["body_joints"]).write_bytes(pickle.dumps(np.eye(14, V), protocol=2))
    np.save(tmp_path / SMPLX_FILES["body"], np.arange(40, 60))
    return tmp_path


def test_licensed_files_are_read(licensed):
    body = BodyModel(build_body())
    parts = smplx_parts(body, licensed)
    assert parts.left_hand.tolist() == list(range(5))
    assert parts.right_hand.tolist() == list(range(5, 9))
    assert parts.face.tolist() == list(range(20, 30))
    assert parts.body_joints.shape == (14, V)
    assert parts.body.tolist() == list(range(40, 60))
    for name in ("body", "body_joints"):
        (licensed / SMPLX_FILES[name]).unlink()
    fewer = smplx_parts(body, licensed)
    assert fewer.body is None
    assert fewer.body_joints is None


class _Hostile:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("hands", {"left_hand": np.arange(5)}, "expected vertex ids 'right_hand', it has left_hand"),
        (
            "hands",
            {"left_hand": np.array([9999]), "right_hand": np.arange(3)},
            "left_hand: expected vertex ids",
        ),
        (
            "hands",
            {"left_hand": np.array([0.5]), "right_hand": np.arange(3)},
            "left_hand: expected vertex ids",
        ),
        ("hands", [1, 2], "it has list"),
        ("hands", _Hostile(), "only numpy arrays are read"),
        ("body_joints", np.eye(14, 10475), r"expected shape \(14, 2505\), got \(14, 10475\)"),
    ],
)
def test_wrong_files_are_named(licensed, file, content, message, capsys):
    path = licensed / SMPLX_FILES[file]
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=message) as refused:
        smplx_parts(BodyModel(build_body()), licensed)
    assert path.name in str(refused.value)
    assert "ran" not in capsys.readouterr().out


def test_files_of_another_mesh_or_none_are_named(licensed):
    body, face = BodyModel(build_body()), licensed / SMPLX_FILES["face"]
    np.save(face, np.array([10474]))
    with pytest.raises(ValueError, match=r"FLAME_vertex_ids.npy: expected vertex ids 0 to 2504"):
        smplx_parts(body, licensed)
    face.unlink()
    with pytest.raises(FileNotFoundError, match="FLAME_vertex_ids"):
        smplx_parts(body, licensed)
