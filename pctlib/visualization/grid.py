"""The grid of codebook sizes and numbers of tokens: heat maps and curves."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pctlib.visualization.style import INK, STYLE, new_figure


@mpl.rc_context(STYLE)
def grid_maps(panels: Mapping[str, pd.DataFrame], *, low_is_good: Mapping[str, bool]) -> Figure:
    """Show metrics of a grid, V down and M across; darker is better, a cross marks a failed point.

    Args:
        panels: title -> means, rows V and columns M, NaN where every run failed.
        low_is_good: title -> whether less is better.
    """
    rows, columns = next(iter(panels.values())).shape
    size = (1.25 + 0.42 * rows, len(panels) * (1.3 + 0.62 * columns))
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
    low, high = np.nanmin(values), np.nanmax(values)
    depth = (values - low) / max(high - low, 1e-12)
    return (1 - depth if low_is_good else depth) > 0.55


@mpl.rc_context(STYLE)
def grid_curves(points: pd.DataFrame, metrics: Mapping[str, str], *, along: str, series: str) -> Figure:
    """Show metrics of a grid against one of its axes, a line for each value of the other; points are runs.

    Args:
        points: one row a run with the columns "V", "M" and the metrics.
        metrics: column -> title.
        along: "V" or "M", the horizontal axis.
        series: the other.
    """
    names = {"V": "entries V", "M": "tokens M"}
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    figure, axes = new_figure(rows, columns, size=(2.6 * rows + 0.3, max(4.5, 2.9 * columns)))
    for place in axes[len(metrics) :]:
        place.set_axis_off()
    values = sorted(points[series].unique())
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(values)))
    for place, (metric, title) in zip(axes, metrics.items(), strict=False):
        for value, color in zip(values, shades, strict=True):
            runs = points[points[series] == value].dropna(subset=[metric]).groupby(along)[metric]
            means = runs.mean()
            place.plot(means.index, means, marker="o", markersize=4, color=color, label=f"{series} = {value}")
            if (runs.size() > 1).any():
                place.fill_between(means.index, runs.min(), runs.max(), color=color, alpha=0.15, linewidth=0)
        place.set(title=title, xlabel=names[along], xscale="log")
        ticks = sorted(points[along].unique())
        place.set_xticks(ticks, [str(t) for t in ticks])
        place.minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=min(5, len(labels)))
    return figure
