"""Token anatomy: which joints each pose token moves, and how a pose changes with it."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.cluster.hierarchy import dendrogram

from pctlib.metrics.substructures import Locality, similar_order
from pctlib.skeletons import Skeleton
from pctlib.visualization.skeletons import DENSE_KEYPOINTS, draw_skeleton
from pctlib.visualization.style import INK, MUTED, PALETTE, STYLE, new_figure

PALE = "#d3d1cb"
SEQUENTIAL, DIVERGING = "YlGnBu", "PuOr"
FOUND, OTHER, CONTROL = PALETTE[1], PALETTE[5], "#c9ccd1"


@mpl.rc_context(STYLE)
def influence_map(
    influence: np.ndarray, *, parts: Mapping[str, Sequence[int]], skeleton: Skeleton, unit: str
) -> Figure:
    """Show how far each joint moves when a token alone is replaced; tokens that move alike are neighbours.

    Args:
        influence: [M, K].
        parts: body part -> joints; columns are grouped by them.
        skeleton: the keypoint set.
        unit: of the influence.

    Raises:
        ValueError: if the columns are not those of the skeleton.
    """
    M, K = influence.shape
    if skeleton.num_keypoints != K:
        raise ValueError(f"influence: expected {skeleton.num_keypoints} joints, got {K}")
    order, tree = similar_order(influence)
    columns = [k for joints in parts.values() for k in joints]
    figure, (branches, cells) = new_figure(
        1, 2, size=(2.0 + 0.16 * max(M, 8), 6.6), width_ratios=[1, 6 * max(1.0, K / 17)]
    )
    figure.get_layout_engine().set(wspace=0, w_pad=0.01)
    branches.set_axis_off()
    if len(tree) and tree[-1, 2] > 0:  # not all alike
        with mpl.rc_context({"lines.linewidth": 0.9}):
            dendrogram(tree, ax=branches, orientation="left", no_labels=True, link_color_func=lambda _: MUTED)
    branches.set_ylim(10 * M, 0)
    image = cells.imshow(influence[order][:, columns], cmap=SEQUENTIAL, vmin=0, aspect="auto")
    dense = K > DENSE_KEYPOINTS  # a whole body: only the parts are named
    names = [skeleton.keypoint_names[k].replace("_", " ") for k in columns]
    cells.set_xticks([] if dense else range(K), [] if dense else names, rotation=90, fontsize=8)
    cells.set_yticks(range(M), [str(token) for token in order], fontsize=7 if M > 20 else 8)
    cells.set_ylabel("token")
    _mark_groups(cells, parts)
    figure.colorbar(image, ax=cells, label=f"mean movement ({unit})", fraction=0.035, pad=0.02)
    return figure


def _mark_groups(axes: Axes, parts: Mapping[str, Sequence[int]]) -> None:
    """Name the groups of columns above a heat map, and part them by white lines."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    ends = np.cumsum([len(joints) for joints in parts.values()]) - 0.5
    dense = ends[-1] > DENSE_KEYPOINTS
    for end in ends[:-1]:
        axes.axvline(end, color="white", linewidth=1.0 if dense else 2.5)
    for part, joints, end in zip(parts, parts.values(), ends, strict=True):
        text = part if dense else part.replace(" ", "\n")
        at = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": 8.5}
        axes.text(end - len(joints) / 2, 1.01, text, rotation=90 if dense else 0, **at)


