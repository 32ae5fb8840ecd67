"""True and predicted meshes of benchmarks: read from their layouts, and every kind of bad file named."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pctlib.data.agora import read_agora
from pctlib.data.ehf import read_ehf
from pctlib.data.meshes import TrueMeshes, read_predicted_meshes
from pctlib.mesh_files import write_mesh

V = 6
FACES = np.array([[0, 1, 2]])


@pytest.fixture
def meshes(rng):
    return rng.normal(0, 0.4, (3, V, 3))


@pytest.fixture
def ehf(tmp_path, meshes):
    for number, vertices in zip(("02", "01", "100"), meshes, strict=True):
        write_mesh(tmp_path / f"{number}_align.ply", vertices, FACES)
    (tmp_path / "01_scan.ply").write_text("not a mesh of the body")
    return tmp_path


def test_ehf_is_turned_into_its_camera(ehf, meshes):
    read = read_ehf(ehf, num_vertices=V)
    assert read.names == ("01", "02", "100")
    turn = Rotation.from_rotvec([-2.98747896, 0.01172457, -0.05704687])
    np.testing.assert_allclose(read.vertices[0], turn.apply(meshes[1]), atol=1e-6)
    assert np.linalg.norm(read.vertices[2], axis=1) == pytest.approx(
        np.linalg.norm(meshes[2], axis=1), abs=1e-6
    )


def test_the_rotation_of_ehf_is_that_of_the_official_evaluation(golden):
    turn = golden("osx_metrics").inputs["R"].numpy()
    np.testing.assert_allclose(
        Rotation.from_rotvec([-2.98747896, 0.01172457, -0.05704687]).as_matrix(), turn, atol=1e-12
    )


def test_bad_ehf_is_named(ehf, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"EHF: expected .*01_align\.ply and so on, found none"):
        read_ehf(tmp_path / "nowhere", num_vertices=V)
    with pytest.raises(ValueError, match=r"01_align\.ply: expected 10475 finite vertices.*got 6"):
        read_ehf(ehf, num_vertices=10475)
    (ehf / "02_align.ply").write_text("ply\nformat ascii 1.0\n")
    with pytest.raises(ValueError, match=r"02_align\.ply: not a \.ply file"):
        read_ehf(ehf, num_vertices=V)


@pytest.fixture
def agora(tmp_path, meshes):
    """Return a function that writes AGORA's files with some values of its first person changed."""

    def write(**changes):
        persons = []
        for number, vertices in enumerate(meshes):
            path = f"verts/{number}.json"
            (tmp_path / "verts").mkdir(exist_ok=True)
            (tmp_path / path).write_text(json.dumps(vertices.tolist()))
            persons.append({"id": 7 + number, "is_valid": True, "smplx_verts_path": path})
        persons[0] |= changes
        file = tmp_path / "AGORA_validation.json"
        file.write_text(json.dumps({"images": [], "annotations": persons}))
        return file

    return write


def test_agora_reads_whom_it_counts(agora, meshes):
    read = read_agora(agora(), num_vertices=V)
    assert read.names == ("7", "8", "9")
    np.testing.assert_array_equal(read.vertices, meshes)
    read = read_agora(agora(is_valid=False), num_vertices=V)
    assert read.names == ("8", "9")
    assert read.excluded == {
        "people that AGORA does not count (is_valid)": 1, "people without a fitted mesh": 0,
    }  # fmt: skip
    assert read_agora(agora(smplx_verts_path=None), num_vertices=V).names == ("8", "9")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"id": 8}, ValueError, r"annotations\[1\]\.id: 8 is there twice"),
        ({"smplx_verts_path": "verts/5.json"}, FileNotFoundError, r"verts.5\.json"),
    ],
)
def test_bad_persons_of_agora_are_named(agora, changes, error, message):
    with pytest.raises(error, match=message):
        read_agora(agora(**changes), num_vertices=V)


@pytest.mark.parametrize("content", [[[1, 2]], "text", [[None, 1, 2]] * V, {"a": 1}, [[1e400, 0, 0]] * V])
def test_bad_meshes_of_agora_are_named(agora, tmp_path, content):
    file = agora()
    (tmp_path / "verts" / "1.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"verts.1\.json: expected"):
        read_agora(file, num_vertices=V)


def test_a_file_that_is_not_agora_is_named(tmp_path):
    file = tmp_path / "AGORA_validation.json"
    for content, message in (
        ("[]", "annotations: expected a list of persons"),
        ('{"annotations": [3]}', r"annotations\[0\]: expected a person with 'id'"),
        ('{"annotations": [{"id": 1}]}', r"annotations\[0\]: expected a person with 'is_valid'"),
        ('{"annotations": [{"id": 1, "is_valid": false}]}', "no person is valid and has a mesh"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_agora(file, num_vertices=V)


@pytest.fixture
def predicted(tmp_path, meshes):
    """Return a function that writes predictions, changed as told."""

    def write(**changes):
        values = {"vertices": meshes, "names": np.array(["a", "b", "c"])} | changes
        np.savez(tmp_path / "meshes.npz", **values)
        return tmp_path / "meshes.npz"

    return write


def test_predictions_are_put_in_order(predicted, meshes):
    truth = TrueMeshes(("c", "a"), meshes[:2])
    np.testing.assert_array_equal(read_predicted_meshes(predicted(), truth), meshes[[2, 0]])
    by_number = TrueMeshes(("12", "7"), meshes[:2])
    path = predicted(names=np.array([7, 12, 30]))
    np.testing.assert_array_equal(read_predicted_meshes(path, by_number), meshes[[1, 0]])


def test_bad_predictions_are_named(predicted, meshes):
    truth = TrueMeshes(("a", "b"), meshes[:2])
    holed = meshes.copy()
    holed[1, 2] = np.nan
    for changes, message in (
        ({"vertices": meshes[:, :4]}, r"vertices need shape \[N, 6, 3\], got \[3, 4, 3\]"),
        ({"names": np.array(["a", "b"])}, "has 3 vertices but 2 names"),
        ({"names": np.array(["a", "b", "a"])}, "names: 1 are there twice"),
        ({"names": np.array(["a", "c", "d"])}, "1 of 2 people have no mesh, the first is 'b'"),
        ({"vertices": holed}, "vertices of 'b' are not finite"),
        ({"vertices": 1000 * meshes}, "expected metres, the mesh of 'a' .* look like millimetres"),
        ({"vertices": 0 * meshes}, "expected metres, the mesh of 'a' measures 0$"),
    ):
        with pytest.raises(ValueError, match=rf"meshes\.npz: .*{message}"):
            read_predicted_meshes(predicted(**changes), truth)
