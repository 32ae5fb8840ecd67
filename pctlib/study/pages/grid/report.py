"""What the grid says: a table, what each step of V and M changes, where more stops to help, and its time."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pctlib.reporting.columns import column
from pctlib.reporting.run_card import format_seconds
from pctlib.reporting.tables import Interval, interval_ends, mean_interval, signed
from pctlib.study.findings import difference_in_words, one_seed_note
from pctlib.study.pages.grid.study import AP, BITS, ERROR, PERPLEXITY, SECONDS, STARTED, USAGE, WALL, WORK
from pctlib.study.pages.grid.trainings import point_name
from pctlib.study.variants import FAILED, interval_of

METRICS = (ERROR, AP, USAGE, PERPLEXITY, BITS, SECONDS)
PCK = {"PCK@0.1 seen": "seen joints", "PCK@0.1 hidden": "hidden joints"}


def grid_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return one row a point: means over the seeds with 95 % intervals; failed points are called so."""
    rows = []
    for (entries, tokens), runs in points.groupby(["V", "M"], sort=True):
        row: dict[str, Any] = {"point": f"V {entries}, M {tokens}", "V": entries, "M": tokens}
        shown = {metric: column(metric) for metric in METRICS}
        row |= {c.heading: interval_of(runs, metric, c.scale) for metric, c in shown.items()}
        row[shown[BITS].heading] = float(runs[BITS].iloc[0])  # the same for every seed
        if FAILED in points:
            row["failed runs"] = int(runs[FAILED].notna().sum())
            if row["failed runs"] == len(runs):
                row[shown[ERROR].heading] = FAILED
        rows.append(row)
    return pd.DataFrame(rows)


