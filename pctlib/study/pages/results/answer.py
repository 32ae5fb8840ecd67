"""The answer to the study's question, as its index gives it first: a sentence, dots, a person."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure

from pctlib.metrics.bootstrap import half_width, pooled_draws
from pctlib.metrics.pck import by_visibility, distances, longer_sides
from pctlib.reporting.tables import Interval, interval_ends, mean_interval, signed
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.results.read import MANY_JOINTS, TOLERANCE, StudyResults
from pctlib.study.pictures import gallery_rows
from pctlib.study.predictions import Predictions, person_errors
from pctlib.visualization import galleries
from pctlib.visualization.dots import dots

PCT, CONTROL = "PCT", "Heatmap control"
KINDS = ("seen", "hidden")
SOME_HIDDEN = 3  # hidden joints of a person that shows what becomes of them


def share(results: StudyResults, method: str, kind: str, base: str | None = None) -> Interval | None:
    """Return PCK@0.1 in per cent, or how far it is above that of another method, with its interval.

    The interval is over the seeds, paired; of one seed over the people, by bootstrap, paired by person.

    Args:
        results: of the study.
        method: a key of its metrics.
        kind: "seen" or "hidden" joints.
        base: the other method.

    Returns:
        None where nothing is counted.
    """
    names = [method] if base is None else [method, base]
    if len(results.layout.profile.seeds) > 1:
        values = [100 * np.array([m[f"PCK@0.1 {kind}"] for m in results.metrics[name]]) for name in names]
        found = values[0] if base is None else values[0] - values[1]
        return mean_interval(found) if np.isfinite(found).all() else None
    drawn = [100 * pooled_draws(*_counts(results, results.predictions[name], kind)) for name in names]
    found = drawn[0] if base is None else drawn[0] - drawn[1]
    if not np.isfinite(found[0]):
        return None
    people = int(by_visibility(results.people.visible)[kind].any(1).sum())
    return Interval(float(found[0]), half_width(found) if people > 1 else None, people)


def _counts(results: StudyResults, predictions: Predictions, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how many joints of a kind each person has within 0.1 of the box, and has at all, [N] each."""
    counted = by_visibility(results.people.visible)[kind]
    errors = distances(predictions.keypoints_image, results.people.keypoints_image)
    right = errors < 0.1 * longer_sides(results.people)[:, None]
    return (right & counted).sum(1), counted.sum(1)


def over(results: StudyResults) -> str:
    """Return what the intervals are over."""
    seeds = len(results.layout.profile.seeds)
    return f"{seeds} seeds" if seeds > 1 else f"the {len(results.people)} people, one seed"


def verdict(results: StudyResults) -> str:
    """Return the answer in plain words with its numbers, as markdown."""
    hidden = share(results, PCT, "hidden", CONTROL)
    if hidden is None:
        return "These people have no hidden joints that are labelled, so the question stays open here."
    words = (
        "**No difference is shown** between tokens (PCT) and heatmaps on the joints that are hidden"
        if not hidden.leaves_out_zero
        else "**Tokens (PCT) keep more of the hidden joints than heatmaps do**"
        if hidden.mean > 0
        else "**Heatmaps keep more of the hidden joints than tokens (PCT) do**"
    )
    numbers = {name: share(results, name, "hidden") for name in (PCT, CONTROL, MEAN_POSE)}
    if numbers[MEAN_POSE].mean >= max(numbers[PCT].mean, numbers[CONTROL].mean):
        words = (
            "**Neither tokens (PCT) nor heatmaps beat the mean pose** on hidden joints: too short a training"
        )
    text = (
        f"{words}, on the same frozen features and for the same epochs: {numbers[PCT].mean:.1f} against "
        f"{numbers[CONTROL].mean:.1f} % ({_points(hidden)})."
    )
    seen = share(results, PCT, "seen", CONTROL)
    if seen is not None:
        side = "ahead" if seen.mean > 0 else "behind"
        level = f"PCT is {side}" if seen.leaves_out_zero else "no difference is shown"
        text += f" On joints that can be seen {level} ({_points(seen)})."
    floor = {kind: share(results, MEAN_POSE, kind) for kind in KINDS if share(results, MEAN_POSE, kind)}
    listed = " and ".join(f"{value.mean:.1f} % of the {kind} ones" for kind, value in floor.items())
    floor_words = f"The mean pose, which ignores the image, finds {listed}."
    return f"{text} {floor_words} Intervals: 95 %, over {over(results)}."


def _points(difference: Interval) -> str:
    """Return a difference with the ends of its interval, such as "+1.2 points, −0.3 to +2.7"."""
    ends = interval_ends(difference)
    interval = "" if difference.half_width is None else f", {signed(ends['low'])} to {signed(ends['high'])}"
    return f"{signed(difference.mean)} points{interval}"


def dots_frame(results: StudyResults) -> pd.DataFrame:
    """Return PCK@0.1 in per cent by method and kind of joints: "method", "joints", "value", "low", "high"."""
    rows = [
        {"method": method, "joints": f"{kind} joints"} | interval_ends(found)
        for method in results.metrics
        for kind in KINDS
        if (found := share(results, method, kind)) is not None
    ]
    return pd.DataFrame(rows)


def dots_figure(results: StudyResults) -> MatplotlibFigure:
    """Show `dots_frame`, with the mean pose as a line."""
    frame = dots_frame(results)
    floor = frame[frame.method == MEAN_POSE].set_index("joints")["value"].to_dict()
    return dots(
        frame[frame.method != MEAN_POSE],
        row="method",
        panel="joints",
        label="found within 0.1 of the box (%)",
        floor=floor,
        floor_name=MEAN_POSE,
    )


def example(results: StudyResults) -> int:
    """Return the row of the person that stands for all: the median error of those who show something.

    They have at least 12 labelled joints, three of them hidden; where nobody has, all are asked.
    """
    errors = np.mean([person_errors(results.people, results.predictions[n]) for n in (PCT, CONTROL)], axis=0)
    parts = by_visibility(results.people.visible)
    telling = (parts["all"].sum(1) >= MANY_JOINTS) & (parts["hidden"].sum(1) >= SOME_HIDDEN)
    known = np.flatnonzero(np.isfinite(errors) & (telling if telling.any() else True))
    return int(known[np.argsort(errors[known])[len(known) // 2]])


def example_figure(results: StudyResults) -> MatplotlibFigure:
    """Show `example` with the truth and what heatmaps and tokens find, hidden joints ringed."""
    shown = {name: results.predictions[name] for name in (CONTROL, PCT)}
    (row,) = gallery_rows(results.people, [(example(results), "")], shown)
    return galleries.truth_beside(row, skeleton=results.people.skeleton, tolerance=TOLERANCE)
