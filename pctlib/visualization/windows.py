"""Windows of attention over a crop, and the cells that a cell hears of."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pctlib.visualization.style import PALETTE, STYLE, new_figure, show_image


def borders(windows: np.ndarray) -> np.ndarray:
    """Return [n, 2, 2] the sides of cells that part two windows: (x, y) of both ends, in cells.

    Args:
        windows: [h, w] number of the window each cell lies in; the grid's corner is at (0, 0).
    """
    rows, columns = np.nonzero(windows[:, 1:] != windows[:, :-1])
    upright = np.stack([np.stack([columns + 1, rows], 1), np.stack([columns + 1, rows + 1], 1)], 1)
    rows, columns = np.nonzero(windows[1:] != windows[:-1])
    level = np.stack([np.stack([columns, rows + 1], 1), np.stack([columns + 1, rows + 1], 1)], 1)
    return np.concatenate([upright, level])


@mpl.rc_context(STYLE)
def windows_over_crop(
    image: np.ndarray,
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    cell: tuple[int, int],
) -> Figure:
    """Show the windows of blocks over a crop; cells that the chosen one does not hear of are dark.

    Args:
        image: uint8 [H, W, 3] RGB, the crop.
        panels: title -> ([h, w] number of the window of each cell, [h, w] bool: is it heard of).
        cell: (row, column) of the chosen one, ringed.

    Raises:
        ValueError: if there is no panel, or two grids have not the same shape.
    """
    shapes = {np.shape(part) for pair in panels.values() for part in pair}
    if len(shapes) != 1:
        raise ValueError(f"panels: expected at least one, and grids of one shape, got {sorted(shapes)}")
    side = min(2.6, 9.0 / len(panels))
    size = (side * image.shape[0] / image.shape[1] + 0.4, side * len(panels))
    figure, axes = new_figure(1, len(panels), size=size)
    for place, (title, (windows, heard)) in zip(axes, panels.items(), strict=True):
        _draw(place, image, np.asarray(windows), np.asarray(heard), cell)
        place.set_title(title, fontsize=9, fontweight="normal", pad=3)
    return figure


def _draw(
    axes: Axes, image: np.ndarray, windows: np.ndarray, heard: np.ndarray, cell: tuple[int, int]
) -> None:
    show_image(axes, image)
    (height, width), (h, w) = image.shape[:2], windows.shape
    pixels = np.array([width / w, height / h])  # of a cell
    dark = np.zeros((h, w, 4))
    dark[..., 3] = np.where(heard, 0.0, 0.62)
    axes.imshow(dark, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest", zorder=2)
    lines = LineCollection(borders(windows) * pixels - 0.5, colors="white", linewidths=1.6, zorder=3)
    axes.add_collection(lines)
    centre = (np.array(cell[::-1]) + 0.5) * pixels - 0.5
    colors = {"markerfacecolor": PALETTE[1], "markeredgecolor": "white"}
    axes.plot(*centre, marker="o", markersize=7, zorder=4, **colors)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
