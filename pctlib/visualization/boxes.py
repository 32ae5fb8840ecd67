"""Boxes of parts over a crop, and what is inside them."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pctlib.visualization.style import STYLE, colors, new_figure, show_image


@mpl.rc_context(STYLE)
def boxes_over_crop(image: np.ndarray, boxes: Mapping[str, np.ndarray], *, parts: Sequence[str]) -> Figure:
    """Show a crop with boxes of its parts, then each part as the first of the given boxes cuts it out.

    Args:
        image: uint8 [H, W, 3] RGB, the crop.
        boxes: name -> [P, 4] (x1, y1, x2, y2) pixels of the crop.
        parts: names of the P parts.

    Raises:
        ValueError: if there are no boxes, or not one for each part.
    """
    shapes = {name: np.shape(values) for name, values in boxes.items()}
    if not boxes or set(shapes.values()) != {(len(parts), 4)}:
        raise ValueError(f"boxes: expected [{len(parts)}, 4] of at least one name, got {shapes}")
    side = min(2.4, 9.0 / (1 + len(parts)))
    size = (side * image.shape[0] / image.shape[1] + 0.7, side * (1 + len(parts)))
    figure, axes = new_figure(1, 1 + len(parts), size=size)
    for place in axes:
        show_image(place, image)
    for (name, values), color in zip(boxes.items(), colors(list(boxes)).values(), strict=True):
        for number, box in enumerate(np.asarray(values, dtype=float)):
            _outline(axes[0], box, color, name if number == 0 else "")
    cut = np.asarray(next(iter(boxes.values())), dtype=float)
    for place, part, (left, top, right, bottom) in zip(axes[1:], parts, cut, strict=True):
        place.set(xlim=(left, right), ylim=(bottom, top))
        place.set_title(part, fontsize=9, fontweight="normal", pad=3)
    height, width = image.shape[:2]
    axes[0].set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(boxes))
    return figure


def _outline(axes: Axes, box: np.ndarray, color: str, label: str) -> None:
    left, top, right, bottom = box
    outline = Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, lw=2, label=label)
    axes.add_patch(outline)
