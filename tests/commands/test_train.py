"""`pctlib train` and the other thin commands of the study."""

import re

import pytest
from helpers.study_people import make_people
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.coco import write_coco
from pctlib.io import read_json
from pctlib.reporting.run_card import load_run_card


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
    assert read_json(tmp_path / "run" / "model.json")["sizes"]["profile"]["name"] == "smoke"


def test_a_broken_image_is_an_error_or_skipped_and_counted(coco_root, tmp_path):
    (coco_root / "train2017" / "5-003.png").write_bytes(b"not an image")
    arguments = ["train", "heatmap", "--data", "coco", "--data-root", str(coco_root)]
    failed = invoke(*arguments, "--profile", "smoke", "--out-dir", str(tmp_path / "a"))
    assert "5-003.png" in str(failed.exception)
    import yaml

    from pctlib.profiles.profile import load_profile

    profile = load_profile("smoke", skip_broken=True).model_dump(mode="json") | {"name": "mine"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(profile))
    passed = invoke(*arguments, "--profile", str(tmp_path / "mine.yml"), "--out-dir", str(tmp_path / "b"))
    assert passed.exit_code == 0, passed.output


def test_a_guided_tokenizer_asks_for_its_backbone_before_it_reads_images(tmp_path):
    import yaml

    from pctlib.profiles.profile import load_profile

    changes = {"tokenizer__guide_ratio": 0.5, "classifier__cached_views": 0}
    profile = load_profile("smoke", **changes).model_dump(mode="json") | {"name": "guided"}
    (tmp_path / "guided.yml").write_text(yaml.safe_dump(profile))
    arguments = ["train", "tokenizer", "--profile", str(tmp_path / "guided.yml"), "--study-dir"]
    failed = invoke(*arguments, str(tmp_path / "typo"))
    assert isinstance(failed.exception, FileNotFoundError)
    assert "typo: no trained model in heatmap-seed0; run 02_heatmap first" in str(failed.exception)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "heatmap-seed0").mkdir()
    (tmp_path / "heatmap-seed0" / "model.json").write_text('{"profile": {}, "num_keypoints": 17}')
    failed = invoke(*arguments, str(tmp_path), "--out-dir", str(tmp_path / "run"))
    assert "heatmap-seed0/model.json: describes no run of the study" in str(failed.exception)


def test_a_profile_must_not_take_the_name_of_one_of_the_study(tmp_path):
    import yaml

    from pctlib.profiles.profile import load_profile

    profile = load_profile("smoke").model_dump(mode="json")
    for name, problem in (
        ("demo", "is that of a profile of the study"),
        ("../x", "name: String should match"),
    ):
        (tmp_path / "mine.yml").write_text(yaml.safe_dump(profile | {"name": name}))
        failed = invoke("train", "heatmap", "--profile", str(tmp_path / "mine.yml"))
        assert problem in str(failed.exception)


def test_one_variant_is_trained_and_read_back_by_its_page(coco_root, tmp_path):
    arguments = ["train", "masked", "--profile", "smoke", "--data", "coco", "--data-root", str(coco_root)]
    arguments += ["--out-dir", str(tmp_path / "masked"), "--seed", "3"]
    one = invoke(*arguments, "--variant", "from-scratch", "--finished", str(tmp_path / "done.json"))
    assert "1 of 1 variants trained" in one.output, one.output
    card = load_run_card(tmp_path / "done.json")
    assert (card.seed, card.data) == ("3", "coco")
    metrics = tmp_path / "masked" / "seed3" / "from-scratch" / "metrics.json"
    kept, made = metrics.stat().st_mtime_ns, sorted(p.name for p in metrics.parents[1].iterdir())
    assert made == ["from-scratch"]
    everything = invoke(*arguments)
    assert "3 of 3 variants trained" in everything.output, everything.output
    assert metrics.stat().st_mtime_ns == kept, "it is finished, and read"


def test_what_cannot_be_trained_is_said(tmp_path):
    for arguments, problem in (
        (["maskd"], "page: expected one of data, .*masked"),
        (["anatomy"], "page anatomy: it trains nothing; its notebook is 06_anatomy.ipynb"),
        (["masked", "--variant", "longest"], r"variant: expected one of \['from scratch'.*got 'longest'"),
    ):
        failed = invoke("train", *arguments, "--profile", "smoke", "--out-dir", str(tmp_path / "run"))
        assert re.search(problem, str(failed.exception))


def test_every_command_explains_itself():
    for command in ("data", "evaluate", "notebook", "people", "study", "train"):
        result = invoke(command, "--help")
        assert result.exit_code == 0
        assert command in invoke("--help").output
