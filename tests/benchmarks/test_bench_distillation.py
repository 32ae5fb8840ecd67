"""The row of stage one."""

from benchmarks import bench_distillation


def test_the_row_compares_a_step_with_the_students_own(monkeypatch):
    for name, value in (("TEACHER", "s"), ("BATCH", 2), ("SIZE", (64, 32))):
        monkeypatch.setattr(bench_distillation, name, value)
    (row,) = bench_distillation.benchmark()
    assert "RTMPose-t beside RTMPose-s, 2 of 64x32" in row.name
    assert 0 < row.ratio < 1  # a teacher is never free
    assert row.note == "step of the student alone"
