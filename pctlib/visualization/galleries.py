"""Pictures of people with their poses: the contact sheet of a data set, the gallery of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from pctlib.skeletons import Skeleton
from pctlib.visualization.skeletons import draw_skeleton
from pctlib.visualization.style import MISSED, RECOVERED, STYLE, new_figure, show_image


@dataclass(frozen=True)
class GalleryRow:
    """One person and what the methods made of it.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        truth: [K, 2] pixels of `image`.
        visible: [K] COCO flags of the truth.
        predictions: method -> [K, 2] pixels of `image`.
        length: longer side of the person's box in pixels of `image`, the unit of the tolerance.
        label: why this person is shown, such as "median error".
    """

    image: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    predictions: Mapping[str, np.ndarray]
    length: float
    label: str = ""


@mpl.rc_context(STYLE)
def contact_sheet(
    images: Sequence[np.ndarray],
    keypoints: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    *,
    skeleton: Skeleton,
    columns: int = 6,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Show people of a data set with their keypoints: filled where seen, hollow where hidden.

    Args:
        images: N images, uint8 [H, W, 3] RGB, of any sizes.
        keypoints: N times [K, 2], pixels of their images.
        visible: N times [K] COCO flags.
        skeleton: the keypoint set.
        columns: images in a row.
        titles: N short texts above the images.

    Raises:
        ValueError: if there is no image or the lengths differ.
    """
    titles = [""] * len(images) if titles is None else titles
    lengths = [len(images), len(keypoints), len(visible), len(titles)]
    if not lengths[0] or len(set(lengths)) > 1:
        raise ValueError(f"images, keypoints, visible, titles: expected equal lengths above 0, got {lengths}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell = 9.0 / max(columns, 4)
    height = max(image.shape[0] / image.shape[1] for image in images) * cell
    figure, axes = new_figure(rows, columns, size=(rows * (height + 0.2 * any(titles)), columns * cell))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for place in axes:
        place.set_axis_off()
    for place, image, points, flags, title in zip(axes, images, keypoints, visible, titles, strict=False):
        show_image(place, image)
        draw_skeleton(place, points, skeleton=skeleton, visible=flags, scale=min(1.0, cell / 1.6))
        _keep_frame(place, image)
        place.set_title(title, fontsize=8, fontweight="normal", pad=3)
    return figure


@mpl.rc_context(STYLE)
def prediction_gallery(rows: Sequence[GalleryRow], *, skeleton: Skeleton, tolerance: float) -> Figure:
    """Show image, truth and each method; hidden joints that were recovered are ringed green, missed red.

    Args:
        rows: one person each; all have the same methods.
        skeleton: the keypoint set.
        tolerance: a hidden joint is recovered if its error is at most this share of the row's `length`.

    Raises:
        ValueError: if there is no row, methods differ between rows, or the tolerance is not above 0.
    """
    methods = _methods(rows)
    if tolerance <= 0:
        raise ValueError(f"tolerance: expected a share of the length above 0, got {tolerance}")
    columns = ["Image", "Ground truth", *methods]
    cell = min(2.2, 10.0 / len(columns))
    height = max(row.image.shape[0] / row.image.shape[1] for row in rows) * cell
    size = (len(rows) * height + 0.75, len(columns) * cell)
    figure, axes = new_figure(len(rows), len(columns), size=size)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    for index, row in enumerate(rows):
        places = axes[index * len(columns) : (index + 1) * len(columns)]
        _draw_row(places, row, skeleton=skeleton, tolerance=tolerance)
    for place, title in zip(axes, columns, strict=False):
        place.set_title(title, fontsize=9.5)
    figure.legend(handles=ring_handles(), loc="outside lower left", ncols=2, handletextpad=0.3)
    return figure


@mpl.rc_context(STYLE)
def truth_beside(row: GalleryRow, *, skeleton: Skeleton, tolerance: float) -> Figure:
    """Show one person with the true pose and that of each method, large; rings as in `prediction_gallery`."""
    count = 1 + len(row.predictions)
    cell = 6.6 / count
    size = (cell * row.image.shape[0] / row.image.shape[1] + 0.6, cell * count)
    figure, axes = new_figure(1, count, size=size)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01)
    draw_truth(axes[0], row, skeleton=skeleton)
    for place, method in zip(axes[1:], row.predictions, strict=True):
        draw_prediction(place, row, method, skeleton=skeleton, tolerance=tolerance)
    for place, title in zip(axes, ["Truth", *row.predictions], strict=True):
        place.set_title(title, fontsize=9.5)
    figure.legend(handles=ring_handles(), loc="outside lower left", ncols=2, handletextpad=0.3)
    return figure


