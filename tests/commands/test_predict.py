import json

import numpy as np
import pytest
import torch
from helpers.official_pct import random_state, small_detector
from helpers.official_vitpose import random_vitpose
from helpers.study_people import make_people
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.coco import write_coco
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.crops import Crops, predict_people
from pctlib.study.methods import load_any
from pctlib.study.stages.heatmap import build_heatmap, save_staged

PROFILE = load_profile("smoke", crop__evaluation_padding=1.12)


@pytest.fixture
def files(tmp_path):
    """Return people, the folder of an untrained heatmap model, and the options that name image and boxes."""
    from pctlib.models.estimator import PoseEstimator
    from pctlib.study.stages.heatmap import build_backbone

    people = make_people(tmp_path / "images", 4)
    write_coco(people, tmp_path / "people.json", image_dir=tmp_path / "images")
    torch.manual_seed(0)
    backbone = build_backbone(PROFILE)
    model = PoseEstimator(backbone, build_heatmap(PROFILE, backbone, COCO))
    save_staged(model, "heatmap", PROFILE, COCO, tmp_path / "run")
    return (
        people,
        tmp_path / "run",
        ["--annotations", tmp_path / "people.json", "--images", tmp_path / "images"],
    )


def predict(weights, options, out, *more):
    arguments = ["predict", weights, *options, "--out", out, "--workers", 0, *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_study_predicts_the_same_and_the_file_can_be_evaluated(files, tmp_path):
    people, run, options = files
    done = predict(run, options, tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    assert "4 boxes" in done.output
    results = {entry["image_id"]: entry for entry in json.loads((tmp_path / "r.json").read_text())}
    model, *expects = load_any(run)
    assert expects == [PROFILE.crop.input_size, 1.12, False, COCO]
    expected = predict_people(model, Crops(people, PROFILE, training=False), flip_test=True)
    for row, image_id in enumerate(people.image_ids.tolist()):
        found = np.reshape(results[image_id]["keypoints"], (17, 3))
        np.testing.assert_allclose(found[:, :2], expected.keypoints_image[row], atol=0.05)  # rounded boxes
        np.testing.assert_allclose(found[:, 2], expected.scores[row], rtol=0.01)
    scored = ["evaluate", "coco", "--annotations", options[1], "--predictions", tmp_path / "r.json"]
    assert CliRunner().invoke(app, list(map(str, scored))).exit_code == 0


def test_detected_boxes(files, tmp_path):
    people, run, options = files
    entries = [
        {"image_id": int(image), "category_id": 1, "bbox": box.tolist(), "score": score}
        for image, box, score in zip(people.image_ids, people.boxes_xywh, (0.9, 0.8, 0.7, 0.1), strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(entries))
    more = ["--detections", tmp_path / "boxes.json", "--min-score", 0.5]
    done = predict(run, options, tmp_path / "r.json", *more)
    assert done.exit_code == 0, done.output
    assert "3 boxes" in done.output
    assert len(json.loads((tmp_path / "r.json").read_text())) == 3


def test_published_weights_with_udp_heatmaps_get_unbiased_crops(files, tmp_path):
    _, run, options = files
    state = random_vitpose(0, dim=384, depth=1, decoder="simple")
    torch.save({"state_dict": state}, tmp_path / "vitpose.pth")
    assert not load_any(run).udp
    assert load_any(tmp_path / "vitpose.pth")[1:] == ((64, 48), 1.25, True, COCO)
    found = {}
    for choice in ([], ["--udp"], ["--no-udp"]):
        done = predict(tmp_path / "vitpose.pth", options, tmp_path / "r.json", *choice)
        assert done.exit_code == 0, done.exception
        found[tuple(choice)] = (tmp_path / "r.json").read_text()
    assert found[()] == found["--udp",] != found["--no-udp",]


def test_what_does_not_fit_is_refused(files, tmp_path):
    _, run, options = files
    done = predict(run, options, tmp_path / "r.json", "--skeleton", "dog")
    assert "skeleton: expected one of coco, coco_wholebody, mpii" in str(done.exception)
    assert "or a YAML or JSON file, got 'dog'" in str(done.exception)
    done = predict(tmp_path / "none.pth", options, tmp_path / "r.json")
    assert isinstance(done.exception, FileNotFoundError)
    (run / "model.json").write_text('{"profile": {}}')
    done = predict(run, options, tmp_path / "r.json")
    assert "run/model.json" in str(done.exception)
    assert not (tmp_path / "r.json").exists()


def test_published_pct_gets_the_narrower_crops_of_its_tests(tmp_path):
    torch.save(
        {"state_dict": random_state(small_detector(classifier=True, guided=False))}, tmp_path / "pct.pth"
    )
    assert load_any(tmp_path / "pct.pth")[2:4] == (1.12, False)


def test_a_model_of_several_data_sets_needs_to_know_which(files, tmp_path):
    _, run, options = files
    state = random_vitpose(0, dim=384, depth=1, decoder="simple", K=(17, 14, 16), experts=3)
    torch.save({"state_dict": state}, tmp_path / "plus.pth")
    done = predict(tmp_path / "plus.pth", options, tmp_path / "r.json")
    assert "holds estimators of several data sets; choose one by its dataset index" in str(done.exception)
    done = predict(tmp_path / "plus.pth", options, tmp_path / "r.json", "--dataset-index", 0)
    assert done.exit_code == 0, done.exception
    mpii = load_any(tmp_path / "plus.pth", dataset_index=2).model
    assert mpii.representation.head.final_layer.out_channels == 16
    done = predict(run, options, tmp_path / "r.json", "--dataset-index", 0)
    assert "there is no data set to choose" in str(done.exception)
