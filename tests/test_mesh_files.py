"""Meshes as files: what is written is read, in every form; what is no mesh is named."""

import numpy as np
import pytest

from pctlib.mesh_files import read_ply_vertices, write_mesh

VERTICES = np.array([[0.0, 0, 0], [1, 0, 0.25], [0, 1.5, 0], [0, 0, -2]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_obj_is_text_that_counts_from_one(tmp_path):
    lines = write_mesh(tmp_path / "body.obj", VERTICES, FACES).read_text().splitlines()
    assert lines[1] == "v 1.000000 0.000000 0.250000"
    assert lines[4:] == ["f 1 2 3", "f 1 3 4"]


def test_ply_round_trip(tmp_path):
    path = write_mesh(tmp_path / "body.ply", VERTICES, FACES)
    np.testing.assert_allclose(read_ply_vertices(path), VERTICES)
    assert path.stat().st_size == path.read_bytes().index(b"end_header\n") + 11 + 4 * 12 + 2 * 13


@pytest.mark.parametrize("kind", ["ascii", "binary_big_endian", "binary_little_endian"])
def test_other_forms_and_further_properties(tmp_path, kind):
    head = f"ply\nformat {kind} 1.0\ncomment made by hand\nelement vertex 2\n"
    head += "property double z\nproperty uchar red\nproperty float x\nproperty float y\nend_header\n"
    order = ">" if kind == "binary_big_endian" else "<"
    rows = np.array(
        [(3, 7, 1, 2), (6, 8, 4, 5)],
        [(n, order + t) for n, t in zip("zrxy", ("f8", "u1", "f4", "f4"), strict=True)],
    )
    body = b"3 7 1 2\n6 8 4 5\n" if kind == "ascii" else rows.tobytes()
    (tmp_path / "a.ply").write_bytes(head.encode() + body)
    np.testing.assert_array_equal(read_ply_vertices(tmp_path / "a.ply"), [[1, 2, 3], [4, 5, 6]])
    (tmp_path / "a.ply").write_bytes(head.encode() + body[:-4])
    with pytest.raises(ValueError, match=r"a.ply: cut off, expected 2 vertices"):
        read_ply_vertices(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"solid", "not a .ply file"),
        (b"ply\nformat ascii 1.0\nelement face 1\nproperty list uchar int v\nend_header\n", "first element"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "x, y and z"),
    ],
)
def test_what_is_no_mesh_is_named(tmp_path, content, message):
    (tmp_path / "x.ply").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_ply_vertices(tmp_path / "x.ply")


def test_meshes_that_are_none_are_not_written(tmp_path):
    for path, vertices, faces in (
        ("a.stl", VERTICES, FACES),
        ("a.obj", VERTICES * np.nan, FACES),
        ("a.ply", VERTICES[:3], FACES),
    ):
        with pytest.raises(ValueError, match=path):
            write_mesh(tmp_path / path, vertices, faces)
    assert not list(tmp_path.iterdir())
