"""The page of official weights, on small random files and people the test draws."""

import json

import h5py
import numpy as np
import pytest
import torch
from helpers.official_vitpose import random_vitpose
from helpers.study_people import make_people

from pctlib.data.coco import write_coco
from pctlib.profiles.profile import load_profile
from pctlib.study.pages.official import measure as measuring
from pctlib.study.pages.official.measure import Measured, measure_all
from pctlib.study.pages.official.report import (
    commands_table,
    official_finding,
    official_table,
    reported,
)

CPU = torch.device("cpu")


@pytest.fixture
def section(tmp_path):
    """The section of a profile: a random ViTPose and ViTPose+, COCO and OCHuman of four people."""
    sizes = {"dim": 384, "depth": 1, "decoder": "simple"}
    torch.save({"state_dict": random_vitpose(0, **sizes)}, tmp_path / "vit.pth")
    torch.save({"state_dict": random_vitpose(0, K=(17, 14, 16), experts=3, **sizes)}, tmp_path / "plus.pth")
    for name, file, folder in (
        ("coco", "annotations/person_keypoints_val2017.json", "val2017"),
        ("ochuman", "ochuman_coco_format_val_range_0.00_1.00.json", "images"),
    ):
        people = make_people(tmp_path / name / folder, 4)
        write_coco(people, tmp_path / name / file, image_dir=tmp_path / name / folder)
    weights = {
        "ViTPose-B simple": {"file": str(tmp_path / "vit.pth")},
        "ViTPose+-B": {"file": str(tmp_path / "plus.pth"), "dataset_index": 0},
    }
    datasets = {name: str(tmp_path / name) for name in ("coco", "ochuman")}
    return load_profile("smoke", official={"weights": weights, "datasets": datasets}).official


def measured(section, folder):
    return measure_all(section, folder, device=CPU, workers=0)


def test_every_file_is_measured_on_every_benchmark_of_its_keypoints(section, tmp_path, monkeypatch):
    rows = measured(section, tmp_path / "out")
    names = [(row.weights, row.benchmark) for row in rows]
    assert names == [(w, b) for w in ("ViTPose-B simple", "ViTPose+-B") for b in ("coco", "ochuman")]
    assert all(row.boxes == "annotated" and row.people == 4 and 0 <= row.score <= 100 for row in rows)
    assert rows[2].command.endswith("--dataset-index 0")
    table = official_table(rows)
    assert table["published", "paper or release (%)"].tolist()[0] == 75.5
    assert table["published", "mmpose (%)"].tolist()[0] == 75.6
    assert table["measured", "score (%)"].tolist() == [row.score for row in rows]
    assert len(commands_table(rows)) == 4
    predicted = []
    monkeypatch.setattr(measuring, "find_poses", lambda *args, **options: predicted.append(1))
    assert measured(section, tmp_path / "out") == rows
    assert predicted == []


def test_the_score_is_that_of_the_protocol(section, tmp_path, monkeypatch):
    """Perfect poses score 100 %, also on MPII, whose predictions are no JSON."""
    truth = {}

    def perfect(model, people, **options):
        truth["K"] = people.skeleton.num_keypoints
        return people.keypoints_image, np.ones(people.visible.shape, np.float32)

    monkeypatch.setattr(measuring, "find_poses", perfect)
    assert [row.score for row in measured(section, tmp_path / "out")] == pytest.approx([100] * 4)
    people = make_people(tmp_path / "m", 2)
    keypoints = people.keypoints_image[:, :16]
    measuring._write(tmp_path / "p.h5", people, keypoints, np.ones((2, 16)))
    with h5py.File(tmp_path / "p.h5") as archive:
        np.testing.assert_array_equal(archive["preds"], keypoints)


def test_detected_boxes_are_taken_where_they_lie(section, tmp_path):
    entry = {"image_id": 0, "category_id": 1, "bbox": [5, 5, 60, 60], "score": 0.9}
    place = tmp_path / "coco" / "person_detection_results" / measuring.DETECTIONS[0]
    place.parent.mkdir()
    place.write_text(json.dumps([entry] * 3))
    rows = measured(section, tmp_path / "out")
    assert [(row.boxes, row.people) for row in rows[:2]] == [("detected", 3), ("annotated", 4)]
    assert f"--detections {place}" in rows[0].command


def test_what_does_not_fit_is_named(section, tmp_path):
    crowd = section.model_copy(update={"datasets": {"crowdpose": str(tmp_path)}})
    with pytest.raises(ValueError, match=r"official\.weights: ViTPose-B simple: gives coco, as none"):
        measured(crowd, tmp_path / "out")
    other = section.model_copy(update={"datasets": {"aic": str(tmp_path)}})
    with pytest.raises(ValueError, match=r"official\.datasets: expected of coco, .*, got 'aic'"):
        measured(other, tmp_path / "out")
    with pytest.raises(ValueError, match="weights"):
        load_profile("smoke", official={"weights": {}, "datasets": {"coco": "a"}})


@pytest.mark.parametrize(
    ("name", "benchmark", "expected"),
    [
        ("ViTPose-B", "coco", {"paper or release": 75.8, "mmpose": 75.7}),
        ("ViTPose-B", "ochuman", {}),
        ("ViTPose+-L", "ochuman", {"paper or release": 85.7}),
        ("PCT Swin-Base", "coco", {"paper or release": 77.7}),
        ("DWPose-l 384x288", "coco-wholebody", {"paper or release": 66.5}),
        ("RTMPose-m", "coco-wholebody", {"paper or release": 58.2}),
        ("mine", "coco", {}),
    ],
)
def test_reported_scores_are_found_by_name(name, benchmark, expected):
    found = reported(name, benchmark)
    assert {key: found.get(key) for key in expected} == expected
    assert bool(found) == bool(expected)


def test_the_finding_compares_only_what_has_the_boxes_of_the_paper():
    row = Measured("ViTPose-B", "coco", "detected", 9, 75.0, "")
    assert "largest difference is −0.8 points, of ViTPose-B on coco" in official_finding([row])
    assert "1 of 2 scores" in official_finding([row, row._replace(boxes="annotated", score=90.0)])
    assert "1 scores" in official_finding([row._replace(weights="mine")])
