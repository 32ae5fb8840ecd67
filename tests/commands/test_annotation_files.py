"""Annotation files as tools write them: checked, predicted and evaluated by the same rules."""

import json

import numpy as np
import pytest
import torch
from helpers.study_people import make_people
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.coco import write_coco
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.stages.heatmap import build_backbone, build_heatmap, save_staged


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a data set of four people in four images, and an untrained model in `run`."""
    root = tmp_path_factory.mktemp("coco")
    people = make_people(root / "val2017", 4)
    write_coco(people, root / "annotations/plain.json", image_dir=root / "val2017")
    profile = load_profile("smoke")
    torch.manual_seed(0)
    backbone = build_backbone(profile)
    model = PoseEstimator(backbone, build_heatmap(profile, backbone, COCO))
    save_staged(model, "heatmap", profile, COCO, root / "run")
    return root


@pytest.fixture
def commands(root, tmp_path):
    """Return a function that runs the three commands on a changed file: outputs and results."""

    def run(change):
        content = json.loads((root / "annotations/plain.json").read_text())
        change(content)
        file = root / "annotations/person_keypoints_val2017.json"
        file.write_text(json.dumps(content))
        named = ["--annotations", file]
        outputs = [_invoke("data", "check", root, "--dataset", "coco")]
        places = [*named, "--images", root / "val2017", "--workers", 0, "--out", tmp_path / "r.json"]
        outputs.append(_invoke("predict", root / "run", *places))
        outputs.append(_invoke("evaluate", "coco", *named, "--predictions", tmp_path / "r.json"))
        return outputs, json.loads((tmp_path / "r.json").read_text())

    return run


def _invoke(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.exception or done.output
    return done.output


def _all(section, **values):
    """Return a change that gives fields of every entry new values, or functions of the entry."""

    def change(content):
        for entry in content[section]:
            entry.update({name: v(entry) if callable(v) else v for name, v in values.items()})

    return change


def _category(number):
    def change(content):
        content["categories"][0]["id"] = number
        _all("annotations", category_id=number)(content)

    return change


def _beside(category, **annotation):
    def change(content):
        content["categories"].append({"id": 5, **category})
        box = {"id": 900, "image_id": content["images"][0]["id"], "bbox": [1, 1, 9, 9]}
        content["annotations"].append({**box, "category_id": 5, **annotation})

    return change


def _whole_floats(content):
    _all("images", id=lambda e: float(e["id"]))(content)
    _all("annotations", id=lambda e: float(e["id"]), image_id=lambda e: float(e["image_id"]))(content)


SAME = {
    "category 0": (_category(0), 0, {}),
    "category 9": (_category(9), 9, {}),
    "called player": (lambda c: c["categories"][0].update(name="player"), 1, {}),
    "cars": (
        _beside({"name": "car"}),
        1,
        {0: "1 of other", 1: "1 of other", 2: "1 annotations of"},
    ),
    "dogs": (
        _beside({"name": "dog", "keypoints": ["nose"]}, keypoints=[1, 1, 2]),
        1,
        {0: "1 of other categories", 2: "1 annotations of other categories left out"},
    ),
    "no area": (
        lambda c: [entry.pop("area") for entry in c["annotations"]],
        1,
        dict.fromkeys(range(3), "4 areas missing, 0.53 of the box taken"),
    ),
    "area null": (_all("annotations", area=None), 1, dict.fromkeys(range(3), "4 areas missing")),
    "nested": (
        _all("annotations", keypoints=lambda e: np.reshape(e["keypoints"], (17, 3)).tolist()),
        1,
        {},
    ),
    "sizes null": (_all("images", height=None, width=None), 1, {}),
    "pandas": (_whole_floats, 1, {}),
    "names": (_all("images", file_name=lambda e: "val2017\\" + e["file_name"].upper()), 1, {}),
}


@pytest.mark.parametrize("name", SAME)
def test_files_that_mean_the_same_give_the_same(commands, name):
    change, category, said = SAME[name]
    plain, expected = commands(lambda content: None)
    outputs, results = commands(change)
    assert results == [{**entry, "category_id": category} for entry in expected]
    assert outputs[2].splitlines()[:3] == plain[2].splitlines()[:3]  # AP and AR
    for place, text in said.items():
        assert text in outputs[place]
    assert outputs[0].count("note ") == plain[0].count("note ") + ("area" in name)


def test_a_box_alone_is_left_out_and_counted(commands):
    outputs, results = commands(lambda content: content["annotations"][1].pop("keypoints"))
    assert "3 people in 3 images" in outputs[0]
    assert all("1 with a box alone, no keypoints" in text for text in outputs[:2])
    assert "1 persons without keypoints ignored" in outputs[2]
    assert "3 annotated persons scored" in outputs[2]
    assert len(results) == 3


def test_boxes_of_corners_are_noticed(commands):
    def corners(entry):
        x, y, w, h = entry["bbox"]
        return [x, y, x + w, y + h]

    outputs, _ = commands(_all("annotations", bbox=corners))
    assert "note    val: 4 boxes fit their keypoints better as x1 y1 x2 y2 than as x y" in outputs[0]
    assert "4 boxes fit their keypoints better as x1 y1 x2 y2" in outputs[1]


def test_a_broken_box_can_be_left_out_on_the_command_line(root, tmp_path):
    content = json.loads((root / "annotations/plain.json").read_text())
    content["annotations"][1]["bbox"] = [5000, 5, 10, 10]
    file = tmp_path / "people.json"
    file.write_text(json.dumps(content))
    places = [
        "--annotations",
        file,
        "--images",
        root / "val2017",
        "--workers",
        0,
        "--out",
        tmp_path / "r.json",
    ]
    command = ["predict", root / "run", *places]
    done = CliRunner().invoke(app, [str(argument) for argument in command])
    assert "on the command line --skip-broken" in str(done.exception)
    assert "1 invalid box or area" in _invoke(*command, "--skip-broken")
    assert len(json.loads((tmp_path / "r.json").read_text())) == 3


def test_detected_boxes_need_no_annotations(root, tmp_path):
    """A file of images and categories alone, as test sets have; boxes may also be none."""
    content = json.loads((root / "annotations/plain.json").read_text())
    boxes = [
        {"image_id": e["image_id"], "category_id": 1, "bbox": e["bbox"], "score": 0.9}
        for e in content["annotations"]
    ]
    content["annotations"] = []
    file, found, out = (tmp_path / name for name in ("images.json", "boxes.json", "r.json"))
    file.write_text(json.dumps(content))
    for detected in (boxes, []):
        found.write_text(json.dumps(detected))
        options = ["--annotations", file, "--images", root / "val2017", "--detections", found]
        output = _invoke("predict", root / "run", *options, "--workers", 0, "--out", out)
        assert f"{len(detected)} boxes" in output
        assert len(json.loads(out.read_text())) == len(detected)
