"""The grid's tables and words: right means, failed points kept, saturation where it is."""

import json

import numpy as np
import pandas as pd
import pytest

from pctlib.profiles import load_profile
from pctlib.study import grid
from pctlib.study.run import failed_runs


def points_of(errors, seeds=3, noise=0.01):
    """Return points whose error is errors[V][M] plus a little that differs by seed."""
    rows = [
        {"V": v, "M": m, "seed": s, "bits": m * np.log2(v), "error px": e + noise * (s - 1), "AP": 0.9}
        for v, row in errors.items()
        for m, e in row.items()
        for s in range(seeds)
    ]
    return pd.DataFrame(rows)


ERRORS = {8: {2: 9.0, 4: 5.0, 8: 5.0}, 16: {2: 7.0, 4: 3.0, 8: 3.0}, 32: {2: 5.0, 4: 1.0, 8: 1.0}}


def test_the_table_has_a_row_a_point_with_its_interval():
    table = grid.grid_table(points_of(ERRORS))
    assert table["point"].tolist()[:2] == ["V 8, M 2", "V 8, M 4"]
    assert table["bits per pose"].tolist()[:3] == [6, 12, 24]
    first = table["error (px)"].iloc[0]
    assert first.mean == pytest.approx(9.0)
    assert first.half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-5)
    assert np.isnan(table["perplexity"].iloc[0])


def test_saturation_is_where_more_stops_to_help():
    points = points_of(ERRORS)
    assert grid.saturation(points, "M", "V") == 4
    assert grid.saturation(points, "V", "M") == 32
    flat = points_of({8: {2: 3.0, 4: 3.0}, 16: {2: 3.0, 4: 3.0}})
    assert grid.saturation(flat, "M", "V") is None
    one_seed = points_of({8: {2: 3.0, 4: 2.99}}, seeds=1)
    assert grid.saturation(one_seed, "M", "V") is None  # less than 2 %


def test_the_finding_takes_its_numbers_from_the_points():
    words = grid.grid_finding(points_of(ERRORS))
    assert "1.00 px, is that of V = 32, M = 4" in words
    assert "From 2 to 8 tokens the error goes from 7.00 to 3.00 px" in words
    assert "ends at 4" in words
    assert "3 seeds" in words
    assert "without intervals" in grid.grid_finding(points_of(ERRORS, seeds=1))


def test_a_failed_point_keeps_its_row_and_is_found_again(tmp_path):
    profile = load_profile("smoke")
    report = tmp_path / "smoke"
    for entries, contents in ((8, {"error px": 2.0, "starts": {}}), (16, {"failed": "out of luck"})):
        folder = report / "grid" / grid.point_folder(entries, 4, 0)
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(contents))
    points = grid.read_points(profile, report / "grid", [0])
    table = grid.grid_table(points)
    assert table["failed runs"].tolist() == [0, 1]
    assert float(table["error (px)"].iloc[0]) == 2.0
    assert np.isnan(table["error (px)"].iloc[1])
    assert "1 of 2 runs failed" in grid.grid_finding(points)
    assert failed_runs(report) == [report / "grid" / "V16-M4-seed0" / "metrics.json"]


def test_a_family_with_a_failed_run_is_made_again(tmp_path):
    run = tmp_path / "choices" / "seed0" / "M1"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text('{"failed": "no"}')
    (tmp_path / "choices" / "metrics.json").write_text("{}")
    assert failed_runs(tmp_path) == [tmp_path / "choices" / "metrics.json"]


def test_the_row_of_classifiers_lies_in_the_grid():
    with pytest.raises(ValueError, match=r"classified_tokens: expected one of \[4\], got 5"):
        load_profile("smoke", grid__classified_tokens=5)
