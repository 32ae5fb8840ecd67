"""The grid's table and words: right means, failed points kept, saturation where it is."""

import numpy as np
import pandas as pd
import pytest

from pctlib.study.findings import ONE_SEED
from pctlib.study.pages.grid import report as grid_report
from pctlib.study.pages.grid.study import BITS, ERROR, STARTED, WALL, WORK

ERRORS = {8: {2: 9.0, 4: 5.0, 8: 5.0}, 16: {2: 7.0, 4: 3.0, 8: 3.0}, 32: {2: 5.0, 4: 1.0, 8: 1.0}}
T_95 = 4.302653  # Student's t, 2 degrees of freedom, two-sided 95 %


def points_of(errors, seeds=3, noise=0.01):
    """Return points whose error is errors[V][M] plus a little that differs by seed."""
    rows = [
        {"V": v, "M": m, "seed": s, BITS: m * np.log2(v), ERROR: e + noise * (s - 1), "AP": 0.9}
        for v, row in errors.items()
        for m, e in row.items()
        for s in range(seeds)
    ]
    return pd.DataFrame(rows)


def failing(points, **which):
    """Return points of which some failed."""
    failed = np.logical_and.reduce([points[axis] == value for axis, value in which.items()])
    points = points.copy()
    points.loc[failed, [ERROR, "AP"]] = np.nan
    points.loc[failed, "failed"] = "no memory"
    return points


def test_the_table_has_a_row_a_point_with_its_interval():
    table = grid_report.grid_table(points_of(ERRORS))
    assert table["point"].tolist()[:2] == ["V 8, M 2", "V 8, M 4"]
    assert table["bits per pose"].tolist()[:3] == [6, 12, 24]
    first = table["error (px)"].iloc[0]
    assert first.mean == pytest.approx(9.0)
    assert first.half_width == pytest.approx(T_95 * 0.01 / 3**0.5, rel=1e-5)
    assert table["OKS-AP (%)"].iloc[0].mean == pytest.approx(90)
    assert np.isnan(table["perplexity"].iloc[0])
    assert "failed runs" not in table


def test_failed_points_are_called_failed_and_half_failed_ones_counted():
    points = failing(points_of(ERRORS), V=8, M=2)
    points = failing(points, V=16, M=4, seed=0)
    table = grid_report.grid_table(points).set_index("point")
    assert table["failed runs"].loc[["V 8, M 2", "V 16, M 4", "V 32, M 8"]].tolist() == [3, 1, 0]
    assert table.loc["V 8, M 2", "error (px)"] == "failed"
    assert table.loc["V 16, M 4", "error (px)"].count == 2
    means = grid_report.grid_means(points, ERROR)
    assert means.shape == (3, 3)
    assert np.isnan(means.loc[8, 2])


def test_steps_compare_points_that_differ_in_one_axis_alone():
    changes = grid_report.steps(points_of(ERRORS), "M")
    assert [(before, after) for before, after, _ in changes] == [(2, 4), (4, 8)]
    assert [change.mean for *_, change in changes] == pytest.approx([-4, 0])
    assert changes[0][2].count == 3  # seeds, not points
    assert [change.mean for *_, change in grid_report.steps(points_of(ERRORS), "V")] == pytest.approx(
        [-2, -2]
    )


def test_a_failed_point_does_not_bend_the_steps_of_the_others():
    """Without its best point, the mean of V = 32 would rise; its pairs are still 2 px better."""
    points = failing(points_of(ERRORS), V=32, M=8)
    assert [change.mean for *_, change in grid_report.steps(points, "V")] == pytest.approx([-2, -2])


def test_saturation_is_where_the_next_step_is_not_shown_to_help():
    assert grid_report.saturation(points_of(ERRORS), "M") == 4
    assert grid_report.saturation(points_of(ERRORS), "V") is None
    small = points_of({8: {2: 3.00, 4: 2.99}})
    small[ERROR] += np.where(small["M"] == 4, 0.05 * small["seed"] ** 2, 0)  # falls with one seed, not all
    assert grid_report.saturation(small, "M") == 2
    with pytest.raises(ValueError, match="saturation in M: expected several seeds, got one"):
        grid_report.saturation(points_of(ERRORS, seeds=1), "M")