@mpl.rc_context(STYLE)
def influence_bodies(
    influence: np.ndarray,
    pose: np.ndarray,
    *,
    found: Locality,
    skeleton: Skeleton,
    columns: int = 6,
) -> Figure:
    """Show for each token which joints it moves: the area of a disc is the joint's share of the movement.

    Args:
        influence: [M, K].
        pose: [K, 2] to draw it on, y downwards.
        found: names the strongest part of each token; tokens are ordered by part and share.
        skeleton: the keypoint set.
        columns: tokens in a row.
    """
    M = len(influence)
    ranks = list(dict.fromkeys(sorted(found.part, key=_part_rank)))
    order = sorted(range(M), key=lambda token: (ranks.index(found.part[token]), -found.share[token]))
    columns = min(columns, M)
    rows = -(-M // columns)
    figure, axes = new_figure(rows, columns, size=(0.35 + 1.3 * rows, max(4.2, 1.12 * columns)))
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.02, wspace=0, hspace=0)
    for place in axes:
        place.set_axis_off()
    total = influence.sum(axis=1, keepdims=True)
    share = np.divide(influence, total, out=np.zeros_like(influence, dtype=float), where=total > 0)
    dense = skeleton.num_keypoints > DENSE_KEYPOINTS
    for place, token in zip(axes, order, strict=False):
        _draw_pale(place, pose, skeleton=skeleton, width=0.5 if dense else 1.6)
        beyond = found.p_value[token] < 0.05
        size = (2400 if dense else 700) * share[token]
        place.scatter(
            *pose.T,
            s=size,
            color=FOUND if beyond else OTHER,
            alpha=0.8,
            linewidths=0,
            zorder=5,
            clip_on=False,
        )
        _frame(place, pose, room=0.66)
        percent = "" if np.isnan(found.share[token]) else f" {100 * found.share[token]:.0f} %"
        place.set_title(f"{token}: {found.part[token]}{percent}", fontsize=7.5, fontweight="normal", pad=2)
    handles = [
        Line2D([], [], linestyle="none", marker="o", markersize=8, color=color, label=label)
        for color, label in ((FOUND, "beyond chance, p < 0.05"), (OTHER, "within chance"))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=0.3)
    return figure


def _part_rank(part: str) -> tuple[bool, str]:
    return part == "none", part


@mpl.rc_context(STYLE)
def locality_by_token(found: Locality) -> Figure:
    """Show the share of each token's movement in its strongest body part, beside what chance would give."""
    order = np.argsort(np.nan_to_num(found.share), kind="stable")  # the largest ends on top
    M = len(order)
    figure, (axes,) = new_figure(size=(1.3 + 0.17 * M, 6.4))
    places = np.arange(M)
    axes.barh(
        places,
        100 * (found.high - found.low)[order],
        left=100 * found.low[order],
        height=0.62,
        color=CONTROL,
        label="joints exchanged at random (95 %)",
    )
    beyond = np.nan_to_num(found.p_value, nan=1.0)[order] < 0.05
    for chosen, label, face in ((beyond, "token, p < 0.05", FOUND), (~beyond, "token, otherwise", "white")):
        axes.plot(
            100 * found.share[order][chosen],
            places[chosen],
            linestyle="none",
            marker="o",
            markersize=6,
            markerfacecolor=face,
            markeredgecolor=FOUND,
            label=label,
        )
    axes.set_yticks(places, [f"{token}: {found.part[token]}" for token in order], fontsize=7.5)
    axes.set(xlim=(0, 100), ylim=(-0.7, M - 0.3))
    axes.set_xlabel("share of the token's movement in one body part (%)")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0, handletextpad=0.4)
    return figure


@mpl.rc_context(STYLE)
def joint_pairs(matrix: np.ndarray, *, parts: Mapping[str, Sequence[int]], skeleton: Skeleton) -> Figure:
    """Show which joints are moved by the same tokens: 1 always together, 0 unrelated, -1 never together.

    Args:
        matrix: [K, K] from `co_movement`.
        parts: body part -> joints; rows and columns are grouped by them.
        skeleton: the keypoint set.
    """
    columns = [k for joints in parts.values() for k in joints]
    names = [skeleton.keypoint_names[k].replace("_", " ") for k in columns]
    figure, (axes,) = new_figure(size=(5.4, 5.9))
    image = axes.imshow(matrix[np.ix_(columns, columns)], cmap=DIVERGING, vmin=-1, vmax=1)
    dense = len(columns) > DENSE_KEYPOINTS
    if not dense:
        axes.set_xticks(range(len(columns)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(columns)), names, fontsize=8)
    _mark_groups(axes, parts)
    for end in np.cumsum([len(joints) for joints in parts.values()])[:-1]:
        axes.axhline(end - 0.5, color="white", linewidth=1.0 if dense else 2.5)
    figure.colorbar(image, ax=axes, label="moved together", fraction=0.045, pad=0.02)
    return figure


