"""Figures of the error analysis."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

# From mild to bad; distinct in grey print and for the colour-blind.
TYPE_COLORS = {"jitter": "#9ecae1", "inversion": "#fdae6b", "swap": "#a1a1a1", "miss": "#b2182b"}


def error_types_figure(by_joint: pd.DataFrame) -> Figure:
    """Share of the keypoints of each joint that are a jitter, inversion, swap or miss; the rest is good.

    Args:
        by_joint: `summarize_errors(table, "joint")` of a skeleton with OKS sigmas.

    Raises:
        ValueError: if the table has no error types.
    """
    missing = [name for name in TYPE_COLORS if name not in by_joint]
    if missing:
        raise ValueError(f"by_joint has no column {missing[0]!r}; the skeleton needs OKS sigmas")
    rows = by_joint.iloc[::-1]  # the first joint on top
    positions = np.arange(len(rows))
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.28 * len(rows)), layout="constrained")
    start = np.zeros(len(rows))
    for name, color in TYPE_COLORS.items():
        axes.barh(positions, rows[name], left=start, color=color, label=name, height=0.75)
        start += rows[name].to_numpy()
    axes.set_yticks(positions, [name.replace("_", " ") for name in rows.index])
    axes.set_xlim(0, max(0.05, 1.02 * start.max()))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of labelled keypoints")
    figure.legend(loc="outside upper center", ncols=len(TYPE_COLORS), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def error_groups_figure(summaries: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean keypoint error, over the longer side of the box, in groups of keypoints; n is their number.

    Args:
        summaries: grouping -> `summarize_errors(table, grouping)`, one panel each.

    Raises:
        ValueError: if there is none.
    """
    if not summaries:
        raise ValueError("summaries: expected at least one grouping, got none")
    widths = [len(summary) for summary in summaries.values()]
    figure, panels = plt.subplots(
        1,
        len(summaries),
        figsize=(1.5 + 0.75 * sum(widths), 3.2),
        width_ratios=widths,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (grouping, summary) in zip(panels[0], summaries.items(), strict=True):
        colors = ["#bdbdbd" if name == "all" else "#4292c6" for name in summary.index]
        bars = axes.bar(np.arange(len(summary)), summary["error"], color=colors, width=0.7)
        axes.bar_label(bars, [f"n {count}" for count in summary["keypoints"]], fontsize=7, padding=2)
        axes.set_xticks(np.arange(len(summary)), summary.index, rotation=35, ha="right")
        axes.margins(y=0.12)
        axes.set_title(grouping)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f} %")
    panels[0, 0].set_ylabel("mean error / longer side of the box")
    return figure
