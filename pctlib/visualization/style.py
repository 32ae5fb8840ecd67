"""One look for every figure of the study: letters, sizes, a palette that colour-blind readers tell apart."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pctlib.visualization.drawn_values import drawn_values

# Okabe and Ito 2008, "Color universal design", without yellow and black.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, MUTED, GRID = "#22252b", "#5f646d", "#e4e2dc"
RECOVERED, MISSED = "#1fa34a", "#e0281f"

STYLE = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#8a8e96",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0,
    "svg.hashsalt": "pctlib",  # without it, ids in an SVG are random
    "svg.fonttype": "path",
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
}


def use_style() -> None:
    """Set the look of all figures drawn from now on; in a notebook, show them sharp on dense screens too."""
    mpl.rcParams.update(STYLE)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        pylabtools = importlib.import_module("IPython.core.pylabtools")
        pylabtools.select_figure_formats(shell, {"retina"})
        _send_values(shell.display_formatter.formatters["image/png"])


def _send_values(formatter: Any) -> None:
    """Let every shown figure carry its numbers as CSV beside its pixels, for the page that is made of it."""
    draw = formatter.lookup_by_type(Figure)

    def draw_with_values(figure: Figure) -> tuple[bytes, dict[str, Any]]:
        pixels, metadata = draw(figure)
        frame = drawn_values(figure)
        values = {"values": frame.to_csv(index=False, lineterminator="\n")} if len(frame) else {}
        return pixels, {**metadata, **values}

    formatter.for_type(Figure, draw_with_values)


def new_figure(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float], **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure that no window manager holds, with its axes row by row.

    Args:
        rows: rows of axes.
        columns: columns of axes.
        size: (height, width) in inches.
        options: of `Figure.subplots`, such as `sharex`.
    """
    figure = Figure(figsize=(size[1], size[0]), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Show an RGB image, uint8 [H, W, 3], without axes; pixel centres are at integers.

    Raises:
        ValueError: if the image is of another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected uint8 [H, W, 3] in RGB, got {image.dtype} {list(image.shape)}")
    axes.imshow(image, interpolation="antialiased")
    axes.set_axis_off()


def colors(names: Sequence[str]) -> dict[str, str]:
    """Return a colour of the palette for each name, by order.

    Raises:
        ValueError: if there are more names than colours a reader can tell apart.
    """
    if len(names) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} series fit a figure, got {len(names)}: {list(names)}")
    return dict(zip(names, PALETTE, strict=False))
