import json

import pytest
import torch
from helpers.coloured_joints import picture
from helpers.official_vitpose import random_vitpose
from PIL import Image
from typer.testing import CliRunner

from pctlib.commands import app


@pytest.fixture
def files(tmp_path):
    torch.save({"state_dict": random_vitpose(0, dim=384, depth=1, decoder="simple")}, tmp_path / "vit.pth")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(picture([(50, 40), (90, 70)])).save(tmp_path / "in" / name)
    return tmp_path


def predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_a_folder_of_photographs(files):
    options = ["--weights", files / "vit.pth", "--out", files / "out", "--whole-image"]
    done = predict(files / "in", *options)
    assert done.exit_code == 0, done.output
    assert "2 of 2 sources done" in done.output
    assert sorted(path.name for path in (files / "out/drawn").iterdir()) == ["a.png", "b.jpg"]
    first = (files / "out/results.json").read_text()
    assert len(json.loads(first)) == 2
    assert predict(files / "in", *options).exit_code == 0
    flipped = predict(files / "in", *options, "--flip-test")
    assert "holds results of other settings (flip_test: None, now True)" in str(flipped.exception)
    (files / "in/c.jpg").write_text("no picture")
    done = predict(files / "in", *options)
    assert done.exit_code == 1
    assert "not done:" in done.stderr
    assert done.stderr.count("c.jpg") >= 1
    assert "2 of 3 sources done" in done.output


def test_what_does_not_fit_is_said(files):
    assert "name the weights" in str(predict(files / "in", "--out", files / "out").exception)
    weights = ["--weights", files / "vit.pth"]
    done = predict(files / "none", *weights, "--out", files / "out")
    assert isinstance(done.exception, FileNotFoundError)
    done = predict(files / "in", *weights, "--annotations", files / "a.json", "--out", files / "out")
    assert "give the weights alone as argument" in str(done.exception)
    done = predict(files / "in", *weights, "--out", files / "out", "--whole-image", "--skeleton", "mpii")
    assert "17" in str(done.exception)
    assert not (files / "out/results.json").exists()
