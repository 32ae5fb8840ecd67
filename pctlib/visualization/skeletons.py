"""Poses as drawings: limbs in the skeleton's colours, hidden joints hollow."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from pctlib.skeletons import Skeleton

LIMB_WIDTH, JOINT_SIZE = 2.0, 16.0  # points, square points
DENSE_KEYPOINTS = 40  # hands and faces: finer lines and dots above it


def draw_skeleton(
    axes: Axes,
    keypoints: np.ndarray,
    *,
    skeleton: Skeleton,
    visible: np.ndarray | None = None,
    color: str | None = None,
    scale: float = 1.0,
) -> None:
    """Draw one pose: limbs coloured by side, visible joints filled, hidden joints hollow with dashed limbs.

    Args:
        axes: where to draw.
        keypoints: [K, 2] in the coordinates of the axes.
        skeleton: the keypoint set.
        visible: [K] COCO flags; 0 is not drawn, 1 is hidden, 2 is visible. None for all visible.
        color: one colour for the whole pose; None for the colours of the skeleton.
        scale: of lines and dots.

    Raises:
        ValueError: if the shapes do not suit the skeleton.
    """
    K = skeleton.num_keypoints
    visible = np.full(K, 2) if visible is None else np.asarray(visible)
    keypoints = np.asarray(keypoints, dtype=float)
    if keypoints.shape != (K, 2) or visible.shape != (K,):
        got = f"{list(keypoints.shape)} and {list(visible.shape)}"
        raise ValueError(
            f"skeleton {skeleton.name}: expected keypoints [{K}, 2] and visible [{K}], got {got}"
        )
    scale = scale * (0.5 if K > DENSE_KEYPOINTS else 1.0)
    for (start, end), limb_color in zip(skeleton.limbs, skeleton.limb_colors, strict=True):
        if min(visible[start], visible[end]) > 0:
            hidden = min(visible[start], visible[end]) == 1
            _draw_limb(axes, keypoints[[start, end]], color or limb_color, hidden=hidden, scale=scale)
    _draw_joints(axes, keypoints, visible, joint_colors(skeleton, color), scale=scale)


def _draw_limb(axes: Axes, ends: np.ndarray, color: str, *, hidden: bool, scale: float) -> None:
    width = LIMB_WIDTH * scale
    line = axes.plot(
        *ends.T,
        color=color,
        linewidth=width,
        linestyle=(0, (1.6, 1.4)) if hidden else "solid",
        solid_capstyle="round",
        zorder=3,
    )
    # A thin light edge keeps a limb apart from a picture of the same colour.
    line[0].set_path_effects([withStroke(linewidth=width + 1.1 * scale, foreground="white", alpha=0.75)])


def _draw_joints(
    axes: Axes, keypoints: np.ndarray, visible: np.ndarray, colors: np.ndarray, *, scale: float
) -> None:
    size = JOINT_SIZE * scale**2
    for flag in (1, 2):
        chosen = visible == flag
        axes.scatter(
            *keypoints[chosen].T,
            s=size,
            facecolors="white" if flag == 1 else colors[chosen],
            edgecolors=colors[chosen] if flag == 1 else "white",
            linewidths=(1.2 if flag == 1 else 0.7) * scale,
            zorder=4,
        )


def joint_colors(skeleton: Skeleton, color: str | None) -> np.ndarray:
    """Return [K] colours: that of the last limb that ends at the joint, grey for a joint without limbs."""
    colors = np.full(skeleton.num_keypoints, color or "#7f7f7f", dtype=object)
    if color is None:
        for (start, end), limb_color in zip(skeleton.limbs, skeleton.limb_colors, strict=True):
            colors[[start, end]] = limb_color
    return colors
