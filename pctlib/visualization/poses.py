"""Poses without images: what a tokenizer gives back."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pctlib.skeletons import Skeleton
from pctlib.visualization.skeletons import draw_skeleton
from pctlib.visualization.style import new_figure

GREY = "#9aa0a6"


def reconstruction_gallery(
    truth: np.ndarray,
    restored: np.ndarray,
    *,
    visible: np.ndarray,
    titles: Sequence[str],
    skeleton: Skeleton,
    hidden: np.ndarray | None = None,
    columns: int = 6,
) -> Figure:
    """Show poses in grey and their reconstructions in colour on top.

    Args:
        truth: [N, K, 2] poses, y downwards.
        restored: [N, K, 2] reconstructions in the same space.
        visible: [N, K] COCO flags; joints that are not labelled are not drawn.
        titles: N short texts.
        skeleton: the keypoint set.
        hidden: [N, K] bool, joints that the reconstruction was not given: hollow and dashed; None for none.
        columns: poses in a row.

    Raises:
        ValueError: if there is no pose or the lengths differ.
    """
    lengths = {len(truth), len(restored), len(visible), len(titles)}
    if lengths == {0} or len(lengths) > 1:
        raise ValueError(f"truth, restored, visible, titles: expected equal lengths above 0, got {lengths}")
    hidden = np.zeros(np.shape(visible), dtype=bool) if hidden is None else np.asarray(hidden)
    if hidden.shape != np.shape(visible):
        raise ValueError(f"hidden: expected {list(np.shape(visible))}, got {list(hidden.shape)}")
    columns = min(columns, len(truth))
    rows = -(-len(truth) // columns)
    figure, axes = new_figure(rows, columns, size=(rows * 2.1, columns * 1.6))
    for place in axes:
        place.set_axis_off()
    for place, pose, back, flags, unseen, title in zip(
        axes, truth, restored, visible, hidden, titles, strict=False
    ):
        shown = np.where(flags > 0, np.where(unseen, 1, 2), 0)
        draw_skeleton(place, pose, skeleton=skeleton, visible=shown, color=GREY, scale=1.2)
        draw_skeleton(place, back, skeleton=skeleton, visible=shown, scale=0.7)
        _frame(place, pose[flags > 0])
        place.set_title(title, fontsize=8)
    return figure


def _frame(axes, points: np.ndarray) -> None:
    """Fit the axes to points [n, 2] with some room, equal scales, y downwards."""
    if len(points) == 0:
        return
    centre = (points.min(0) + points.max(0)) / 2
    reach = max(1.0, 0.62 * float((points.max(0) - points.min(0)).max()))
    axes.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] + reach, centre[1] - reach))
    axes.set_aspect("equal")
