"""Differences of variants in words, and tables as JSON."""

import json

import numpy as np
import pandas as pd
import pytest

from pctlib.reporting.tables import Interval
from pctlib.study.findings import (
    ONE_SEED,
    change_in_words,
    difference_in_words,
    failures,
    interval_note,
    json_rows,
)


def runs(**values):
    """Return a frame of runs; values: variant -> metric by seed."""
    rows = [
        {"variant": variant, "seed": seed, "PCK": value}
        for variant, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    return pd.DataFrame(rows)


def words(frame, **options):
    return difference_in_words(frame, "PCK", "b", "a", **({"what": "points"} | options))


def test_one_seed_has_no_interval():
    found = words(runs(a=[0.50], b=[0.53]))
    assert found == "'b' against 'a': +3.0 points."
    assert "+0.3 " in words(runs(a=[0.50], b=[0.53]), scale=10)
    assert "−3.0 pixels" in words(runs(a=[0.53], b=[0.50]), what="pixels")


def test_an_interval_with_zero_shows_no_difference():
    """Differences 1, 2, 3: mean 2, half width 4.303 / sqrt(3) = 2.484; -1, -2, -6: 6.57."""
    found = words(runs(a=[0.5, 0.5, 0.5], b=[0.51, 0.52, 0.53]))
    assert found == (
        "'b' against 'a': +2.00 points (95 % interval −0.48 to +4.48 over 3 seeds: no difference is shown)."
    )
    found = words(runs(a=[0.5, 0.6, 0.7], b=[0.52, 0.62, 0.721]))
    assert found.endswith("(95 % interval +1.89 to +2.18 over 3 seeds: more than chance).")


def test_changes_in_a_list():
    one, three = runs(a=[0.50], b=[0.53]), runs(a=[0.5, 0.5, 0.5], b=[0.51, 0.52, 0.53])
    assert change_in_words(one, "PCK", "b", "a") == "+3.0"
    assert change_in_words(one, "PCK", "a", "b", scale=10) == "−0.3"
    assert change_in_words(three, "PCK", "b", "a") == "+2.00 ± 2.48 (may be chance)"
    sure = runs(a=[0.5, 0.6, 0.7], b=[0.48, 0.58, 0.679])
    assert change_in_words(sure, "PCK", "b", "a") == "−2.03 ± 0.14"
    assert change_in_words(runs(a=[0.5], b=[np.nan]), "PCK", "b", "a") == "not measured"
    assert interval_note(one) == ONE_SEED
    assert interval_note(three).startswith("Means and 95 % intervals over 3 seeds")


def test_failed_trainings_are_told():
    frame = runs(a=[0.5, 0.5], b=[np.nan, np.nan])
    frame["failed"] = [np.nan, np.nan, "ValueError: too hot", "ValueError: too cold"]
    assert words(frame) == "'b' against 'a': not measured, as a training failed."
    assert words(frame.drop(columns="PCK")) == "'b' against 'a': not measured, as a training failed."
    told = failures(frame)
    assert told.startswith("Failed trainings: 'b' with seed 0 (ValueError: too hot); 'b' with seed 1")
    assert failures(runs(a=[0.5])) == ""
    assert failures(frame.assign(failed=np.nan)) == ""


def test_rows_are_json_values():
    table = pd.DataFrame(
        {
            "variant": ["a", "b"],
            "PCK": [Interval(76.54, 0.42, 3), Interval(70.125, None, 1)],
            "epochs": np.array([3, 4], np.int64),
        }
    )
    rows = json_rows(table)
    assert rows == [
        {"variant": "a", "PCK": "76.5 ± 0.4", "epochs": 3},
        {"variant": "b", "PCK": pytest.approx(70.125), "epochs": 4},
    ]
    assert json.loads(json.dumps(rows)) == rows
