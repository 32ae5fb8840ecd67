"""Curves of training and bars of results."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pctlib.visualization.style import INK, MUTED, STYLE, colors, new_figure

LOG_RATIO = 20  # a loss that falls by more is drawn on a logarithmic axis


@mpl.rc_context(STYLE)
def learning_curves(
    histories: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    metrics: Sequence[str] | None = None,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Show the training loss and each validation metric by epoch; a dashed line marks a reference value.

    Args:
        histories: one row an epoch with the columns epoch, train_loss and val_...; or several by name.
        metrics: columns to show beside the loss; None for every `val_` column.
        references: column -> value of the dashed line.

    Raises:
        ValueError: if a column is missing from every history.
    """
    runs = {"": histories} if isinstance(histories, pd.DataFrame) else dict(histories)
    known = list(dict.fromkeys(column for frame in runs.values() for column in frame.columns))
    shown = ["train_loss", *(metrics or [column for column in known if column.startswith("val_")])]
    unknown = sorted(set(shown) - set(known))
    if unknown:
        raise ValueError(f"histories: no column {unknown}; there are {known}")
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(rows, columns, size=(2.75 * rows, max(4.5, 3.1 * columns)))
    for place in axes[len(shown) :]:
        place.set_axis_off()
    for place, column in zip(axes, shown, strict=False):
        _draw_metric(place, runs, column, (references or {}).get(column))
    if len(runs) > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=min(4, len(runs)))
    return figure


def _draw_metric(axes: Axes, runs: Mapping[str, pd.DataFrame], column: str, reference: float | None) -> None:
    palette = colors(list(runs))
    values = []
    for name, frame in runs.items():
        if column in frame:
            rows = frame[["epoch", column]].dropna()
            axes.plot(rows["epoch"], rows[column], color=palette[name], label=name, marker=_marker(rows))
            values.extend(rows[column])
    if reference is not None:
        axes.axhline(reference, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
        end = axes.get_yaxis_transform()  # x as a share of the axes
        axes.text(1, reference, f"{reference:g}", transform=end, ha="right", va="bottom", size=8)
    if column == "train_loss" and values and min(values) > 0 and max(values) / min(values) > LOG_RATIO:
        axes.set_yscale("log")
    axes.set_title(_readable(column))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _marker(rows: pd.DataFrame) -> str:
    return "o" if len(rows) == 1 else ""


def _readable(column: str) -> str:
    """Return "validation oks ap" for "val_oks_ap", "training loss" for "train_loss"."""
    words = column.split("_")
    words[0] = {"val": "validation", "train": "training"}.get(words[0], words[0])
    text = " ".join(word.upper() if word in ("ap", "ar", "oks", "pck", "mpjpe") else word for word in words)
    return text[:1].upper() + text[1:]


@mpl.rc_context(STYLE)
def bars(
    frame: pd.DataFrame,
    *,
    group: str,
    series: str,
    value: str,
    low: str | None = None,
    high: str | None = None,
    label: str = "",
) -> Figure:
    """Show a value by group and series as horizontal bars; whiskers are its interval.

    Args:
        frame: one row a bar.
        group: column of the groups, such as joints, top to bottom in order of appearance.
        series: column of the bars within a group, such as methods or seen and hidden.
        value: column of the bar lengths.
        low: column of the lower ends of the intervals; goes with `high`.
        high: column of the upper ends.
        label: of the value axis.

    Raises:
        ValueError: if a column is missing, a bar occurs twice, or only one end of the interval is given.
    """
    if (low is None) != (high is None):
        raise ValueError(f"low and high go together, got low={low!r} and high={high!r}")
    needed = [column for column in (group, series, value, low, high) if column is not None]
    if set(needed) - set(frame.columns) or frame.duplicated([group, series]).any():
        raise ValueError(f"frame: expected the columns {needed} and one row a bar, got {list(frame.columns)}")
    groups, names = list(dict.fromkeys(frame[group])), list(dict.fromkeys(frame[series]))
    height = 0.95 + len(groups) * (0.13 * len(names) + 0.13)
    figure, (axes,) = new_figure(size=(height, 7.0))
    thickness = 0.8 / len(names)
    for index, (name, color) in enumerate(colors(names).items()):
        rows = frame[frame[series] == name].set_index(group).reindex(groups)
        places = np.arange(len(groups)) + (index - (len(names) - 1) / 2) * thickness
        axes.barh(places, rows[value], height=thickness * 0.88, color=color, label=str(name))
        if low is not None:
            ends = np.stack([rows[value] - rows[low], rows[high] - rows[value]])  # [2, groups]
            axes.errorbar(rows[value], places, xerr=ends, fmt="none", ecolor=INK, elinewidth=0.9)
    axes.set_yticks(range(len(groups)), [str(name).replace("_", " ") for name in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label or value.replace("_", " "))
    if len(names) > 1:
        figure.legend(loc="outside upper left", ncols=min(4, len(names)))
    return figure
