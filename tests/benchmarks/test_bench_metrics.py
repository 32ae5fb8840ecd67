import importlib
from pathlib import Path

import pytest


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return lambda name: importlib.import_module(name)


def test_rows_have_a_reference_in_the_same_run(module):
    rows = module("bench_metrics").benchmark(images=20, people=30)
    assert len(rows) == 2
    for row in rows:
        assert "30 people" in row.name
        assert row.ratio == row.reference_seconds / row.seconds
    assert rows[0].peak_mb > 0


def test_a_row_without_a_reference_has_no_ratio(module):
    assert module("common").Row("x", 1.0).ratio is None


def test_a_failing_process_is_named(module):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        module("common").peak_mb("import json\n# measured\n1 / 0")
