"""What the variants of a family say: a difference in plain words, and tables as JSON values."""

from typing import Any

import pandas as pd

from pctlib.reporting.tables import Interval, signed
from pctlib.study.variants import FAILED, paired_difference

ONE_SEED = "One seed: no intervals, so no finding."


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
    if not comparable(frame, metric, variant, base):
        return f"{names}: not measured, as a training failed."
    found = _difference(frame, metric, variant, base, scale)
    digits = 1 if found.half_width is None else 2
    size = f"{names}: {signed(found.mean, digits)} {what}"
    if found.half_width is None:
        return f"{size}." if frame["seed"].nunique() == 1 else f"{size} (one seed has both: no interval)."
    ends = found.mean - found.half_width, found.mean + found.half_width
    verdict = "no difference is shown" if ends[0] <= 0 <= ends[1] else "more than chance"
    interval = f"95 % interval {signed(ends[0], 2)} to {signed(ends[1], 2)} over {found.count} seeds"
    return f"{size} ({interval}: {verdict})."


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
    if not comparable(frame, metric, variant, base):
        return "not measured"
    found = _difference(frame, metric, variant, base, scale)
    if found.half_width is None:
        return signed(found)
    return signed(found, 2) + ("" if abs(found.mean) > found.half_width else " (may be chance)")


def interval_note(frame: pd.DataFrame) -> str:
    """Return how to read the changes of `change_in_words`: what their intervals are, or why there is none."""
    seeds = frame["seed"].nunique()
    return one_seed_note(frame) or (
        f"Means and 95 % intervals over {seeds} seeds; a difference is shown where the interval leaves out 0."
    )


def one_seed_note(frame: pd.DataFrame) -> str:
    """Return that one seed gives no finding; empty for several seeds."""
    return ONE_SEED if frame["seed"].nunique() == 1 else ""


def _difference(frame: pd.DataFrame, metric: str, variant: str, base: str, scale: float) -> Interval:
    found = paired_difference(frame, metric, variant, base)
    half = None if found.half_width is None else scale * found.half_width
    return Interval(scale * found.mean, half, found.count)


def comparable(frame: pd.DataFrame, metric: str, variant: str, base: str) -> bool:
    """Return whether at least one seed has the metric of both variants."""
    measured = frame[frame[metric].notna()] if metric in frame else frame.iloc[:0]
    seeds = [set(measured.loc[measured["variant"] == name, "seed"]) for name in (variant, base)]
    return bool(seeds[0] & seeds[1])


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
