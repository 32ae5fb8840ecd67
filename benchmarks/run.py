"""`make bench`: every measurement, as a table and as `reports/bench.json`."""

from dataclasses import asdict

import torch
from tqdm.auto import tqdm

from benchmarks import (
    bench_codebook,
    bench_distillation,
    bench_estimators,
    bench_explorer,
    bench_inputs,
    bench_metrics,
    bench_people,
    bench_photographs,
    bench_reading,
)
from benchmarks.common import Row
from pctlib.io import write_json
from pctlib.paths import project_root

MODULES = (
    bench_codebook,
    bench_inputs,
    bench_people,
    bench_metrics,
    bench_reading,
    bench_estimators,
    bench_distillation,
    bench_photographs,
    bench_explorer,
)


def main() -> None:
    """Measure on one thread and print."""
    torch.set_num_threads(1)
    rows = [row for module in tqdm(MODULES, unit="benchmark") for row in module.benchmark()]
    print(table(rows))
    path = project_root() / "reports" / "bench.json"
    write_json(path, [asdict(row) | {"ratio": row.ratio} for row in rows])
    print(f"CPU seconds on one thread; ratio: how many times longer the reference takes. Also in {path}")


def table(rows: list[Row]) -> str:
    """Return the rows as aligned text."""
    head = ("", "seconds", "reference", "ratio", "peak MB", "ref. MB", "reference is")
    body = [
        (
            row.name,
            f"{row.seconds:.3f}",
            _number(row.reference_seconds, 3),
            _number(row.ratio, 1),
            _number(row.peak_mb, 0),
            _number(row.reference_peak_mb, 0),
            row.note,
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in (head, *body)
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
