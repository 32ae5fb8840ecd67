import json
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import scipy.io
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.metrics.wholebody import FIELDS
from pctlib.skeletons import LSP

TABLES = [f"errors_by_{grouping}.csv" for grouping in ("joint", "visibility", "occlusion", "size")]


@pytest.fixture
def evaluate():
    """Return a function that runs `evaluate` with arguments and returns its result."""
    return lambda *arguments: CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    """Return a function that writes annotations of two persons, and their poses as results."""

    def make(fields):
        xy = np.random.default_rng(2).uniform(10, 90, (2, sum(fields.values()), 2))
        people, results = [], []
        for row in range(2):
            flat = np.c_[xy[row], np.full(len(xy[row]), 2)]
            keypoints, start = {}, 0
            for name, count in fields.items():
                keypoints[name] = flat[start : start + count].reshape(-1).tolist()
                start += count
            place = {"image_id": row + 1, "category_id": 1}
            box = {"bbox": [10, 10, 80, 80], "area": 5000.0, "iscrowd": 0, "num_keypoints": 9}
            people.append({**place, **box, **keypoints, "id": row})
            results.append({**place, **keypoints, "score": 0.5})
        images = [{"id": 1, "crowdIndex": 0.0}, {"id": 2, "crowdIndex": 0.9}]
        annotations, predictions = tmp_path / "annotations.json", tmp_path / "predictions.json"
        annotations.write_text(json.dumps({"images": images, "annotations": people}))
        predictions.write_text(json.dumps(results))
        return "--annotations", annotations, "--predictions", predictions

    return make


@pytest.mark.parametrize(
    ("dataset", "fields", "columns"),
    [
        ("coco", {"keypoints": 17}, ["AP", "AP50", "AP75", "APM", "APL"]),
        ("ochuman", {"keypoints": 17}, ["AP", "AP50", "AP75", "APM", "APL"]),
        ("crowdpose", {"keypoints": 14}, ["AP", "AP50", "AP75", "AR", "AR50"]),
        ("coco-wholebody", FIELDS, ["AP", "AP50", "AP75", "APM", "APL"]),
    ],
)
def test_results_file(evaluate, files, tmp_path, dataset, fields, columns):
    out = tmp_path / "scores.json", tmp_path / "scores.csv"
    done = evaluate(dataset, *files(fields), "--out", out[0], "--out", out[1])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[1].split()[:5] == columns
    assert lines[2].split()[1] == "1.000"
    assert "2 images" in done.output
    content = json.loads(out[0].read_text())
    assert all(row["AP"] == pytest.approx(1) for row in content["rows"].values())
    assert content["counts"]["results"] == 2
    assert out[1].read_text().splitlines()[0].split(",")[1:6] == columns


def test_crowdpose_boundaries(evaluate, files):
    done = evaluate("crowdpose", *files({"keypoints": 14}), "--boundaries", "0", "0.95")
    assert "0 easy images" in done.output
    assert "2 medium images" in done.output


@pytest.mark.parametrize(
    ("dataset", "fields"),
    [("coco", {"keypoints": 17}), ("crowdpose", {"keypoints": 14}), ("coco-wholebody", FIELDS)],
)
def test_error_analysis(evaluate, files, tmp_path, dataset, fields):
    done = evaluate(dataset, *files(fields), "--errors", tmp_path / "errors")
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "errors").iterdir()}
    assert names == {*TABLES, "error_types.png", "error_groups.png"}
    assert "2 persons matched" in done.output
    assert len((tmp_path / "errors/errors_by_joint.csv").read_text().splitlines()) == 2 + sum(fields.values())
    assert (tmp_path / "errors" / "error_types.png").read_bytes().startswith(b"\x89PNG")


def test_error_analysis_of_mpii(evaluate, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 90, (5, 16, 2))
    with h5py.File(tmp_path / "valid.h5", "w") as file:
        file["part"], file["normalize"], file["visible"] = truth, np.full(5, 30.0), np.ones((5, 16))
        file["center"], file["scale"] = np.full((5, 2), 50.0), np.full(5, 0.5)
        file["imgname"] = [b"00000000%d.jpg" % i for i in range(5)]
    with h5py.File(tmp_path / "preds.h5", "w") as file:
        file["preds"] = truth + np.array([3.0, 3.0])
    arguments = ["--annotations", tmp_path / "valid.h5", "--predictions", tmp_path / "preds.h5"]
    done = evaluate("mpii", *arguments, "--first", "4", "--pixel-origin", "1", "--errors", tmp_path / "e")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "e").iterdir()} >= {*TABLES, "error_groups.png"}
    last = (tmp_path / "e/errors_by_visibility.csv").read_text().splitlines()[-1].split(",")
    assert last[:2] == ["all", "64"]
    assert float(last[2]) == pytest.approx(np.hypot(3, 3), rel=1e-4)


