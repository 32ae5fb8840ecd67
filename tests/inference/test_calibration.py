import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.official_vitpose import random_vitpose
from helpers.study_people import make_people
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.coco import write_coco
from pctlib.inference.calibration import (
    calibrate,
    calibration_file,
    read_calibration,
    write_calibration,
)
from pctlib.inference.predictor import Predictor


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path / "images", 60)


def predictions(people, seed=0):
    """Return poses, and scores that say truly how probable it is that the joint is found."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 0.95, people.visible.shape)
    missed = rng.uniform(0, 1, chance.shape) >= chance
    return people.keypoints_image + np.float32(500) * missed[..., None], chance


def test_true_scores_stay_and_false_ones_are_put_right(people):
    keypoints, chance = predictions(people)
    honest = calibrate(people, keypoints, chance)
    assert honest.joints == people.labelled.sum()
    assert honest.before < 0.1
    assert honest.error < 0.1
    assert 0.7 < honest.separation < 0.95
    assert np.abs(honest.calibration(chance) - chance).mean() < 0.08
    boasting = calibrate(people, keypoints, chance**0.1)
    assert boasting.before > 0.25
    assert boasting.error < 0.1
    assert boasting.separation == pytest.approx(honest.separation)
    assert np.isnan(calibrate(people, keypoints, 10 * chance).before)


def test_seen_and_hidden_joints_are_told_apart(people):
    keypoints = people.keypoints_image + np.float32(500) * (people.visible == 1)[..., None]
    fitted = calibrate(people, keypoints, np.where(people.visible == 1, 0.4, 0.6))
    assert (fitted.seen, fitted.hidden, fitted.separation) == (1, 0, 1)


def test_one_image_is_not_enough(people):
    one = people.select([0])
    with pytest.raises(ValueError, match="at least two images with labelled joints, got 1"):
        calibrate(one, one.keypoints_image, np.ones((1, 17)))
    bare = replace(people, visible=np.zeros_like(people.visible))
    with pytest.raises(ValueError, match="got 0"):
        calibrate(bare, bare.keypoints_image, np.ones((60, 17)))


def test_files(people, tmp_path):
    fitted = calibrate(people, *predictions(people))
    file = write_calibration(tmp_path / "c.json", fitted, source="val", flip_test=False)
    assert read_calibration(file) == fitted.calibration
    assert calibration_file(tmp_path) == tmp_path / "calibration.json"
    assert calibration_file("a/vit.pth").as_posix() == "a/vit.pth.calibration.json"
    file.write_text('{"scores": [1, 0], "probabilities": [0, 1]}')
    with pytest.raises(ValueError, match=r"c\.json: not a calibration.*rising"):
        read_calibration(file)
    file.write_text("[]")
    with pytest.raises(ValueError, match=r"c\.json: not a calibration"):
        read_calibration(file)


def test_the_command_leaves_it_where_predictions_find_it(people, tmp_path):
    weights = tmp_path / "vit.pth"
    torch.save({"state_dict": random_vitpose(0, dim=384, depth=1, decoder="simple")}, weights)
    write_coco(people, tmp_path / "people.json", image_dir=tmp_path / "images")
    before = Predictor(weights)(people.image_files[0], whole_image=True)
    arguments = ["calibrate", weights, "--annotations", tmp_path / "people.json"]
    arguments += ["--images", tmp_path / "images", "--workers", 0]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception
    assert "calibration error" in done.output
    content = json.loads((tmp_path / "vit.pth.calibration.json").read_text())
    assert content["joints"] == people.labelled.sum()
    after = Predictor(weights)(people.image_files[0], whole_image=True)
    np.testing.assert_array_equal(after.keypoints, before.keypoints)
    expected = np.interp(before.scores, content["scores"], content["probabilities"])
    np.testing.assert_allclose(after.scores, expected, atol=1e-6)
    assert before.scores.max() > 1 >= after.scores.max()
