"""Dots with intervals: methods side by side, and the line of what ignores the image."""

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from pctlib.visualization.style import INK, MUTED, PALETTE, STYLE, new_figure


@mpl.rc_context(STYLE)
def dots(
    frame: pd.DataFrame, *, row: str, panel: str, label: str, floor: Mapping[str, float], floor_name: str
) -> Figure:
    """Show a value by row as dots in panels side by side; whiskers are intervals, a dashed line is a floor.

    Args:
        frame: one line a dot, with "value", "low" and "high".
        row: column of the rows, top to bottom in order of appearance.
        panel: column of the panels, left to right in order of appearance.
        label: of the axes.
        floor: panel -> value of its line; panels without one have no line.
        floor_name: what the line is.

    Raises:
        ValueError: if a column is missing or a dot occurs twice.
    """
    needed = [row, panel, "value", "low", "high"]
    if set(needed) - set(frame.columns) or frame.duplicated([row, panel]).any():
        raise ValueError(
            f"frame: expected the columns {needed} and one line a dot, got {list(frame.columns)}"
        )
    rows, panels = list(dict.fromkeys(frame[row])), list(dict.fromkeys(frame[panel]))
    figure, axes = new_figure(1, len(panels), size=(1.15 + 0.42 * len(rows), 7.0), sharex=True, sharey=True)
    for place, name in zip(axes, panels, strict=True):
        part = frame[frame[panel] == name].set_index(row)
        for height, method in enumerate(rows):
            if method not in part.index:
                continue
            value, low, high = part.loc[method, ["value", "low", "high"]]
            place.plot([low, high], [height, height], color=PALETTE[0], linewidth=2.2)
            place.plot(value, height, "o", color=PALETTE[0], markersize=7)
            place.annotate(
                f"{value:.1f}", (value, height), (0, 7), textcoords="offset points", ha="center", color=INK
            )
        if name in floor:
            place.axvline(floor[name], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
            place.annotate(
                f"{floor_name} {floor[name]:.1f}",
                (floor[name], 0),
                (4, -1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="bottom",
                color=MUTED,
                fontsize=8.5,
            )
        place.set_title(str(name))
        place.set_xlabel(label)
        place.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.35, -0.75)
    return figure
