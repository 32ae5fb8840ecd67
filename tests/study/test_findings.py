"""Differences of variants in words, and tables as JSON."""

import json

import numpy as np
import pandas as pd
import pytest

from pctlib.reporting.tables import ONE_SEED, Interval
from pctlib.study.findings import (
    change_in_words,
    difference,
    difference_in_words,
    failures,
    interval_note,
    json_rows,
    not_better,
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


def test_a_difference_is_of_the_seeds_that_both_have():
    frame = pd.DataFrame(
        {
            "variant": ["a", "b", "a", "b", "a"],
            "seed": [0, 0, 1, 1, 2],
            "AP": [0.5, 0.4, 0.7, 0.5, 0.9],
        }
    )
    found = difference(frame, "AP", "a", "b", scale=10)
    assert found.mean == pytest.approx(1.5)
    # Student's t with one degree of freedom: 12.706 times 0.707 / sqrt(2)
    assert found.half_width == pytest.approx(12.706 * np.std([1.0, 2.0], ddof=1) / 2**0.5, rel=1e-4)
    assert difference(frame, "AP", "a", "c") is None
    assert difference(frame, "AR", "a", "b") is None


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


def test_one_seed_of_several_that_has_both_is_told():
    frame = runs(a=[0.50, 0.60], b=[0.53, np.nan])
    assert change_in_words(frame, "PCK", "b", "a") == "+3.0 (one seed has both: no interval)"
    assert words(frame) == "'b' against 'a': +3.0 points (one seed has both: no interval)."


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ([0.53, 0.54, 0.55], ""),
        ([0.53], ""),
        ([0.45], "; it is not shown to be better than the student"),
        ([0.45, 0.46, 0.45], "; it is worse than the student, so there was nothing to transfer"),
        ([0.51, 0.50, 0.50], "; it is not shown to be better than the student"),
        ([np.nan, np.nan, np.nan], ""),
    ],
)
def test_a_teacher_that_is_not_better_is_told(teacher, said):
    frame = runs(student=[0.50, 0.49, 0.50][: len(teacher)], teacher=teacher)
    found = not_better(frame, "PCK", "teacher", "student")
    assert found.startswith(said)
    assert bool(found) == bool(said)
    errors = frame.assign(PCK=-frame["PCK"])
    assert not_better(errors, "PCK", "teacher", "student", falling=True) == found


def test_only_shared_seeds_decide_about_a_teacher():
    frame = runs(student=[0.49, 0.59, np.nan], teacher=[0.50, 0.60, 0.10])
    assert not_better(frame, "PCK", "teacher", "student") == ""


def test_failed_trainings_are_told():
    frame = runs(a=[0.5, 0.5], b=[np.nan, np.nan])
    frame["failed"] = [np.nan, np.nan, "ValueError: too hot", "ValueError: too cold"]
    assert words(frame) == "'b' against 'a': not measured, as a training failed."
    unmeasured = frame.drop(columns="failed")
    assert words(unmeasured) == "'b' against 'a': not measured."
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
        {"variant": "a", "PCK": 76.54, "PCK half width": 0.42, "epochs": 3},
        {"variant": "b", "PCK": pytest.approx(70.125), "epochs": 4},
    ]
    assert json.loads(json.dumps(rows)) == rows