@mpl.rc_context(STYLE)
def walk_gallery(
    pose: np.ndarray,
    rows: Sequence[tuple[str, np.ndarray, Sequence[str]]],
    *,
    skeleton: Skeleton,
) -> Figure:
    """Show where a pose's joints go when one token takes other entries: all of them, then some one by one.

    Args:
        pose: [K, 2], drawn in grey; y downwards.
        rows: a token each: its name, [n, K, 2] the changed poses, and titles of the first of them, which are
            shown one by one; the first column shows the joints of all n.
        skeleton: the keypoint set.

    Raises:
        ValueError: if there is no row, or one has more titles than poses.
    """
    for name, poses, titles in rows:
        if len(titles) > len(poses):
            raise ValueError(f"row {name!r}: {len(titles)} titles for {len(poses)} poses")
    if not rows:
        raise ValueError("rows: expected at least one token")
    columns = 1 + max(len(titles) for _, _, titles in rows)
    figure, axes = new_figure(len(rows), columns, size=(2.25 * len(rows), 1.42 * columns))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    everywhere = np.concatenate([pose, *(poses.reshape(-1, 2) for _, poses, _ in rows)])
    for place in axes:
        place.set_axis_off()
        _frame(place, everywhere, room=0.52)
    for number, (name, poses, titles) in enumerate(rows):
        first, *others = axes[number * columns : (number + 1) * columns]
        _draw_cloud(first, pose, poses, skeleton=skeleton)
        for place, changed, title in zip(others, poses, titles, strict=False):
            draw_change(place, pose, changed, skeleton=skeleton)
            place.set_title(title, fontsize=7.5, fontweight="normal", pad=2)
        at = {"rotation": 90, "va": "center", "ha": "right", "fontsize": 8.5}
        first.text(0, 0.5, name, transform=first.transAxes, **at)
    return figure


def _draw_pale(axes: Axes, pose: np.ndarray, *, skeleton: Skeleton, width: float) -> None:
    """Draw the limbs of a pose [K, 2] in pale grey, as a background."""
    limbs = pose[np.array(skeleton.limbs)]  # [limbs, 2 ends, 2]
    axes.add_collection(LineCollection(limbs, colors=PALE, linewidths=width, capstyle="round"))


def _draw_cloud(axes: Axes, pose: np.ndarray, poses: np.ndarray, *, skeleton: Skeleton) -> None:
    """Draw a pose in grey and the joints of all changed poses as dots, each with its way."""
    _draw_pale(axes, pose, skeleton=skeleton, width=2.2)
    start = np.broadcast_to(pose, poses.shape)
    ways = np.stack([start, poses], axis=2).reshape(-1, 2, 2)  # [n K, 2 ends, 2]
    axes.add_collection(LineCollection(ways, colors=FOUND, linewidths=0.7, alpha=0.45, zorder=5))
    axes.scatter(*poses.reshape(-1, 2).T, s=3, color=FOUND, linewidths=0, zorder=6)
    plural = "entry" if len(poses) == 1 else "entries"
    axes.set_title(f"{len(poses)} {plural}", fontsize=7.5, fontweight="normal", pad=2)


def draw_change(axes: Axes, pose: np.ndarray, changed: np.ndarray, *, skeleton: Skeleton) -> None:
    """Draw a pose [K, 2] in grey, a changed one in colour on top, and the way of each joint between them."""
    _draw_pale(axes, pose, skeleton=skeleton, width=2.2)
    draw_skeleton(axes, changed, skeleton=skeleton, scale=0.7)
    ways = np.stack([pose, changed], axis=1)  # [K, 2 ends, 2]
    axes.add_collection(LineCollection(ways, colors=INK, linewidths=1.4, capstyle="round", zorder=5))


def _frame(axes: Axes, points: np.ndarray, *, room: float) -> None:
    """Fit the axes to points [n, 2], equal scales, y downwards; `room` is half the frame per extent."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, reach = (low + high) / 2, room * np.maximum(high - low, 0.6 * float((high - low).max()) + 1e-6)
    axes.set(xlim=(centre[0] - reach[0], centre[0] + reach[0]))
    axes.set(ylim=(centre[1] + reach[1], centre[1] - reach[1]))
    axes.set_aspect("equal")