def test_mpii(evaluate, tmp_path):
    truth = np.random.default_rng(0).uniform(20, 90, (5, 16, 2))
    with h5py.File(tmp_path / "valid.h5", "w") as file:
        file["part"], file["normalize"] = truth, np.full(5, 30.0)
    with h5py.File(tmp_path / "preds.h5", "w") as file:
        file["preds"] = truth - 1
    arguments = ["mpii", "--annotations", tmp_path / "valid.h5", "--predictions", tmp_path / "preds.h5"]
    out = tmp_path / "o.json"
    done = evaluate(*arguments, "--pixel-origin", "0", "--first", "3", "--out", out)
    assert done.exit_code == 0, done.output
    assert "3 persons" in done.output
    assert json.loads(out.read_text())["rows"]["PCKh@0.1"]["Mean"] == 100
    assert evaluate(*arguments, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["rows"]["PCKh@0.1"]["Mean"] == 100  # 1.4 px of 30
    assert evaluate(*arguments, "--pixel-origin", "7").exit_code != 0


def test_lsp(evaluate, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 90, (2000, 14, 2))
    truth[:, LSP.index("left_shoulder")] = truth[:, LSP.index("right_hip")] + [30, 40]  # a torso of 50 px
    joints = np.concatenate([truth, np.zeros((2000, 14, 1))], axis=2)
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints.transpose(2, 1, 0)})
    with h5py.File(tmp_path / "all.h5", "w") as every, h5py.File(tmp_path / "test.h5", "w") as tested:
        every["preds"], tested["preds"] = truth + np.array([9.0, 0]), truth[1000:] + np.array([11.0, 0])
    out = tmp_path / "o.json"
    arguments = ["lsp", "--annotations", tmp_path, "--predictions"]
    done = evaluate(*arguments, tmp_path / "test.h5", "--out", out)
    assert done.exit_code == 0, done.output
    assert "1000 persons" in done.output
    assert json.loads(out.read_text())["rows"]["PCK@0.2"]["Mean"] == 0  # 11 of 50 px
    assert evaluate(*arguments, tmp_path / "all.h5", "--split", "all", "--out", out).exit_code == 0
    assert json.loads(out.read_text())["rows"]["PCK@0.2"]["Mean"] == 100
    wrong = evaluate(*arguments, tmp_path / "all.h5")
    assert "all.h5: 2000 poses, but there are 1000 images" in str(wrong.exception)
    assert evaluate(*arguments, tmp_path / "test.h5", "--extended").exit_code != 0  # joints.mat is of LSP


def test_images_without_a_pose_of_lsp_extended_are_passed_over(evaluate, tmp_path):
    joints = np.zeros((14, 3, 3))
    joints[:, :2] = np.random.default_rng(0).uniform(20, 90, (14, 2, 3))
    joints[:, 2, [0, 2]] = 1  # nobody is labelled in the second image
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    with h5py.File(tmp_path / "preds.h5", "w") as file:
        file["preds"] = joints[:, :2].transpose(2, 0, 1)
    out = tmp_path / "o.json"
    arguments = ["lsp", "--annotations", tmp_path, "--predictions", tmp_path / "preds.h5", "--extended"]
    assert evaluate(*arguments, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["rows"]["PCK@0.2"]["Mean"] == 100


def test_a_bad_file_ends_with_one_line(files, tmp_path):
    arguments = files({"keypoints": 17})
    predictions = arguments[-1]
    predictions.write_text(predictions.read_text()[:-20])
    command = [sys.executable, "-m", "pctlib", "evaluate", "coco", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {predictions}, line 1")


def test_a_table_that_cannot_be_written_is_refused_first(evaluate, files, tmp_path):
    done = evaluate("coco", *files({"keypoints": 17}), "--out", tmp_path / "t.xlsx")
    assert str(done.exception).endswith("t.xlsx: expected a name ending in .json or .csv, got .xlsx")
    assert done.stdout == ""


def test_help_does_not_import_the_heavy_packages():
    code = (
        "import sys; from typer.testing import CliRunner; from pctlib.commands import app;"
        "CliRunner().invoke(app, ['evaluate', '--help']);"
        "print([m for m in ('torch', 'pandas', 'pycocotools', 'matplotlib', 'h5py') if m in sys.modules])"
    )
    start = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.process_time() - start < 5
