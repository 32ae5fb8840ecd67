"""The grid's points and classifiers: what is read, and what of a failed point stays out."""

import json

import pytest
import torch
from helpers.study_people import make_people

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import RunCard
from pctlib.skeletons import COCO
from pctlib.study.pages.grid import study as grid
from pctlib.study.pages.grid.inside import tokenizer_folders
from pctlib.study.pages.grid.trainings import trainings
from pctlib.study.people import Splits
from pctlib.study.stages import classifier
from pctlib.study.stages.heatmap import train_heatmap
from pctlib.study.stages.tokenizer import build_tokenizer, save_tokenizer


def write_point(runs_dir, entries, metrics, *, tokens=4, started="2024-05-01T12:00:00+00:00", seconds=3.0):
    """Write what the training of a point leaves behind: metrics, and a run card."""
    folder = grid.point_folder(runs_dir, entries, tokens, 0)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {grid.SECONDS: seconds - 1} | metrics
    (folder / "metrics.json").write_text(json.dumps(metrics))
    times = {"training": seconds}
    RunCard("smoke", 0, "procedural", started=started, wall_times=times).save(folder / "run_card.json")
    return folder


def test_points_are_read_with_their_bits_and_times(tmp_path):
    write_point(tmp_path, 8, {"error px": 2.0, "AP": None, "starts": {}})
    write_point(tmp_path, 16, {"error px": 1.0}, started="2024-05-01T14:01:00+02:00", seconds=5.0)
    points = grid.read_points(load_profile("smoke"), tmp_path, [0])
    assert points[["V", "M", "seed", "bits", "error px"]].to_numpy().tolist() == [
        [8, 4, 0, 12, 2.0],
        [16, 4, 0, 16, 1.0],
    ]
    assert points[grid.WALL].tolist() == [3.0, 5.0]
    assert points[grid.WORK].tolist() == [3.0, 5.0]
    assert points[grid.STARTED].diff().iloc[1] == 60
    assert "starts" not in points


def test_a_failed_point_has_nothing_but_its_reason(tmp_path):
    """Also if an earlier run of the same point left its card."""
    write_point(tmp_path, 8, {"failed": "no memory"})
    write_point(tmp_path, 16, {"error px": 1.0})
    first, second = grid.read_points(load_profile("smoke"), tmp_path, [0]).to_dict("records")
    assert first["failed"] == "no memory"
    assert first[grid.WALL] != first[grid.WALL]  # NaN
    assert second["failed"] != second["failed"]


def test_a_point_that_was_not_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="points/seed0/v8-m4"):
        grid.read_points(load_profile("smoke"), tmp_path, [0])


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """Return the row's classifiers over tokenizers of V = 8 (untrained) and V = 16 (failed)."""
    folder = tmp_path_factory.mktemp("row")
    profile = load_profile("smoke")
    splits = Splits(make_people(folder / "t", 20, seed=1), make_people(folder / "v", 6, seed=2), "drawn")
    train_heatmap(profile, splits, seed=0, out_dir=folder / "heatmap-seed0", progress=False)
    small = load_profile("smoke", tokenizer__codebook_size=8)
    torch.manual_seed(0)
    model: PoseTokenizer = build_tokenizer(small, num_keypoints=17)
    save_tokenizer(model, small, COCO, write_point(folder / "grid", 8, {"error px": 2.0}))
    save_tokenizer(model, small, COCO, write_point(folder / "grid", 16, {"failed": "no memory"}))
    return grid.RowClassifiers(
        profile, splits, study_dir=folder, runs_dir=folder / "grid", progress=False
    ), folder


def test_a_classifier_of_the_row_is_measured(row, tmp_path):
    classifiers, _ = row
    assert classifiers.variants == ["V8", "V16"]
    metrics = classifiers("V8", 0, tmp_path)
    assert (metrics["V"], metrics["M"]) == (8, 4)
    assert 0 <= metrics["PCK@0.1 seen"] <= 1
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1  # classifier_epochs


def test_the_features_of_a_seed_are_computed_once(row, monkeypatch):
    classifiers, _ = row
    first = classifiers._frozen.of(0, classifiers.profile)
    monkeypatch.setattr(classifier, "freeze_backbone", None)
    assert classifiers._frozen.of(0, classifiers.profile) is first
    assert first.val_features.num_people == 6


def test_a_failed_tokenizer_has_no_classifier_even_if_weights_lie_there(row, tmp_path):
    classifiers, _ = row
    with pytest.raises(ValueError, match="no tokenizer to classify the tokens of: no memory"):
        classifiers("V16", 0, tmp_path)


def test_the_row_of_classifiers_lies_in_the_grid():
    with pytest.raises(ValueError, match=r"classified_tokens: expected one of \[4\], got 5"):
        load_profile("smoke", grid__classified_tokens=5)


def test_a_point_that_was_read_back_keeps_the_seconds_of_its_training(tmp_path):
    write_point(tmp_path, 8, {grid.SECONDS: 50.0})
    write_point(tmp_path, 16, {grid.SECONDS: 60.0})
    points = grid.read_points(load_profile("smoke"), tmp_path, [0])
    assert points[grid.SECONDS].tolist() == [50.0, 60.0]
    assert points[grid.WALL].tolist() == [3.0, 3.0]
    assert points[grid.WORK].tolist() == [50.0, 60.0]


def test_the_folders_are_those_of_the_trainings(tmp_path):
    profile = load_profile("smoke", grid__num_tokens=[2, 4])
    folders = tokenizer_folders(profile, tmp_path, 3)
    assert list(folders) == ["V8-M2", "V8-M4", "V16-M2", "V16-M4"]
    points = [training for training in trainings(profile) if training.group == grid.POINTS]
    assert [training.name for training in points] == list(folders)
    assert folders["V16-M2"] == tmp_path / "points" / "seed3" / "v16-m2"
