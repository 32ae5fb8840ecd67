"""Which codebook entries pose tokens use, and which they share."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pctlib.metrics.substructures import entry_overlap, perplexities, similar_order
from pctlib.visualization.style import PALETTE, STYLE, new_figure


@mpl.rc_context(STYLE)
def usage_by_token(usage: np.ndarray) -> Figure:
    """Show how many entries each token uses, and how many equally used entries would say as much.

    Args:
        usage: [M, V] how often each token uses each entry.
    """
    found = perplexities(usage)
    order = np.argsort(-found, kind="stable")
    figure, (axes,) = new_figure(size=(2.8, 6.6))
    used = (usage > 0).sum(axis=1)
    for values, label, color, marker in (
        (used, "entries used", PALETTE[5], "o"),
        (found, "perplexity", PALETTE[0], "D"),
    ):
        axes.plot(values[order], linestyle="none", marker=marker, markersize=5, color=color, label=label)
    axes.set_xticks(range(len(order)), [str(token) for token in order], fontsize=7, rotation=90)
    axes.set(xlabel="token", ylabel="entries", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def usage_by_entry(usage: np.ndarray) -> Figure:
    """Show how often the codebook's entries are used, and by how many tokens each.

    Args:
        usage: [M, V] how often each token uses each entry.
    """
    M, V = usage.shape
    total = usage.sum(axis=0)
    relative = total * V / max(1, total.sum())
    figure, (often, shared) = new_figure(1, 2, size=(2.8, 7.0))
    often.hist(relative, bins=24, range=(0, max(1.0, relative.max())), color=PALETTE[0], rwidth=0.9)
    often.set(xlabel="times used, 1 = as the average entry", ylabel="codebook entries")
    users = (usage > 0).sum(axis=0)
    shared.hist(users, bins=np.arange(-0.5, M + 1.5), color=PALETTE[0], rwidth=0.9)
    shared.set(xlabel=f"tokens that use the entry, of {M}")
    for axes in (often, shared):
        axes.grid(axis="x", visible=False)
    return figure


@mpl.rc_context(STYLE)
def usage_overlap(usage: np.ndarray) -> Figure:
    """Show what share of their entries two tokens have in common; tokens with like entries are neighbours.

    Args:
        usage: [M, V] how often each token uses each entry.
    """
    order, _ = similar_order(usage)
    overlap = entry_overlap(usage)[np.ix_(order, order)]
    np.fill_diagonal(overlap, np.nan)
    figure, (axes,) = new_figure(size=(4.9, 5.6))
    image = axes.imshow(100 * overlap, cmap="YlGnBu", vmin=0)
    size = 7 if len(order) > 20 else 8
    axes.set_xticks(range(len(order)), [str(token) for token in order], rotation=90, fontsize=size)
    axes.set_yticks(range(len(order)), [str(token) for token in order], fontsize=size)
    axes.set(xlabel="token", ylabel="token")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="use in common (%)", fraction=0.045, pad=0.02)
    return figure