def grid_means(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return means over the seeds of a metric, V by M; NaN where every run failed."""
    known = points if metric in points else points.assign(**{metric: math.nan})
    means = known.pivot_table(index="V", columns="M", values=metric, aggfunc="mean", dropna=False)
    return means.reindex(index=sorted(points["V"].unique()), columns=sorted(points["M"].unique()))


def point_curves(points: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return what `sweep_curves` draws: V, M, metric (its title), value, low and high of each point.

    The ends are those of the 95 % interval, and the value where there is one run; points that failed are
    left out.
    """
    rows = []
    for (entries, tokens), runs in points.groupby(["V", "M"], sort=True):
        rows += [
            {"V": entries, "M": tokens, "metric": column(metric).heading} | interval_ends(found)
            for metric in metrics
            if isinstance(found := interval_of(runs, metric, column(metric).scale), Interval)
        ]
    return pd.DataFrame(rows, columns=["V", "M", "metric", "value", "low", "high"])


def row_curves(classified: pd.DataFrame) -> pd.DataFrame:
    """Return what `sweep_curves` draws of the row's classifiers: V, joints, metric, value, low and high."""
    rows = []
    for _, runs in classified.groupby("variant", sort=False):
        for metric, joints in PCK.items():
            if isinstance(found := interval_of(runs, metric, 100.0), Interval):
                row = {"V": int(runs["V"].dropna().iloc[0]), "joints": joints, "metric": "PCK@0.1 (%)"}
                rows.append(row | interval_ends(found))
    return pd.DataFrame(rows, columns=["V", "joints", "metric", "value", "low", "high"])


def steps(points: pd.DataFrame, axis: str) -> list[tuple[int, int, Interval]]:
    """Return what each step up "V" or "M" changes: from, to, and the change of the error in pixels.

    Compared are points of the same seed that differ in this axis alone and both finished; the change is their
    mean, its interval that over the seeds.
    """
    if ERROR not in points:
        return []
    other = "M" if axis == "V" else "V"
    wide = points.pivot(index=["seed", other], columns=axis, values=ERROR)
    found = []
    for before, after in itertools.pairwise(sorted(wide)):
        change = (wide[after] - wide[before]).dropna().groupby("seed").mean()
        if len(change):
            found.append((int(before), int(after), mean_interval(change)))
    return found


def saturation(points: pd.DataFrame, axis: str) -> int | None:
    """Return the first V or M from which the next step is not shown to lower the error; None: each step is.

    A step is shown to help if the whole interval of its change lies below zero.

    Raises:
        ValueError: if a change has no interval, because there is one seed.
    """
    for before, _, change in steps(points, axis):
        if change.half_width is None:
            raise ValueError(f"saturation in {axis}: expected several seeds, got one")
        if change.mean + change.half_width >= 0:
            return before
    return None


def grid_finding(points: pd.DataFrame) -> str:
    """Return in words what more entries and more tokens change, where it stops, and what failed."""
    if ERROR not in points:
        return _failures(points)
    return " ".join(
        part
        for part in (
            _best(points),
            _along(points, "M", "tokens"),
            _along(points, "V", "entries"),
            one_seed_note(points[points[ERROR].notna()]),
            _failures(points),
        )
        if part
    )


def _best(points: pd.DataFrame) -> str:
    """Return the point of the least error; of those that most seeds finished, as others are not like them."""
    runs = points.groupby(["V", "M"])[ERROR].agg(["mean", "count"])
    seeds = runs["count"].max()
    means = runs.loc[runs["count"] == seeds, "mean"]
    entries, tokens = means.idxmin()
    spread = f", mean over {seeds} seeds" if seeds > 1 else ""
    best = f"V = {entries}, M = {tokens}"
    return f"The least reconstruction error, {means.min():.2f} px, is that of {best}{spread}."


def _along(points: pd.DataFrame, axis: str, what: str) -> str:
    """Return the change of the error with each step up an axis, and where it is no longer shown to fall."""
    found = steps(points, axis)
    if not found:
        return ""
    changes = "; ".join(f"{before} to {after}: {signed(change, 2)} px" for before, after, change in found)
    words = f"Change of the error with more {what}, {changes}."
    if any(change.half_width is None for *_, change in found):
        return words
    stop = saturation(points, axis)
    if stop is None and len(found) < points[axis].nunique() - 1:
        return f"{words} Each of these steps helps; others could not be compared."
    if stop is None:
        return f"{words} Every step helps: no saturation up to {found[-1][1]} {what}."
    return f"{words} Beyond {stop} {what} the next step is not shown to help."


def _failures(points: pd.DataFrame) -> str:
    """Return which points failed; "" if none did."""
    failed = failed_points(points)
    names = ", ".join(failed["point"])
    return f"{len(failed)} of {len(points)} points failed: {names}." if names else ""


def failed_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return each point that failed, and why it did."""
    failed = points[points[FAILED].notna()] if FAILED in points else points.iloc[:0]
    points = zip(failed["V"], failed["M"], failed["seed"], strict=True)
    names = [f"{point_name(entries, tokens)}-seed{seed}" for entries, tokens, seed in points]
    return pd.DataFrame({"point": names, "why": list(failed[FAILED]) if names else []})


def row_finding(classified: pd.DataFrame) -> str:
    """Return in words what the largest codebook of the row changes, against the smallest, from images."""
    names = list(dict.fromkeys(classified["variant"]))
    if len(names) < 2:
        return ""
    sentences = [
        difference_in_words(classified, metric, names[-1], names[0], what=f"points of PCK@0.1, {joints}")
        for metric, joints in PCK.items()
    ]
    return f"From images, {' '.join(dict.fromkeys(sentences))}"


def sweep_time(points: pd.DataFrame) -> str:
    """Return in words how long the grid took, from the run cards of its points."""
    if WALL not in points:
        return "No point finished."
    finished = points.dropna(subset=[WALL])
    work = finished[WORK].sum()
    span = (finished[STARTED] + finished[WALL]).max() - finished[STARTED].min()
    return (
        f"{len(finished)} of {len(points)} points finished; they took {format_seconds(work)} of training and "
        "measuring together, and "
        f"{format_seconds(span)} from the start of the first to the end of the last, which counts any pause "
        "of the sweep, and is shorter where points run side by side."
    )
