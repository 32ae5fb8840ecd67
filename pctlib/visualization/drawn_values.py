"""The numbers that a figure shows, read from the figure itself, so that every page can offer them."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

COLUMNS = ["panel", "series", "x", "y", "value"]


def drawn_values(figure: Figure) -> pd.DataFrame:
    """Return the points, bars and cells that a figure draws, one row each.

    Pictures, skeletons on hidden axes, and lines that mark a place (`axhline`) are no values.

    Returns:
        Columns of `COLUMNS`: title of the panel (its axis label where it has none), label of the series, x
        and y in the units of the axes, and, for the cells of a heat map, their value. Category names stand in
        place of tick positions. Empty for a figure of pictures.
    """
    rows = [row for axes in figure.axes if axes.axison for row in _rows(axes)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.dropna(axis=1, how="all") if len(frame) else frame


def _rows(axes: Axes) -> Iterator[tuple]:
    panel = axes.get_title("left") or axes.get_title() or axes.get_ylabel() or axes.get_xlabel()
    names = [_names(axis) for axis in (axes.xaxis, axes.yaxis)]
    for line in axes.lines:
        if line.get_transform() == axes.transData:
            for x, y in np.column_stack([np.asarray(d, dtype=float) for d in line.get_data(orig=False)]):
                yield panel, _label(line), names[0].get(x, x), names[1].get(y, y), None
    for container in axes.containers:
        if isinstance(container, BarContainer):
            for bar in container.patches:
                yield panel, _label(container), *_bar(bar, container.orientation, names), None
    for mesh in [*axes.collections, *axes.images]:
        cells = mesh.get_array()
        if cells is not None and cells.ndim == 2:
            for (row, column), value in np.ndenumerate(np.ma.filled(cells.astype(float), np.nan)):
                yield panel, _label(mesh), *_cell(mesh, row, column, names), value


def _bar(bar, orientation: str, names: list[dict]) -> tuple:
    x, y = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2
    if orientation == "horizontal":
        return bar.get_x() + bar.get_width(), _nearest(names[1], y)
    return _nearest(names[0], x), bar.get_y() + bar.get_height()


def _cell(mesh, row: int, column: int, names: list[dict]) -> tuple:
    shift = 0.5 if hasattr(mesh, "get_coordinates") else 0.0  # of a QuadMesh the ticks are at cell centres
    return _nearest(names[0], column + shift), _nearest(names[1], row + shift)


def _names(axis) -> dict[float, str]:
    """Return tick position -> text where the ticks are named by words."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}
    labels = [tick.get_text() for tick in axis.get_ticklabels()]
    return dict(zip(axis.get_ticklocs().tolist(), labels, strict=False))


def _nearest(names: dict[float, str], place: float) -> float | str:
    return names[min(names, key=lambda tick: abs(tick - place))] if names else place


def _label(artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label
