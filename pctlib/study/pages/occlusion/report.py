"""What the occlusion protocol says: its tables, and a finding in plain words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pctlib.data.occlusion.levels import KINDS
from pctlib.reporting.tables import Interval, interval_ends, signed
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.comparison.networks import FROZEN
from pctlib.study.pages.occlusion.measures import METRICS, Part, Robustness
from pctlib.study.pages.occlusion.protocol import OcclusionRun


def protocol_table(run: OcclusionRun) -> pd.DataFrame:
    """Return what the levels are: shares wanted and hidden in per cent, and how many joints are counted."""
    rows = []
    for k, kind in enumerate(run.kinds):
        for level, wanted in enumerate(run.wanted):
            shares, flags = run.shares[k, level], run.visible[k, level]
            rows.append(
                {
                    "kind": KINDS[kind],
                    "level": level,
                    "wanted (%)": round(100 * wanted),
                    "hidden (%)": round(100 * float(shares.mean())),
                    "least (%)": round(100 * float(shares.min())),
                    "most (%)": round(100 * float(shares.max())),
                    "joints seen": int((flags == 2).sum()),
                    "joints hidden": int((flags == 1).sum()),
                }
            )
    return pd.DataFrame(rows)


def summary(robustness: Robustness) -> pd.DataFrame:
    """Return a row a method, pooled over the levels above 0, in per cent; columns are (group, name)."""
    levels = robustness.hidden_levels
    rows = []
    for method in robustness.run.methods:
        row: dict[tuple[str, str], Any] = {("", "method"): method}
        for kind in robustness.run.kinds:
            part = Part([kind], levels)
            row["error hidden", KINDS[kind]] = robustness.interval(method, "error hidden", part)
        for metric in METRICS[1:]:
            group, _, name = metric.rpartition(" ")
            row[group, name] = robustness.interval(method, metric, Part(levels=levels))
        rows.append(row)
    return pd.DataFrame(rows)


def curve_frame(table: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return the table of `Robustness.table` with one row a point of a curve: value, low and high."""
    rows = [
        {"method": row.method, "kind": row.kind, "level": row.level, "metric": metric} | interval_ends(value)
        for row, values in zip(table.itertuples(), table[list(metrics)].to_numpy(), strict=True)
        for metric, value in zip(metrics, values, strict=True)
    ]
    return pd.DataFrame(rows)


def finding(robustness: Robustness, *, method: str = "PCT", base: str = "Heatmap control") -> str:
    """Return in plain words whether a method keeps hidden joints better than another, with the numbers."""
    part = Part(levels=robustness.hidden_levels)
    names = [method, base, MEAN_POSE]
    errors = {name: float(robustness.interval(name, "error hidden", part)) for name in names}
    if not all(map(np.isfinite, errors.values())):
        return "No joint is hidden at these levels, so they say nothing about hidden joints."
    text = (
        f"At levels 1 to {robustness.hidden_levels[-1]} the mean error of hidden joints is "
        f"{errors[method]:.1f} % of the box with {method}, {errors[base]:.1f} % with {_lower(base)} and "
        f"{errors[MEAN_POSE]:.1f} % with the mean pose. "
    )
    kinds = {
        KINDS[kind]: robustness.difference("error hidden", method, base, Part([kind], part.levels))
        for kind in robustness.run.kinds
    }
    text += f"{method} minus {_lower(base)}: {_listed(kinds)} percentage points. {_verdict(method, kinds)} "
    seen = robustness.difference("error seen", method, base, part)
    text += f"On seen joints of these levels the difference is {_signed(seen)}. "
    text += _from_level_to_level(robustness, method, base)
    wrong = [float(robustness.interval(name, "implausible", part)) for name in (method, base)]
    text += (
        f"Implausible are {wrong[0]:.1f} % of the poses of {method}, {wrong[1]:.1f} % of {_lower(base)}: "
        f"{_signed(robustness.difference('implausible', method, base, part))}."
    )
    text += _ranked(robustness)
    if len(robustness.seeds) == 1:
        text += (
            " There is one seed: the intervals are over people, and tell these two networks apart, not the "
            "two representations."
        )
    return text


def _from_level_to_level(robustness: Robustness, method: str, base: str) -> str:
    """Return how the difference changes from the first level that hides to the last, all kinds together."""
    first, last = robustness.hidden_levels[0], robustness.hidden_levels[-1]
    if first == last:
        return ""
    parts = []
    for joints in ("hidden", "seen"):
        ends = [
            _signed(robustness.difference(f"error {joints}", method, base, Part(levels=[level])))
            for level in (first, last)
        ]
        parts.append(f"from {ends[0]} to {ends[1]} on {joints} joints")
    return f"From level {first} to level {last} it goes {' and '.join(parts)}. "


def by_hidden_error(robustness: Robustness) -> dict[str, float]:
    """Return the trained methods with their error of hidden joints in per cent, the least first."""
    trained = [name for name in robustness.run.methods if name != MEAN_POSE]
    part = Part(levels=robustness.hidden_levels)
    errors = {name: float(robustness.interval(name, "error hidden", part)) for name in trained}
    return dict(sorted(errors.items(), key=lambda pair: pair[1]))


def with_best(robustness: Robustness, methods: Sequence[str], *, most: int = 6) -> list[str]:
    """Return some methods and, up to `most`, those others that have the least error of hidden joints."""
    others = [name for name in by_hidden_error(robustness) if name not in methods]
    return [*methods, *others][: max(most, len(methods))]


def _ranked(robustness: Robustness) -> str:
    """Return which of the heads on the same frozen features have the least and the largest hidden error."""
    errors = {name: e for name, e in by_hidden_error(robustness).items() if name.startswith(f"{FROZEN}-")}
    if len(errors) < 2:
        return ""
    (least, low), *_, (largest, high) = errors.items()
    return (
        f" Of the {len(errors)} compared heads on the same frozen features {least} has the least error of "
        f"hidden joints ({low:.1f} %), {largest} the largest ({high:.1f} %)."
    )


def _verdict(method: str, differences: dict[str, Interval | float]) -> str:
    """Return where the difference is larger than its interval, and which way."""
    better, worse, open_, unknown = [], [], [], []
    for kind, value in differences.items():
        if not isinstance(value, Interval):  # nothing was hidden
            continue
        side = better if value.mean < 0 else worse
        (unknown if value.half_width is None else side if value.leaves_out_zero else open_).append(kind)
    parts = [
        f"{method} keeps them better under {_and(better)}" if better else "",
        f"worse under {_and(worse)}" if worse else "",
        f"the interval includes zero under {_and(open_)}" if open_ else "",
        f"there is no interval under {_and(unknown)}" if unknown else "",
    ]
    sentence = "; ".join(part for part in parts if part)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _listed(differences: dict[str, Interval | float]) -> str:
    return ", ".join(f"{kind} {_signed(value)}" for kind, value in differences.items())


def _signed(value: Interval | float) -> str:
    return signed(value) if isinstance(value, Interval) else "not measured"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _lower(name: str) -> str:
    """Return "the heatmap control" for "Heatmap control"."""
    return name if name.isupper() else f"the {name[:1].lower()}{name[1:]}"