def test_the_finding_takes_its_numbers_from_the_points():
    words = grid_report.grid_finding(points_of(ERRORS))
    assert "1.00 px, is that of V = 32, M = 4, mean over 3 seeds." in words
    assert "more tokens, 2 to 4: −4.00 ± 0.00 px; 4 to 8: 0.00 ± 0.00 px. Beyond 4 tokens" in words
    assert "Every step helps: no saturation up to 32 entries" in words
    one = grid_report.grid_finding(points_of(ERRORS, seeds=1))
    assert "M = 4. Change" in one
    assert one.endswith(ONE_SEED)
    assert "2 to 4: −4.00 px" in one
    assert "Beyond" not in one
    assert "saturation" not in one


def test_the_finding_names_what_failed_and_survives_if_all_did():
    words = grid_report.grid_finding(failing(points_of(ERRORS, seeds=1), V=8, M=2))
    assert words.endswith("1 of 9 points failed: V8-M2-seed0.")
    nothing = pd.DataFrame([{"V": 8, "M": 2, "seed": 0, BITS: 6.0, "failed": "no memory"}])
    assert grid_report.grid_finding(nothing) == "1 of 1 points failed: V8-M2-seed0."
    assert grid_report.failed_points(nothing).to_numpy().tolist() == [["V8-M2-seed0", "no memory"]]
    assert grid_report.failed_points(points_of(ERRORS)).empty
    assert grid_report.sweep_time(nothing) == "No point finished."
    assert grid_report.grid_table(nothing)["error (px)"].tolist() == ["failed"]
    assert grid_report.grid_means(nothing, ERROR).shape == (1, 1)
    assert grid_report.point_curves(nothing)["metric"].unique().tolist() == ["bits per pose"]


def test_points_of_fewer_seeds_are_not_called_the_best():
    points = failing(failing(points_of(ERRORS), V=32, M=4, seed=0), V=32, M=8)
    words = grid_report.grid_finding(points)
    assert "3.00 px, is that of V = 16, M = 4, mean over 3 seeds." in words
    assert "5 of 27 points failed" not in words
    assert "4 of 27 points failed" in words


def test_steps_that_could_not_be_compared_are_not_called_a_help():
    falling = points_of({8: {2: 9.0, 4: 5.0, 8: 2.0}})
    assert "Every step helps: no saturation up to 8 tokens" in grid_report.grid_finding(falling)
    assert "more tokens" not in grid_report.grid_finding(failing(falling, M=4))
    words = grid_report.grid_finding(failing(points_of({8: {2: 9.0, 4: 5.0, 8: 2.0, 16: 1.0}}), M=8))
    assert "2 to 4: −4.00 ± 0.00 px. Each of these steps helps; others could not be compared." in words


def test_curves_have_the_ends_of_their_intervals():
    frame = grid_report.point_curves(points_of(ERRORS), {ERROR: "error"}).set_index(["V", "M"])
    half = T_95 * 0.01 / 3**0.5
    assert frame.loc[(16, 2), ["value", "low", "high"]].tolist() == pytest.approx([7, 7 - half, 7 + half])
    one = grid_report.point_curves(points_of(ERRORS, seeds=1), {"AP": "AP"})
    assert one["value"].iloc[0] == pytest.approx(90)
    assert one["low"].tolist() == one["high"].tolist() == one["value"].tolist()


def classified(seeds):
    return pd.DataFrame(
        [
            {
                "variant": f"V{v}",
                "seed": s,
                "V": v,
                "PCK@0.1 seen": seen + 0.001 * s * v,
                "PCK@0.1 hidden": 0.5,
            }
            for s in range(seeds)
            for v, seen in ((8, 0.7), (32, 0.8))
        ]
    )


def test_the_row_is_compared_between_its_ends():
    words = grid_report.row_finding(classified(1))
    assert "'V32' against 'V8': +10.0 points of PCK@0.1, seen joints." in words
    assert "hidden joints" in words
    assert grid_report.row_finding(classified(1).iloc[:1]) == ""
    frame = grid_report.row_curves(classified(1))
    assert frame.groupby("joints")["value"].apply(list).to_dict() == {
        "hidden joints": [50.0, 50.0],
        "seen joints": pytest.approx([70.0, 80.0]),
    }


def test_the_time_of_a_sweep_is_that_of_its_points():
    """Two points side by side, then one alone: 10 + 10 + 20 s of work in 30 s."""
    points = pd.DataFrame({STARTED: [0.0, 0.0, 10.0, np.nan], WALL: [10.0, 10.0, 20.0, np.nan]})
    points[WORK] = points[WALL]
    words = grid_report.sweep_time(points)
    assert "3 of 4 points finished; they took 40 s" in words
    assert "and 30 s from the start" in words
