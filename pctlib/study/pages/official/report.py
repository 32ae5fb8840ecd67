"""What the page tells: measured scores, and beside them what papers and other reproductions report."""

from collections.abc import Sequence

import pandas as pd

from pctlib.reporting.tables import beside, published, signed
from pctlib.study.pages.official.measure import BENCHMARKS, Measured

# Column of `vitpose_plus_release.csv` with the score of a benchmark
_PLUS = {
    "coco": "coco_val_ap",
    "ochuman": "ochuman_ap",
    "mpii": "mpii_pckh",
    "coco-wholebody": "wholebody_ap",
}


def reported(name: str, benchmark: str) -> dict[str, float]:
    """Return what others report of weights, found by their name, in per cent; empty where nothing is known.

    Names are those of the tables: "ViTPose-B" or "ViTPose-B simple", "ViTPose+-B" (the release writes
    ViTPose++), "PCT Swin-Base", "DWPose-l 384x288", "RTMPose-m 256x192".

    Args:
        name: of the weights.
        benchmark: of `BENCHMARKS`.

    Returns:
        "paper or release", and "mmpose" and "mmpose, trained independently" where these are there.
    """
    model, _, rest = name.partition(" ")
    if model.startswith("ViTPose+"):
        release = published("vitpose_plus_release")
        rows = release[release.model == f"ViTPose++-{model[-1]}"]
        return _row(rows, {"paper or release": _PLUS.get(benchmark, "")})
    if model.startswith("ViTPose-") and benchmark == "coco":
        table = published("vitpose_reproductions")
        rows = table[(table.model == model) & (table.decoder == (rest or "classic"))]
        return _row(
            rows,
            {
                "paper or release": "paper_or_release_ap",
                "mmpose": "mmpose_config_ap",
                "mmpose, trained independently": "mmpose_pr1937_independent_training_ap",
            },
        )
    if model == "PCT" and benchmark == "coco":
        table = published("coco_body_pct_table1")
        return _row(table[(table.method == "PCT") & (table.backbone == rest)], {"paper or release": "val_ap"})
    if benchmark == "coco-wholebody":
        table = published("coco_wholebody_dwpose")
        rows = table[(table.method == model) & (table.input_size == (rest or "256x192"))]
        return _row(rows, {"paper or release": "wholebody_ap"})
    return {}


def _row(rows: pd.DataFrame, columns: dict[str, str]) -> dict[str, float]:
    if rows.empty:
        return {}
    first = rows.iloc[0]
    return {
        name: float(first[column]) for name, column in columns.items() if column and pd.notna(first[column])
    }


def official_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row for each weights and benchmark: reported and measured scores, in separate columns."""
    on = "weights, benchmark"
    keys = [f"{row.weights}, {row.benchmark} ({BENCHMARKS[row.benchmark].score})" for row in measured]
    theirs = [
        {on: key, **reported(row.weights, row.benchmark)} for key, row in zip(keys, measured, strict=True)
    ]
    ours = [
        {on: key, "score (%)": row.score, "boxes": row.boxes, "people": row.people}
        for key, row in zip(keys, measured, strict=True)
    ]
    known = [column for column in pd.DataFrame(theirs).columns if column != on]
    renamed = pd.DataFrame(theirs).rename(columns={column: f"{column} (%)" for column in known})
    return beside(renamed, pd.DataFrame(ours), on=on)


def commands_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return the command that repeats each row's predictions; `pctlib evaluate` scores what it writes."""
    return pd.DataFrame(
        [{"weights": row.weights, "benchmark": row.benchmark, "command": row.command} for row in measured]
    )


def official_finding(measured: Sequence[Measured]) -> str:
    """Return in a sentence how far the measured scores lie from those of the papers."""
    gaps = []
    for row in measured:
        paper = reported(row.weights, row.benchmark).get("paper or release")
        if paper is not None and row.boxes == (
            "detected" if BENCHMARKS[row.benchmark].detected else "annotated"
        ):
            gaps.append((abs(row.score - paper), row, row.score - paper))
    if not gaps:
        return (
            f"{len(measured)} scores of official weights; with none of them a reported one can be compared, "
            "which needs a name that the tables know and the boxes that the paper used."
        )
    _, row, gap = max(gaps, key=lambda entry: entry[0])
    return (
        f"{len(gaps)} of {len(measured)} scores can be compared with reported ones; the largest "
        f"difference is {signed(gap)} points, of {row.weights} on {row.benchmark}."
    )
