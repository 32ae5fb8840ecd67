"""3D poses on paper: as the camera sees them, from the side and from above."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pctlib.skeletons import Skeleton
from pctlib.visualization.skeletons import draw_skeleton
from pctlib.visualization.style import STYLE, new_figure, show_image

TRUTH = "truth"
TRUTH_COLOR = "#555555"
VIEWS = {"as the camera sees it": (0, 1), "from the side": (2, 1), "from above": (0, 2)}
"""Title -> which axes are drawn to the right and downwards; x right, y down, z away from the camera."""


@dataclass(frozen=True)
class PoseRow3D:
    """One person, or one pose that is varied.

    Attributes:
        poses: name -> [K, 3] millimetres from the root; `TRUTH` is drawn in grey, below the others.
        image: uint8 [H, W, 3] RGB, or None for poses without a picture.
        label: why it is shown, such as "median error".
    """

    poses: Mapping[str, np.ndarray]
    image: np.ndarray | None = None
    label: str = ""


@mpl.rc_context(STYLE)
def pose_views(rows: Sequence[PoseRow3D], *, skeleton: Skeleton, colors: Mapping[str, str]) -> Figure:
    """Show poses from three sides, all poses of a row in one frame.

    Args:
        rows: one person each; with pictures in all of them or in none.
        skeleton: the keypoint set.
        colors: name of a pose -> its colour; `TRUTH` has its own.

    Raises:
        ValueError: if there is no row, some rows have a picture and others none, or a pose has no colour.
    """
    pictures = _check(rows, colors)
    columns = pictures + len(VIEWS)
    cell = 9.0 / columns
    figure, axes = new_figure(len(rows), columns, size=(len(rows) * cell + 0.4, 9.0))
    for index, row in enumerate(rows):
        places = axes[index * columns : (index + 1) * columns]
        if pictures:
            show_image(places[0], row.image)
        places[0].set_title(row.label, fontsize=8, fontweight="normal", loc="left", pad=3)
        _draw_views(places[pictures:], row, skeleton=skeleton, colors=colors)
        if index == 0:
            for place, title in zip(places[pictures:], VIEWS, strict=True):
                place.set_xlabel(title, fontsize=8)
                place.xaxis.set_label_position("top")
    names = dict.fromkeys(name for row in rows for name in row.poses)
    handles = [Line2D([], [], color=color_of(name, colors), linewidth=2, label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return figure


def color_of(name: str, colors: Mapping[str, str]) -> str:
    """Return the colour of a pose."""
    return TRUTH_COLOR if name == TRUTH else colors[name]


def _check(rows: Sequence[PoseRow3D], colors: Mapping[str, str]) -> int:
    """Return how many columns pictures take, 0 or 1."""
    if not rows:
        raise ValueError("rows: expected at least one")
    pictures = {row.image is not None for row in rows}
    if len(pictures) > 1:
        raise ValueError("rows: expected a picture in each row, or in none")
    missing = [name for row in rows for name in row.poses if name != TRUTH and name not in colors]
    if missing:
        raise ValueError(f"colors: there is none for {missing[0]!r}")
    return int(pictures.pop())


def _draw_views(
    places: Sequence[Axes], row: PoseRow3D, *, skeleton: Skeleton, colors: Mapping[str, str]
) -> None:
    reach = 1.08 * max(np.abs(pose).max() for pose in row.poses.values())
    for place, (right, down) in zip(places, VIEWS.values(), strict=True):
        for name, pose in sorted(row.poses.items(), key=lambda item: item[0] != TRUTH):
            flat = np.asarray(pose)[:, [right, down]]
            draw_skeleton(place, flat, skeleton=skeleton, color=color_of(name, colors), scale=0.7)
        place.set_aspect("equal")
        place.set_xlim(-reach, reach)
        # From above the camera stands below the picture, so that what is nearer to it is lower.
        place.set_ylim((reach, -reach) if down == 1 else (-reach, reach))
        place.set_xticks([])
        place.set_yticks([])
