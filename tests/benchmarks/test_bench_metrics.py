import pytest

from benchmarks import bench_metrics, common


def test_rows_have_a_reference_in_the_same_run():
    rows = bench_metrics.benchmark(images=20, people=30)
    assert len(rows) == 2
    for row in rows:
        assert "30 people" in row.name
        assert row.ratio == row.reference_seconds / row.seconds
    assert rows[0].peak_mb > 0


def test_a_row_without_a_reference_has_no_ratio():
    assert common.Row("x", 1.0).ratio is None


def test_a_failing_process_is_named():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        common.peak_mb("import json\n# measured\n1 / 0")
