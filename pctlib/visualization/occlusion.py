"""Figures of robustness: curves by level of occlusion, a panel a method, and one person level by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pctlib.skeletons import Skeleton
from pctlib.visualization.galleries import GalleryRow, draw_prediction, draw_truth, ring_handles
from pctlib.visualization.style import MUTED, STYLE, colors, new_figure

_COLUMNS = ["method", "kind", "level", "metric", "value", "low", "high"]
_DASHES = (0, (4, 2))


@mpl.rc_context(STYLE)
def robustness_curves(
    frame: pd.DataFrame,
    metrics: Mapping[str, str],
    *,
    floor: str | None = None,
    limit: float | None = None,
    differences: bool = False,
) -> Figure:
    """Show metrics by level of occlusion: a row a metric, a column a kind, a line a method with its interval.

    Args:
        frame: one row a point; columns method, kind, level, metric, value, low, high.
        metrics: metric -> label of its axis; a row of panels each.
        floor: the method that is drawn as a grey dashed line without interval.
        limit: upper end of the value axes; None: from the values, the same in each row.
        differences: the values are differences, so that the axes show both sides of a line at zero.

    Raises:
        ValueError: if a column or metric is missing.
    """
    _check(frame, metrics)
    kinds, methods = list(dict.fromkeys(frame.kind)), list(dict.fromkeys(frame.method))
    palette = colors([method for method in methods if method != floor])
    size = (2.05 * len(metrics) + 0.75, max(4.5, 3.0 * len(kinds)))
    figure, axes = new_figure(len(metrics), len(kinds), size=size, sharey="row", sharex=True)
    panels = [(metric, kind) for metric in metrics for kind in kinds]
    for place, (metric, kind) in zip(axes, panels, strict=True):
        part = frame[(frame.metric == metric) & (frame.kind == kind)]
        for method in methods:
            grey = {"color": MUTED, "linestyle": _DASHES, "band": False}
            style = grey if method == floor else {"color": palette[method]}
            _draw_line(place, part[part.method == method], label=method, **style)
        place.set_title(f"{kind}, {metric}" if len(metrics) > 1 else kind)
        if differences:
            place.axhline(0, color=MUTED, linewidth=1.0)
    for row, label in enumerate(metrics.values()):
        axes[row * len(kinds)].set_ylabel(label)
    _finish(axes, columns=len(kinds), lowest=None if differences else 0, highest=limit)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=min(4, len(methods)))
    return figure


@mpl.rc_context(STYLE)
def method_panels(
    frame: pd.DataFrame, *, hidden: str, seen: str, label: str, floor: str | None = None, columns: int = 3
) -> Figure:
    """Show each method in a panel of its own: hidden joints solid and seen joints dashed, a colour a kind.

    Args:
        frame: as for `robustness_curves`.
        hidden: metric drawn as solid lines with their intervals.
        seen: metric drawn as dashed lines.
        label: of the value axis.
        floor: the method whose hidden joints are a grey dotted line, its mean over the kinds, in each panel;
            the axes end at three times its values at most.
        columns: panels in a row.

    Raises:
        ValueError: if a column or metric is missing.
    """
    _check(frame, [hidden, seen])
    methods = [method for method in dict.fromkeys(frame.method) if method != floor]
    palette = colors(list(dict.fromkeys(frame.kind)))
    rows = -(-len(methods) // columns)
    figure, axes = new_figure(
        rows, columns, size=(2.2 * rows + 0.75, 3.0 * columns), sharey=True, sharex=True
    )
    for place in axes[len(methods) :]:
        place.set_axis_off()
    lowest = frame[(frame.method == floor) & (frame.metric == hidden)].groupby("level").value.mean()
    for place, method in zip(axes, methods, strict=False):
        for kind, color in palette.items():
            part = frame[(frame.method == method) & (frame.kind == kind)]
            _draw_line(place, part[part.metric == hidden], label=f"{kind}, hidden", color=color)
            dashed = {"label": f"{kind}, seen", "linestyle": _DASHES, "linewidth": 1.2}
            _draw_line(place, part[part.metric == seen], band=False, color=color, **dashed)
        if len(lowest):
            dotted = {"color": MUTED, "linestyle": (0, (1, 1.5)), "linewidth": 1.4}
            place.plot(lowest.index, lowest, label=f"{floor}, hidden", **dotted)
        place.set_title(method, fontsize=min(10.5, 290 / len(method)))  # long names still fit
    for place in axes[::columns]:
        place.set_ylabel(label)
    # a method that has learned nothing would squeeze all others
    highest = min(frame.high.max(), 3 * lowest.max()) if len(lowest) else None
    _finish(axes[: len(methods)], columns=columns, lowest=0, highest=highest)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


@dataclass(frozen=True)
class StripRow:
    """One row of a strip: a person at each level.

    Attributes:
        title: what the row shows.
        cells: the person at each level.
        method: a key of the cells' predictions; None for the true pose.
    """

    title: str
    cells: Sequence[GalleryRow]
    method: str | None = None


@mpl.rc_context(STYLE)
def level_strip(rows: Sequence[StripRow], *, skeleton: Skeleton, tolerance: float) -> Figure:
    """Show a person from level to level, a row a kind of occlusion or a method.

    Args:
        rows: of equal numbers of levels; the labels of the first row's cells head the columns.
        skeleton: the keypoint set.
        tolerance: a hidden joint is recovered if its error is at most this share of the box.

    Raises:
        ValueError: if there is no row, or the rows have different numbers of levels.
    """
    lengths = {len(row.cells) for row in rows}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"rows: expected equal numbers of levels above 0, got {sorted(lengths)}")
    levels = lengths.pop()
    cell = 9.6 / levels
    figure, axes = new_figure(len(rows), levels, size=(len(rows) * cell + 0.75, 9.9))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    scale = min(1.0, cell / 1.9)
    for number, row in enumerate(rows):
        for place, picture in zip(axes[number * levels : (number + 1) * levels], row.cells, strict=True):
            if row.method is None:
                draw_truth(place, picture, skeleton=skeleton, scale=scale)
            else:
                options = {"skeleton": skeleton, "tolerance": tolerance, "scale": scale}
                draw_prediction(place, picture, row.method, **options)
            if number == 0:
                place.set_title(picture.label, fontsize=8.5, fontweight="normal", pad=3)
        _row_title(axes[number * levels], row.title)
    if any(row.method is not None for row in rows):
        figure.legend(handles=ring_handles(), loc="outside lower left", ncols=2, handletextpad=0.3)
    return figure


def _check(frame: pd.DataFrame, metrics: Sequence[str] | Mapping[str, str]) -> None:
    if set(_COLUMNS) - set(frame.columns):
        raise ValueError(f"frame: expected the columns {_COLUMNS}, got {list(frame.columns)}")
    missing = [metric for metric in metrics if metric not in set(frame.metric)]
    if missing:
        raise ValueError(f"frame: no metric {missing[0]!r}; there are {sorted(set(frame.metric))}")


def _draw_line(axes: Axes, points: pd.DataFrame, *, band: bool = True, **line: object) -> list[Line2D]:
    points = points.sort_values("level")
    if band and (points.high > points.low).any():
        axes.fill_between(points.level, points.low, points.high, color=line["color"], alpha=0.13, linewidth=0)
    return axes.plot(points.level, points.value, marker="o", markersize=3, **line)


def _finish(
    axes: Sequence[Axes], *, columns: int, lowest: float | None, highest: float | None = None
) -> None:
    """Give panels that share their axes ticks at the levels, and labels along the lower edge."""
    levels = sorted(
        {float(x) for line in axes[0].lines for x in line.get_xdata() if line.get_marker() == "o"}
    )
    for number, place in enumerate(axes):
        place.set_xticks(levels, [f"{level:g}" for level in levels])
        place.grid(axis="x", visible=False)
        is_last = number >= len(axes) - columns
        place.tick_params(labelbottom=is_last)
        place.set_xlabel("level" if is_last else "")
        place.set_ylim(lowest, highest)  # last: it stops the axes from growing


def _row_title(axes: Axes, title: str) -> None:
    axes.text(
        -0.04,
        0.5,
        title,
        transform=axes.transAxes,
        rotation=90,
        va="center",
        ha="right",
        size=8.5,
        weight="bold",
    )
