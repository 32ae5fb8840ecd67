"""The grid of codebook sizes and numbers of tokens: heat maps and curves."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pctlib.visualization.style import INK, STYLE, colors, new_figure

_NAMES = {"V": "entries V", "M": "tokens M"}


@mpl.rc_context(STYLE)
def grid_maps(panels: Mapping[str, pd.DataFrame], *, low_is_good: Mapping[str, bool]) -> Figure:
    """Show metrics of a grid, V down and M across; darker is better, a cross marks a failed point.

    Args:
        panels: title -> means, rows V and columns M, NaN where every run failed.
        low_is_good: title -> whether less is better.
    """
    rows, columns = next(iter(panels.values())).shape
    size = (1.25 + 0.42 * rows, max(4.5, len(panels) * (1.3 + 0.62 * columns)))
    figure, axes = new_figure(1, len(panels), size=size)
    for place, (title, means) in zip(axes, panels.items(), strict=True):
        values = means.to_numpy(float)
        shown = np.ma.masked_invalid(values)
        place.imshow(shown, cmap="Blues_r" if low_is_good[title] else "Blues", aspect="auto")
        dark = _dark(values, low_is_good=low_is_good[title])
        for (row, column), value in np.ndenumerate(values):
            text = "×" if np.isnan(value) else f"{value:.3g}"
            color = "white" if dark[row, column] else INK
            place.text(column, row, text, ha="center", va="center", color=color, size=9)
        place.set_xticks(range(columns), [str(m) for m in means.columns])
        place.set_yticks(range(rows), [str(v) for v in means.index])
        place.set(title=title, xlabel="tokens M", ylabel="entries V")
        place.grid(visible=False)
    return figure


def _dark(values: np.ndarray, *, low_is_good: bool) -> np.ndarray:
    """Return where the cell is so dark that its number must be white."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    depth = (values - low) / max(high - low, 1e-12)
    return (1 - depth if low_is_good else depth) > 0.55


@mpl.rc_context(STYLE)
def sweep_curves(frame: pd.DataFrame, *, along: str, series: str) -> Figure:
    """Show metrics of a sweep against one of its axes, a line a series; bands are 95 % intervals.

    Args:
        frame: one row a point; the columns `along`, `series`, metric (a panel each), value, low and high.
        along: column of the horizontal axis, positive numbers.
        series: column of the lines, at most six names or any count of numbers.

    Raises:
        ValueError: if a column is missing.
    """
    needed = [along, series, "metric", "value", "low", "high"]
    if missing := [column for column in needed if column not in frame]:
        raise ValueError(f"frame: no column {missing}; there are {list(frame.columns)}")
    panels = list(dict.fromkeys(frame["metric"])) or ["no point finished"]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, size=(2.6 * rows + 0.3, max(4.5, 2.9 * columns)))
    for place in axes[len(panels) :]:
        place.set_axis_off()
    shades = _shades(list(dict.fromkeys(frame[series])), series)
    for place, title in zip(axes, panels, strict=False):
        place.set(title=title, xlabel=_NAMES.get(along, along), xscale="log")
        for value, (label, color) in shades.items():
            line = frame[(frame["metric"] == title) & (frame[series] == value)].sort_values(along)
            place.plot(line[along], line["value"], marker="o", markersize=4, color=color, label=label)
            place.fill_between(line[along], line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
        _name_ticks(place, sorted(frame[along].unique()))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=min(5, max(1, len(labels))))
    return figure


def _shades(values: Sequence, series: str) -> dict:
    """Return value -> label and colour: shades of one scale for numbers, colours of the palette for names."""
    if all(isinstance(value, str) for value in values):
        return {value: (value, color) for value, color in colors(values).items()}
    values = sorted(values)
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(values)))
    return {value: (f"{series} = {value}", color) for value, color in zip(values, shades, strict=True)}


def _name_ticks(place: Axes, ticks: Sequence[float]) -> None:
    """Write the values of a sweep under a logarithmic axis, and no others."""
    place.set_xticks(ticks, [str(tick) for tick in ticks])
    place.minorticks_off()