@mpl.rc_context(STYLE)
def one_person(image: np.ndarray, readings: Mapping[str, tuple[Skeleton, np.ndarray]]) -> Figure:
    """Show a person, and poses of several keypoint sets found in the same picture.

    Args:
        image: uint8 [H, W, 3] RGB.
        readings: name -> keypoint set and [K, 2] pixels of `image`; one panel each.
    """
    count = 1 + len(readings)
    cell = min(2.4, 9.0 / count)
    size = (cell * image.shape[0] / image.shape[1] + 0.3, cell * count)
    figure, axes = new_figure(1, count, size=size)
    for place in axes:
        show_image(place, image)
    for place, (name, (skeleton, keypoints)) in zip(axes[1:], readings.items(), strict=True):
        draw_skeleton(place, keypoints, skeleton=skeleton)
        _keep_frame(place, image)
        place.set_title(f"{name}, {skeleton.num_keypoints} keypoints", fontsize=9, fontweight="normal")
    return figure


def recovered_joints(row: GalleryRow, method: str, *, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the hidden joints that a method recovered, and of those that it missed.

    Args:
        row: the person.
        method: a key of its predictions.
        tolerance: largest error of a recovered joint, as a share of the row's `length`.
    """
    error = np.linalg.norm(np.asarray(row.predictions[method]) - row.truth, axis=1)  # [K]
    hidden = np.asarray(row.visible) == 1
    close = error <= tolerance * row.length
    return np.flatnonzero(hidden & close), np.flatnonzero(hidden & ~close)


def _methods(rows: Sequence[GalleryRow]) -> list[str]:
    if not rows:
        raise ValueError("rows: expected at least one person")
    methods = list(rows[0].predictions)
    for index, row in enumerate(rows):
        if list(row.predictions) != methods:
            raise ValueError(f"rows[{index}]: expected the methods {methods}, got {list(row.predictions)}")
    return methods


def _draw_row(places: Sequence[Axes], row: GalleryRow, *, skeleton: Skeleton, tolerance: float) -> None:
    show_image(places[0], row.image)
    if row.label:
        badge = {"boxstyle": "round,pad=0.3", "facecolor": "white", "alpha": 0.85, "edgecolor": "none"}
        places[0].text(0.03, 0.975, row.label, transform=places[0].transAxes, va="top", size=8, bbox=badge)
    _keep_frame(places[0], row.image)
    draw_truth(places[1], row, skeleton=skeleton)
    for place, method in zip(places[2:], row.predictions, strict=True):
        draw_prediction(place, row, method, skeleton=skeleton, tolerance=tolerance)


def draw_truth(axes: Axes, row: GalleryRow, *, skeleton: Skeleton, scale: float = 1.0) -> None:
    """Draw the picture of a person with the true pose, hidden joints hollow."""
    show_image(axes, row.image)
    draw_skeleton(axes, row.truth, skeleton=skeleton, visible=row.visible, scale=scale)
    _keep_frame(axes, row.image)


def draw_prediction(
    axes: Axes, row: GalleryRow, method: str, *, skeleton: Skeleton, tolerance: float, scale: float = 1.0
) -> None:
    """Draw the picture of a person with the pose that a method found, its hidden joints ringed.

    Args:
        axes: where to draw.
        row: the person.
        method: a key of its predictions.
        skeleton: the keypoint set.
        tolerance: a hidden joint is recovered if its error is at most this share of the row's `length`.
        scale: of lines, dots and rings.
    """
    show_image(axes, row.image)
    keypoints = np.asarray(row.predictions[method])
    labelled = np.where(np.asarray(row.visible) > 0, 2, 0)
    draw_skeleton(axes, keypoints, skeleton=skeleton, visible=labelled, scale=scale)
    good, bad = recovered_joints(row, method, tolerance=tolerance)
    _ring(axes, keypoints[good], RECOVERED, "solid", scale)
    _ring(axes, keypoints[bad], MISSED, (0, (1.5, 0.9)), scale)
    _keep_frame(axes, row.image)


def _ring(axes: Axes, points: np.ndarray, color: str, style: str | tuple, scale: float) -> None:
    size, width = 95 * scale**2, 1.9 * scale
    rings = axes.scatter(
        *points.T, s=size, facecolors="none", edgecolors=color, linewidths=width, linestyles=style, zorder=6
    )
    rings.set_path_effects([withStroke(linewidth=1.7 * width, foreground="white", alpha=0.8)])


def ring_handles() -> list[Line2D]:
    """Return the legend's rings; shape tells them apart without colour."""
    labels = {RECOVERED: "hidden joint recovered", MISSED: "hidden joint missed (dashed)"}
    shape = {"marker": "o", "linestyle": "none", "markersize": 9, "markerfacecolor": "none"}
    return [
        Line2D([], [], markeredgecolor=color, markeredgewidth=1.9, label=label, **shape)
        for color, label in labels.items()
    ]


def _keep_frame(axes: Axes, image: np.ndarray) -> None:
    """Keep the limits at the image, whatever was drawn beyond it."""
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
