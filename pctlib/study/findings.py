"""What the variants of a family say: a difference in plain words, and tables as JSON values."""

from typing import Any

import pandas as pd

from pctlib.reporting.tables import ONE_SEED, Interval, interval_ends, mean_interval, signed
from pctlib.study.variants import FAILED


def difference(
    frame: pd.DataFrame, metric: str, variant: str, base: str, *, scale: float = 100.0
) -> Interval | None:
    """Return the mean difference of a metric over the seeds that both have, with its interval.

    Args:
        frame: of `train_variants`.
        metric: its column.
        variant: the one that is compared.
        base: the one it is compared with.
        scale: of the values; 100 for per cent.

    Returns:
        The scaled interval; None where no seed has a number of both.
    """
    if metric not in frame:
        return None
    wide = frame.pivot(index="seed", columns="variant", values=metric)
    both = wide.reindex(columns=[variant, base]).dropna()
    return None if both.empty else mean_interval(scale * (both[variant] - both[base]))


def difference_in_words(
    frame: pd.DataFrame, metric: str, variant: str, base: str, *, what: str, scale: float = 100.0
) -> str:
    """Return one sentence: how far a variant is above or below another, and whether that can be chance.

    Args as of `difference`, and:
        what: the metric as the sentence names it, with its unit, such as "points of PCK@0.1".
    """
    names = f"'{variant}' against '{base}'"
    found = difference(frame, metric, variant, base, scale=scale)
    if found is None:
        return f"{names}: not measured{_why_not(frame, variant, base)}."
    if found.half_width is None:
        return f"{names}: {signed(found)} {what}{_lone_seed(frame)}."
    ends = interval_ends(found)
    verdict = "more than chance" if found.leaves_out_zero else "no difference is shown"
    interval = f"{signed(ends['low'], 2)} to {signed(ends['high'], 2)} over {found.count} seeds"
    return f"{names}: {signed(found.mean, 2)} {what} (95 % interval {interval}: {verdict})."


def change_in_words(
    frame: pd.DataFrame, metric: str, variant: str, base: str, *, scale: float = 100.0
) -> str:
    """Return only how far a variant is above or below another, with its interval, for a list of changes.

    Args as of `difference`.
    """
    found = difference(frame, metric, variant, base, scale=scale)
    if found is None:
        return "not measured"
    if found.half_width is None:
        return f"{signed(found)}{_lone_seed(frame)}"
    return signed(found, 2) + ("" if found.leaves_out_zero else " (may be chance)")


def not_better(frame: pd.DataFrame, metric: str, teacher: str, student: str, *, falling: bool = False) -> str:
    """Return a clause on a teacher that is not shown to be better than its student; empty for one that is.

    Args:
        frame: of `train_variants`.
        metric: its column.
        teacher: a variant.
        student: the variant that was trained without the teacher.
        falling: a lower metric is better.
    """
    found = difference(frame, metric, teacher, student)
    if found is None:
        return ""
    gain = -found.mean if falling else found.mean
    if gain > 0 and (found.leaves_out_zero or found.half_width is None):
        return ""
    if gain < 0 and found.leaves_out_zero:
        return "; it is worse than the student, so there was nothing to transfer"
    return "; it is not shown to be better than the student, so there may have been nothing to transfer"


def _why_not(frame: pd.DataFrame, variant: str, base: str) -> str:
    rows = frame[frame["variant"].isin([variant, base])]
    failed = FAILED in rows and rows[FAILED].notna().any()
    return ", as a training failed" if failed else ""


def _lone_seed(frame: pd.DataFrame) -> str:
    """Return a note where there are several seeds, but only one has both variants."""
    return "" if frame["seed"].nunique() == 1 else " (one seed has both: no interval)"


def interval_note(frame: pd.DataFrame) -> str:
    """Return how to read the changes of `change_in_words`: what their intervals are, or why there is none."""
    seeds = frame["seed"].nunique()
    return one_seed_note(frame) or (
        f"Means and 95 % intervals over {seeds} seeds; a difference is shown where the interval leaves "
        "out 0, as it does for about one in twenty that are none: nothing is corrected for how many are "
        "looked at."
    )


def one_seed_note(frame: pd.DataFrame) -> str:
    """Return that one seed gives no finding; empty for several seeds."""
    return ONE_SEED if frame["seed"].nunique() == 1 else ""


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON values: means, and "<column> half width" where there is one."""
    rows = []
    for record in table.to_dict("records"):
        row: dict[str, Any] = {}
        for column, value in record.items():
            if isinstance(value, Interval):
                row[str(column)] = value.mean
                if value.half_width is not None:
                    row[f"{column} half width"] = value.half_width
            else:
                row[str(column)] = value.item() if hasattr(value, "item") else value
        rows.append(row)
    return rows


def failures(frame: pd.DataFrame) -> str:
    """Return which trainings failed and why, as one sentence; empty if none did."""
    if FAILED not in frame or frame[FAILED].isna().all():
        return ""
    rows = frame[frame[FAILED].notna()]
    runs = [f"'{row.variant}' with seed {row.seed} ({getattr(row, FAILED)})" for row in rows.itertuples()]
    return f"Failed trainings: {'; '.join(runs)}."
