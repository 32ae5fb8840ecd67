import csv
import json

import pytest

from pctlib.metrics.evaluation import Evaluation

ONE = Evaluation("Some protocol", {"person": {"AP": 0.5, "APM": -1.0}}, {"images": 3})
TWO = Evaluation("Percent", {"a": {"Head": 97.126, "Hip": float("nan")}, "b": {"Head": 5.0, "Hip": 6.0}})


def test_metrics_are_named_by_row_only_if_there_are_several():
    assert ONE.metrics == {"AP": 0.5, "APM": -1.0}
    assert list(TWO.metrics) == ["a Head", "a Hip", "b Head", "b Hip"]


def test_text_shows_scores_and_counts():
    lines = ONE.text().splitlines()
    assert lines[0] == "Some protocol"
    assert lines[2].split() == ["person", "0.500", "-"]
    assert lines[3].split() == ["3", "images"]
    assert TWO.text().splitlines()[2].split() == ["a", "97.13", "NaN"]


def test_files_hold_the_scores(tmp_path):
    content = json.loads(TWO.write(tmp_path / "deep" / "t.json").read_text())
    assert content["rows"] == {"a": {"Head": 97.126, "Hip": None}, "b": {"Head": 5.0, "Hip": 6.0}}
    rows = list(csv.reader(ONE.write(tmp_path / "t.csv").open()))
    assert rows == [["Some protocol", "AP", "APM"], ["person", "0.5", "-1.0"]]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"t\.txt: expected a name ending in \.json or \.csv, got \.txt"):
        ONE.write(tmp_path / "t.txt")
