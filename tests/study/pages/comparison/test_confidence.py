"""What scores of joints tell: by hand, and on heads that have run."""

import numpy as np
import pandas as pd
import pytest
from helpers.comparison_study import make_study
from helpers.study_people import make_people

from pctlib.study.pages.comparison import confidence
from pctlib.study.pages.comparison.confidence import (
    AP,
    CALIBRATED,
    ERROR,
    FOUND,
    PUBLISHED_SCORE,
    SEEN,
    confidence_finding,
    confidence_of,
    confidence_table,
)
from pctlib.study.pages.comparison.study import Comparison
from pctlib.study.predictions import Predictions

OPTIONS = {"flip_test": False, "device": "cpu"}


def test_scores_that_know_and_scores_that_do_not(tmp_path):
    people = make_people(tmp_path, 40)
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 1, people.visible.shape)
    missed = rng.uniform(0, 1, chance.shape) > chance
    keypoints = people.keypoints_image + np.float32(300) * missed[..., None]
    knows = confidence_of(people, Predictions(keypoints, chance))
    blind = confidence_of(people, Predictions(keypoints, rng.uniform(0, 1, chance.shape)))
    assert knows[FOUND] > 75
    assert abs(blind[FOUND] - 50) < 8
    assert abs(knows[SEEN] - 50) < 10
    assert knows[ERROR] < 12
    seen = confidence_of(people, Predictions(keypoints, (people.visible == 2).astype(float)))
    assert seen[SEEN] == 100


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Return a comparison whose heatmap and token heads on frozen features have run with seed 0."""
    folder = tmp_path_factory.mktemp("study")
    profile, splits = make_study(folder)
    comparison = Comparison(profile, splits, study_dir=folder, progress=False)
    for name in ("frozen-heatmap_dark", "frozen-pct"):
        comparison(name, 0, folder / "seed0" / name)
    return comparison, folder


def test_tokens_have_a_row_for_each_of_their_scores(frozen):
    comparison, folder = frozen
    table = confidence_table(
        folder, [0], comparison.variants, comparison.val_crops, flip_test=False, device="cpu"
    )
    assert len(table) == 3
    assert table.representation.str.endswith(PUBLISHED_SCORE).tolist() == [False, False, True]
    assert table[AP].map(float).between(-100, 100).all()
    assert set(table.columns) == {"representation", FOUND, SEEN, ERROR, AP, CALIBRATED}
    assert "%" in confidence_finding(table) or "no score can tell" in confidence_finding(table)


def test_where_no_joint_is_found_there_is_no_value_but_a_row(frozen, monkeypatch):
    comparison, folder = frozen
    nothing = {key: float("nan") for key in (FOUND, SEEN)} | {ERROR: 0.0, AP: 0.0, CALIBRATED: 0.0}
    monkeypatch.setattr(confidence, "confidence_of", lambda *args: nothing)
    table = confidence_table(
        folder, [0], comparison.variants, comparison.val_crops, flip_test=False, device="cpu"
    )
    assert table[FOUND].map(float).isna().all()
    assert "no score can tell" in confidence_finding(table)


def test_findings():
    rows = [
        {"representation": "A", FOUND: 80.0, SEEN: 60.0, ERROR: 3.0, AP: 50.0, CALIBRATED: 51.0},
        {"representation": "B", FOUND: 55.0, SEEN: 50.0, ERROR: 9.0, AP: 40.0, CALIBRATED: 39.5},
        {"representation": "C", FOUND: np.nan, SEEN: np.nan, ERROR: 0.0, AP: 0.0, CALIBRATED: 0.0},
    ]
    said = confidence_finding(pd.DataFrame(rows))
    assert said.startswith("A knows best when it is wrong: ")
    assert "in 80 % of the pairs, against 55 % of B" in said
    assert said.endswith("by −0.5 to +1.0 points.")
    assert "no head was trained" in confidence_finding(pd.DataFrame(columns=["representation"]))
    assert "no score can tell" in confidence_finding(pd.DataFrame(rows[2:]))
