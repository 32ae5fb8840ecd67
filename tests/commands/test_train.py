"""`pctlib train` and the other thin commands of the study."""

import pytest
from study_people import make_people
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.coco import write_coco
from pctlib.io import read_json


@pytest.fixture
def coco_root(tmp_path):
    for split, count in (("train", 20), ("val", 6)):
        people = make_people(tmp_path / f"{split}2017", count, seed=len(split))
        write_coco(
            people,
            tmp_path / "annotations" / f"person_keypoints_{split}2017.json",
            image_dir=tmp_path / f"{split}2017",
        )
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("stage", ["tokenizer", "heatmap"])
def test_trains_a_stage_on_coco_files(coco_root, tmp_path, stage):
    result = invoke(
        "train", stage, "--profile", "smoke", "--data", "coco", "--data-root", str(coco_root),
        "--out-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "train_loss" in result.output
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert read_json(tmp_path / "run" / "model.json")["profile"]["name"] == "smoke"


def test_a_broken_image_is_an_error_or_skipped_and_counted(coco_root, tmp_path):
    (coco_root / "train2017" / "5-003.png").write_bytes(b"not an image")
    arguments = ["train", "heatmap", "--data", "coco", "--data-root", str(coco_root)]
    failed = invoke(*arguments, "--profile", "smoke", "--out-dir", str(tmp_path / "a"))
    assert "5-003.png" in str(failed.exception)
    import yaml

    from pctlib.profiles import load_profile

    profile = load_profile("smoke", skip_broken=True).model_dump(mode="json")
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(profile))
    passed = invoke(*arguments, "--profile", str(tmp_path / "mine.yml"), "--out-dir", str(tmp_path / "b"))
    assert passed.exit_code == 0, passed.output


def test_every_command_explains_itself():
    for command in ("data", "evaluate", "notebook", "people", "study", "train"):
        result = invoke(command, "--help")
        assert result.exit_code == 0
        assert command in invoke("--help").output
