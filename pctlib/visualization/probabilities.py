"""What a classifier says: probabilities of a token's entries, and of the bins along an axis."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pctlib.visualization.style import INK, MUTED, PALETTE, STYLE, colors, new_figure


def true_ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return [M] how many entries are more probable than the true one of each token.

    Args:
        probabilities: [M, V].
        labels: [M] the true entries.
    """
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)
    return (probabilities > true).sum(axis=1)


@mpl.rc_context(STYLE)
def token_probabilities(probabilities: np.ndarray, labels: np.ndarray, *, first: int = 12) -> Figure:
    """Show the most probable entries of each token in falling order; a ring marks the true one.

    Args:
        probabilities: [M, V].
        labels: [M] the true entries.
        first: how many entries of each token are shown; the true one has no ring if it is not among them.

    Raises:
        ValueError: if the shapes disagree or a label is no entry.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    shape = probabilities.shape
    if labels.shape != shape[:1] or labels.min() < 0 or labels.max() >= shape[1]:
        raise ValueError(f"labels: expected {shape[0]} entries below {shape[1]}, got {labels.tolist()}")
    shown = min(first, shape[1])
    ranked = -np.sort(-probabilities, axis=1)[:, :shown]  # [M, shown]
    figure, (axes,) = new_figure(size=(1.0 + 0.15 * max(shape[0], 8), 6.2))
    cells = axes.imshow(ranked, cmap="YlGnBu", vmin=0, aspect="auto")
    ranks = true_ranks(probabilities, labels)
    rows = np.flatnonzero(ranks < shown)
    ring = {"marker": "o", "linestyle": "none", "markerfacecolor": "none", "markeredgewidth": 1.6}
    axes.plot(ranks[rows], rows, markersize=7, markeredgecolor=PALETTE[1], label="true entry", **ring)
    axes.set(xlabel="entry, by falling probability", ylabel="token")
    axes.set_xticks(range(shown), [str(rank + 1) for rank in range(shown)])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False)
    figure.colorbar(cells, ax=axes, label="probability", fraction=0.045, pad=0.02)
    figure.legend(loc="outside upper left")
    return figure


@mpl.rc_context(STYLE)
def bin_probabilities(
    methods: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    truth: tuple[float, float],
    bins_per_pixel: float,
) -> Figure:
    """Show what methods say of one keypoint along x and along y; a dashed line marks the truth.

    Args:
        methods: name -> values of the bins along x [Wx] and along y [Wy].
        truth: (x, y) of the keypoint, pixels of the crop.
        bins_per_pixel: bins of a pixel.

    Raises:
        ValueError: if there is no method, or more than a figure has colours for.
    """
    if not methods:
        raise ValueError("methods: expected at least one")
    figure, axes = new_figure(1, 2, size=(2.5, 7.2), sharey=True)
    for name, color in colors(list(methods)).items():
        for place, values in zip(axes, methods[name], strict=True):
            places = np.arange(len(values)) / bins_per_pixel
            place.plot(places, values, color=color, label=name)
    for place, where, axis in zip(axes, truth, "xy", strict=True):
        place.axvline(where, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        place.set(xlabel=f"{axis} (pixels of the crop)", ylim=(0, None))
    axes[0].set_ylabel("share", color=MUTED)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=min(4, len(methods)))
    return figure
