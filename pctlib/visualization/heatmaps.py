"""Heatmaps over the crop that they belong to."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from pctlib.visualization.style import INK, PALETTE, STYLE, new_figure, show_image

_MARKERS = ("o", "x", "+", "D")
_COLORS = ("white", PALETTE[2], PALETTE[5], PALETTE[3])  # seen on inferno and on pictures
_FAINT = 0.01  # a map that is nowhere higher is drawn nearly empty
_DIMMED = 0.5  # brightness of a crop under a map


@mpl.rc_context(STYLE)
def maps_over_crop(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    points: Mapping[str, np.ndarray],
    *,
    stride_xy: tuple[float, float],
) -> Figure:
    """Show a crop with some points, then each map over the crop; the brighter, the higher.

    Args:
        image: uint8 [H, W, 3] RGB, the crop.
        maps: title -> [h, w] heatmap of one keypoint; its highest value is added to the title.
        points: name -> [2] (x, y) pixels of the crop, marked in every panel.
        stride_xy: pixels of the crop from one cell of the maps to the next, along x and along y.

    Raises:
        ValueError: if there is no map, or more points than markers that can be told apart.
    """
    if not maps or len(points) > len(_MARKERS):
        raise ValueError(
            f"expected at least one map and at most {len(_MARKERS)} points, got {len(maps)}, {len(points)}"
        )
    cell = min(2.6, 9.0 / (1 + len(maps)))
    size = (cell * image.shape[0] / image.shape[1] + 0.95, cell * (1 + len(maps)))
    figure, axes = new_figure(1, 1 + len(maps), size=size)
    for number, place in enumerate(axes):
        show_image(place, image if number == 0 else (_DIMMED * image).astype(np.uint8))
        for (name, point), marker, color in zip(points.items(), _MARKERS, _COLORS, strict=False):
            _mark(place, point, name, marker, color)
    for place, (title, heatmap) in zip(axes[1:], maps.items(), strict=True):
        values = np.asarray(heatmap, dtype=float)
        _lay_over(place, values, stride_xy)
        place.set_title(f"{title}\nhighest {values.max():.2f}", fontsize=9, fontweight="normal", pad=3)
    for place in axes:
        place.set_xlim(-0.5, image.shape[1] - 0.5)
        place.set_ylim(image.shape[0] - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(points) or 1)
    return figure


def _mark(axes: Axes, point: np.ndarray, name: str, marker: str, color: str) -> None:
    face = {"markerfacecolor": "none"} if marker in "oD" else {}
    style = {"linestyle": "none", "markersize": 10, "markeredgewidth": 2.2, "markeredgecolor": color}
    line = axes.plot(*np.asarray(point, dtype=float), marker=marker, label=name, zorder=5, **style, **face)
    line[0].set_path_effects([withStroke(linewidth=4.0, foreground=INK)])


def _lay_over(axes: Axes, values: np.ndarray, stride_xy: tuple[float, float]) -> None:
    """Lay a map [h, w] over a crop whose pixel centres are at integers, as those of its cells are."""
    (step_x, step_y), (h, w) = stride_xy, values.shape
    extent = (-0.5 * step_x, (w - 0.5) * step_x, (h - 0.5) * step_y, -0.5 * step_y)
    high = max(float(values.max()), _FAINT)
    alpha = (values / high).clip(0, 0.85)
    axes.imshow(values, cmap="inferno", vmin=0, vmax=high, alpha=alpha, extent=extent, zorder=2)
