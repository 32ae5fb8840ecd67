import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from PIL import Image
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data import sources
from pctlib.skeleton_files import read_skeleton


def run(*args, text=None):
    return CliRunner().invoke(app, ["data", *map(str, args)], input=text)


@pytest.fixture
def leeds(tmp_path):
    joints = np.random.default_rng(3).uniform(10, 50, (14, 3, 2))
    joints[:, 2] = 1
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    for number in (1, 2):
        Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / f"images/im0000{number}.jpg")
    return tmp_path


def test_check_ends_with_0_or_1(leeds):
    good = run("check", leeds)
    assert good.exit_code == 0
    assert "everything that was looked at is in order" in good.output
    (leeds / "images/im00002.jpg").unlink()
    bad = run("check", leeds, "--all")
    assert bad.exit_code == 1
    assert "missing train: 1 of 2 images are not in" in bad.output
    assert "faults: 1" in bad.output
    wrong = run("check", leeds, "--dataset", "lsp", "--sample", 1)
    assert wrong.exit_code == 1
    assert "this is LSP-Extended" in wrong.output


def test_get_lists_and_explains(tmp_path):
    listing = run("get")
    assert all(f"{name}: " in listing.output for name in sources.SOURCES)
    steps = run("get", "ochuman", "--root", tmp_path / "here")
    assert steps.exit_code == 0
    assert "By hand:" in steps.output
    assert f"Expected below {tmp_path / 'here'}" in steps.output
    assert "below data/h36m" in run("get", "h36m").output


def test_get_asks_before_it_starts(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(sources, "missing", lambda archives, root, say: archives)
    monkeypatch.setattr(
        sources, "get", lambda archives, root, **options: fetched.append((archives, root, options))
    )
    assert run("get", "coco", "--root", tmp_path, text="n\n").exit_code == 1
    assert fetched == []
    assert (
        run("get", "coco", "--root", tmp_path, "--part", "val", "--keep-archives", text="y\n").exit_code == 0
    )
    archives, root, options = fetched[0]
    assert ([archive.part for archive in archives], root, options["keep_archives"]) == (
        ["val"],
        tmp_path,
        True,
    )
    assert run("get", "coco", "--yes").exit_code == 0
    assert (len(fetched[1][0]), fetched[1][2]["keep_archives"]) == (3, False)


def test_help_does_not_load_what_it_does_not_need():
    code = "import sys; import pctlib.commands; print('torch' in sys.modules, 'pooch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_check_writes_down_own_keypoints_to_correct(tmp_path):
    category = {"id": 1, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"], "skeleton": [[1, 2]]}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    entry |= {"keypoints": [2, 2, 2, 3, 3, 2, 4, 4, 2], "num_keypoints": 3}
    image = {"id": 1, "file_name": "a.png", "height": 8, "width": 8}
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    content = {"images": [image], "annotations": [entry], "categories": [category]}
    (tmp_path / "result.json").write_text(json.dumps(content))
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path)])
    assert "is checked as own" in done.output
    assert f"written: {tmp_path / 'keypoints.yml'}" in done.output
    assert read_skeleton(tmp_path / "keypoints.yml").flip_pairs == ((1, 2),)
    assert "written:" not in CliRunner().invoke(app, ["data", "check", str(tmp_path)]).output
