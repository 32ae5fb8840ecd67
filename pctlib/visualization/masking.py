"""What a masked autoencoder sees and what it fills in."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pctlib.visualization.style import STYLE, new_figure, show_image

ROWS = ("original", "visible", "filled in")


@mpl.rc_context(STYLE)
def masked_gallery(
    original: Sequence[np.ndarray],
    masked: Sequence[np.ndarray],
    restored: Sequence[np.ndarray],
    *,
    titles: Sequence[str],
) -> Figure:
    """Show crops, what is visible of them, and the crops with the hidden patches filled in.

    Args:
        original: N images, uint8 [H, W, 3] RGB.
        masked: the same with hidden patches greyed.
        restored: the same with hidden patches predicted.
        titles: N short texts above the columns.

    Raises:
        ValueError: if there is no image or the lengths differ.
    """
    pictures = (original, masked, restored)
    lengths = [len(titles), *map(len, pictures)]
    if not lengths[0] or len(set(lengths)) > 1:
        raise ValueError(f"titles, original, masked, restored: expected equal lengths above 0, got {lengths}")
    count = lengths[0]
    cell = min(1.6, 9.0 / count)
    height = cell * max(image.shape[0] / image.shape[1] for image in original)
    figure, axes = new_figure(3, count, size=(3 * height + 0.5, count * cell + 0.3))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for row, (name, images) in enumerate(zip(ROWS, pictures, strict=True)):
        places = axes[row * count : (row + 1) * count]
        for place, image in zip(places, images, strict=True):
            show_image(place, image)
        places[0].text(-0.06, 0.5, name, transform=places[0].transAxes, rotation=90, ha="right", va="center")
    for place, title in zip(axes, titles, strict=False):
        place.set_title(title, fontsize=8.5, fontweight="normal", pad=3)
    return figure
