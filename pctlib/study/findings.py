"""What the variants of a family say: a difference in plain words, and tables as JSON values."""

from typing import Any

import pandas as pd

from pctlib.reporting.tables import Interval
from pctlib.study.variants import FAILED, paired_difference


def difference_in_words(
    frame: pd.DataFrame, metric: str, variant: str, base: str, *, what: str, scale: float = 100.0
) -> str:
    """Return one sentence: how far a variant is above or below another, and whether that can be chance.

    Args:
        frame: of `train_variants`.
        metric: its column.
        variant: the one that is compared.
        base: the one it is compared with.
        what: the metric as the sentence names it, with its unit, such as "points of PCK@0.2".
        scale: of the values; 100 for per cent.
    """
    names = f"'{variant}' against '{base}'"
    if not {variant, base} <= _finished(frame, metric):
        return f"{names}: not measured, as a training failed."
    found = paired_difference(frame, metric, variant, base)
    size = f"{names}: {scale * found.mean:+.1f}"
    if found.half_width is None:
        return f"{size} {what} (one seed: no interval, so no finding)."
    ends = sorted(scale * (found.mean + sign * found.half_width) for sign in (-1, 1))
    verdict = "no difference is shown" if ends[0] <= 0 <= ends[1] else "more than chance"
    interval = f"95 % interval {ends[0]:+.1f} to {ends[1]:+.1f} over {found.count} seeds"
    return f"{size} {what} ({interval}: {verdict})."


def change_in_words(
    frame: pd.DataFrame, metric: str, variant: str, base: str, *, scale: float = 100.0
) -> str:
    """Return only how far a variant is above or below another, with its interval, for a list of changes.

    Args:
        frame: of `train_variants`.
        metric: its column.
        variant: the one that is compared.
        base: the one it is compared with.
        scale: of the values; 100 for per cent.
    """
    if not {variant, base} <= _finished(frame, metric):
        return "not measured"
    found = paired_difference(frame, metric, variant, base)
    if found.half_width is None:
        return f"{scale * found.mean:+.1f}"
    verdict = "more than chance" if abs(found.mean) > found.half_width else "may be chance"
    return f"{scale * found.mean:+.2f} ± {scale * found.half_width:.2f} ({verdict})"


def interval_note(frame: pd.DataFrame) -> str:
    """Return how to read the changes of `change_in_words`: what their intervals are, or why there is none."""
    seeds = frame["seed"].nunique()
    if seeds == 1:
        return "One seed: no intervals, so no finding."
    return (
        f"Means and 95 % intervals over {seeds} seeds; a difference is shown where the interval leaves out 0."
    )


def _finished(frame: pd.DataFrame, metric: str) -> set[str]:
    """Return the variants that have the metric with at least one seed."""
    return set(frame.loc[frame[metric].notna(), "variant"]) if metric in frame else set()


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON values; a mean with its interval as text, such as "76.5 ± 0.4"."""
    return [
        {str(column): _json_value(value) for column, value in row.items()} for row in table.to_dict("records")
    ]


def _json_value(value: Any) -> Any:
    if isinstance(value, Interval):
        return value.mean if value.half_width is None else value.text(1)
    return value.item() if hasattr(value, "item") else value


def failures(frame: pd.DataFrame) -> str:
    """Return which trainings failed and why, as one sentence; empty if none did."""
    if FAILED not in frame or frame[FAILED].isna().all():
        return ""
    rows = frame[frame[FAILED].notna()]
    runs = [f"'{row.variant}' with seed {row.seed} ({getattr(row, FAILED)})" for row in rows.itertuples()]
    return f"Failed trainings: {'; '.join(runs)}."
