"""What ran when: a bar a step, and lines from what it was made of."""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from pctlib.visualization.style import GRID, INK, MUTED, PALETTE, STYLE, new_figure


@mpl.rc_context(STYLE)
def timeline(frame: pd.DataFrame, *, edges: Sequence[tuple[str, str]] = ()) -> Figure:
    """Show steps as bars over time, the first at the top, each with its minutes.

    Args:
        frame: one line a step, with "step", "start" and "minutes", and "main": whether it is set off.
        edges: (earlier, later) steps; a line leads from the end of one to the start of the other.

    Raises:
        ValueError: if a column is missing, a step occurs twice, or an edge names a step that is not there.
    """
    needed = ["step", "start", "minutes", "main"]
    if set(needed) - set(frame.columns) or frame["step"].duplicated().any():
        raise ValueError(f"frame: expected {needed} and one line a step, got {list(frame.columns)}")
    rows = {step: row for row, step in enumerate(frame["step"])}
    if unknown := [step for edge in edges for step in edge if step not in rows]:
        raise ValueError(f"edges: no step '{unknown[0]}'; there are {', '.join(rows)}")
    figure, (axes,) = new_figure(size=(0.9 + 0.24 * len(rows), 7.0))
    ends = frame["start"] + frame["minutes"]
    for earlier, later in edges:
        first, second = rows[earlier], rows[later]
        end, start = ends.iloc[first], frame["start"].iloc[second]
        axes.plot([end, end, start], [first, second, second], color=GRID, linewidth=1.4, zorder=1)
    colours = [PALETTE[0] if main else PALETTE[5] for main in frame["main"]]
    axes.barh(
        list(rows.values()), frame["minutes"], left=frame["start"], height=0.62, color=colours, zorder=2
    )
    for row, (end, minutes) in enumerate(zip(ends, frame["minutes"], strict=True)):
        words = f"{minutes:.1f}" if minutes >= 0.05 else "< 0.1"
        axes.annotate(
            words, (end, row), (4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8
        )
    axes.set_yticks(list(rows.values()), list(rows), color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.07 * max(ends.max(), 0.1))
    axes.set_xlabel("minutes")
    axes.grid(axis="y", visible=False)
    return figure
