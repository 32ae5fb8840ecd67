"""`pctlib evaluate ehf` and `agora`: tables from files in the layouts of the data sets."""

import json
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.ehf import read_ehf
from pctlib.data.procedural.body import build_body
from pctlib.mesh_files import write_mesh
from pctlib.metrics.mesh_parts import SMPLX_FILES

V = 2505


@pytest.fixture
def study(tmp_path):
    """Return a folder with a body file, part files of its mesh, EHF's and AGORA's files of three people."""
    fields = build_body()
    np.savez(tmp_path / "body.npz", **fields)
    hands = {"left_hand": np.arange(5), "right_hand": np.arange(5, 9)}
    (tmp_path / SMPLX_FILES["hands"]).write_bytes(pickle.dumps(hands, protocol=2))
    np.save(tmp_path / SMPLX_FILES["face"], np.arange(20, 30))
    persons = []
    for number in (1, 2, 3):
        vertices = np.asarray(fields["v_template"], np.float64) * (1 + number / 50)
        write_mesh(tmp_path / f"{number:02d}_align.ply", vertices, np.asarray(fields["f"]))
        (tmp_path / f"{number}.json").write_text(json.dumps(vertices.tolist()))
        persons.append({"id": number, "is_valid": number < 3, "smplx_verts_path": f"{number}.json"})
    (tmp_path / "AGORA_validation.json").write_text(json.dumps({"annotations": persons}))
    return tmp_path


def evaluate(name, annotations, folder, *more):
    arguments = ["evaluate", name, "--annotations", str(annotations), "--predictions", str(folder / "p.npz")]
    arguments += ["--body-model", str(folder / "body.npz"), "--part-files", str(folder), *more]
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_ehf_is_scored_in_its_camera(study, tmp_path):
    truth = read_ehf(study, num_vertices=V)
    scale = np.array([1.0, 1.1, 1.0])[:, None, None]
    shifted = scale * truth.vertices + np.array([0.3, -0.2, 4.0])
    np.savez(study / "p.npz", vertices=shifted, names=np.array(truth.names))
    done = evaluate("ehf", study, study, "--out", str(tmp_path / "table.json"))
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "table.json").read_text())
    assert row["counts"] == {"people": 3}
    scores = row["rows"]["all people"]
    assert scores["PA-MPVPE all"] == pytest.approx(0, abs=1e-6)
    centre = truth.vertices[1] - scores_root(truth.vertices[1])
    assert scores["MPVPE all"] == pytest.approx(
        1000 * 0.1 * np.linalg.norm(centre, axis=1).mean() / 3, rel=1e-6
    )
    assert "PA-MPJPE hands" in scores
    assert "MPJPE body" not in scores, "there is no regressor of the body's joints"


def scores_root(vertices):
    """Return the pelvis of a mesh of the embedded body."""
    return np.asarray(build_body()["J_regressor"], np.float64)[0] @ vertices


def test_agora_counts_the_valid_and_has_no_joints(study, tmp_path):
    vertices = np.stack([np.array(json.loads((study / f"{n}.json").read_text())) for n in (2, 1)])
    np.savez(study / "p.npz", vertices=vertices, names=np.array([2, 1]))
    done = evaluate("agora", study / "AGORA_validation.json", study, "--out", str(tmp_path / "table.json"))
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "table.json").read_text())
    assert row["counts"] == {"people": 2, "people that AGORA does not count (is_valid)": 1}
    names = {f"{kind} {part}" for kind in ("MPVPE", "PA-MPVPE") for part in ("all", "hands", "face")}
    assert row["rows"]["all people"] == dict.fromkeys(names, pytest.approx(0, abs=1e-6))


def test_a_body_file_of_another_version_is_named(study):
    np.savez(study / "p.npz", vertices=np.zeros((3, V, 3)), names=np.array(["01", "02", "03"]))
    np.savez(study / "body.npz", v_template=np.zeros((6890, 3)))
    done = evaluate("ehf", study, study)
    assert done.exit_code != 0
    assert isinstance(done.exception, ValueError)
    assert "body.npz" in str(done.exception)
