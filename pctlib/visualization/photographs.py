"""Poses drawn into photographs with the pixels of the photograph kept: for many pictures and for videos."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from pctlib.skeletons import Skeleton
from pctlib.visualization.skeletons import DENSE_KEYPOINTS, joint_colors

_OVERSAMPLING = 3  # lines are drawn so many times larger and scaled down: Pillow knows no smooth lines
_MAX_LAYER = 4_000_000  # pixels of a larger layer are drawn as they are
_EDGE = (255, 255, 255, 190)


def draw_poses(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    *,
    skeleton: Skeleton,
    min_score: float,
    labels: Iterable[str] = (),
) -> Image.Image:
    """Return the photograph with all poses drawn; joints that score less than `min_score` are left out.

    Lines get wider with the person and with the photograph, so that both a portrait and a crowd can be read.

    Args:
        image: uint8 [H, W, 3] RGB; it is not changed.
        keypoints: [N, K, 2] image pixels.
        scores: [N, K].
        skeleton: the keypoint set.
        min_score: of joints that are drawn.
        labels: a short text a person, such as its number, written at its highest joint.

    Raises:
        ValueError: if the shapes do not suit the skeleton.
    """
    K = skeleton.num_keypoints
    if keypoints.shape[1:] != (K, 2) or scores.shape != keypoints.shape[:2]:
        got = f"{list(keypoints.shape)} and {list(scores.shape)}"
        raise ValueError(
            f"skeleton {skeleton.name}: expected keypoints [N, {K}, 2], scores [N, {K}], got {got}"
        )
    canvas = Image.fromarray(image)
    texts = [*labels, *[""] * len(keypoints)]
    for pose, shown, text in zip(keypoints, scores >= min_score, texts, strict=False):
        inside = shown & np.isfinite(pose).all(1)
        if inside.any():
            _draw_person(canvas, pose, inside, skeleton, text)
    return canvas


def _draw_person(
    canvas: Image.Image, pose: np.ndarray, shown: np.ndarray, skeleton: Skeleton, text: str
) -> None:
    """Draw one pose [K, 2] into the canvas, on a layer of its own."""
    points = pose[shown]
    extent = float(np.ptp(points, axis=0).max())
    width = float(np.clip(0.012 * extent, 0.0025 * max(canvas.size), 0.008 * max(canvas.size)))
    width = max(width, 1.2) * (0.45 if skeleton.num_keypoints > DENSE_KEYPOINTS else 1.0)
    room = 4 * width + 2
    left, top = np.maximum(np.floor(points.min(0) - room), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(points.max(0) + room), canvas.size).astype(int).tolist()
    if right <= left or bottom <= top:
        return  # all of it lies outside the picture
    n = _OVERSAMPLING if (right - left) * (bottom - top) * _OVERSAMPLING**2 <= _MAX_LAYER else 1
    layer = Image.new("RGBA", (n * (right - left), n * (bottom - top)))
    on_layer = (pose + 0.5 - (left, top)) * n  # pixel centres are at integers, Pillow's at halves
    _draw_limbs(ImageDraw.Draw(layer), on_layer, shown, skeleton, n * width)
    _draw_joints(ImageDraw.Draw(layer), on_layer, shown, skeleton, n * width)
    layer = layer.reduce(n)
    canvas.paste(layer, (left, top), layer)
    if text:
        _write(canvas, text, points[points[:, 1].argmin()], width)


def _draw_limbs(
    draw: ImageDraw.ImageDraw, pose: np.ndarray, shown: np.ndarray, skeleton: Skeleton, width: float
) -> None:
    """Draw the limbs whose ends are both shown: all light edges first, so that none crosses another limb."""
    limbs = [
        (pose[[a, b]], color)
        for (a, b), color in zip(skeleton.limbs, skeleton.limb_colors, strict=True)
        if shown[a] and shown[b]
    ]
    for extra in (0.6 * width, 0.0):
        for ends, color in limbs:
            fill = _EDGE if extra else color
            draw.line(ends.ravel().tolist(), fill=fill, width=max(round(width + extra), 1))


def _draw_joints(
    draw: ImageDraw.ImageDraw, pose: np.ndarray, shown: np.ndarray, skeleton: Skeleton, width: float
) -> None:
    colors = joint_colors(skeleton, None)
    for (x, y), color in zip(pose[shown], colors[shown], strict=True):
        for radius, fill in ((1.25 * width, _EDGE), (0.95 * width, color)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _write(canvas: Image.Image, text: str, place: np.ndarray, width: float) -> None:
    """Write a label above a point [2]."""
    size = max(round(5 * width), 11)
    x, y = place[0], max(place[1] - 2.5 * width - size, 0)
    draw = ImageDraw.Draw(canvas)
    draw.text((x, y), text, fill="white", font_size=size, stroke_width=max(size // 9, 1), stroke_fill="black")
