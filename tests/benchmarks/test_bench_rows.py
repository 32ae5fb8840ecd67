"""Every benchmark gives rows that say what they compare with."""

from benchmarks import bench_codebook, bench_inputs, bench_reading
from benchmarks.run import table


def test_rows_name_their_reference_and_make_a_table(monkeypatch):
    for name, value in (("POSES", 2), ("TOKENS", 3), ("ENTRIES", 5), ("DIM", 4)):
        monkeypatch.setattr(bench_codebook, name, value)
    monkeypatch.setattr(bench_inputs, "BATCH", 2)
    rows = [*bench_codebook.benchmark(), *bench_inputs.benchmark(), *bench_reading.benchmark(5, 9)]
    assert all(row.ratio > 0 and row.note for row in rows)
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert "read 9 annotations of 5 images" in lines[-1]
