"""What a data set holds: which joints are labelled, how large people are, how much of them is hidden."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from pctlib.data.people import People
from pctlib.visualization.skeletons import draw_skeleton
from pctlib.visualization.style import INK, MUTED, PALETTE, STYLE, new_figure

FLAGS = {2: "visible", 1: "hidden", 0: "not labelled"}
COLORS = {2: PALETTE[0], 1: PALETTE[4], 0: "#d3d1cb"}


def visibility_table(people: People) -> pd.DataFrame:
    """Return the share of people by joint and flag: columns joint, visible, hidden, not labelled.

    Raises:
        ValueError: if there are no people.
    """
    _refuse_empty(people)
    shares = {name: (people.visible == flag).mean(axis=0) for flag, name in FLAGS.items()}  # each [K]
    return pd.DataFrame({"joint": people.skeleton.keypoint_names, **shares})


@mpl.rc_context(STYLE)
def visibility_by_joint(people: People) -> Figure:
    """Show for each joint the share of people in whom it is visible, hidden or not labelled."""
    table = visibility_table(people)
    figure, (axes,) = new_figure(size=(1.0 + 0.2 * len(table), 7.0))
    left = np.zeros(len(table))
    for flag, name in FLAGS.items():
        axes.barh(range(len(table)), table[name], left=left, height=0.72, color=COLORS[flag], label=name)
        left += table[name].to_numpy()
    axes.set_yticks(range(len(table)), [name.replace("_", " ") for name in table["joint"]])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def box_sizes(people: People) -> Figure:
    """Show how the longer box sides and the aspect ratios (width / height) of the people are distributed."""
    _refuse_empty(people)
    widths, heights = people.boxes_xywh[:, 2], people.boxes_xywh[:, 3]
    figure, (sides, ratios) = new_figure(1, 2, size=(2.7, 7.4))
    _histogram(sides, np.maximum(widths, heights), "longer box side (px)")
    _histogram(ratios, widths / heights, "width / height")
    sides.set_ylabel("people")
    return figure


@mpl.rc_context(STYLE)
def occlusion_levels(people: People) -> Figure:
    """Show how many people have how large a share of their body, and how many of their joints, hidden.

    Raises:
        ValueError: if there are no people.
    """
    _refuse_empty(people)
    panels = {"hidden joints per person": (people.visible == 1).sum(axis=1)}
    if people.occlusion is not None:
        panels["hidden share of the body inside the image"] = people.occlusion
    figure, axes = new_figure(1, len(panels), size=(2.7, 3.7 * len(panels)))
    for place, (label, values) in zip(axes, panels.items(), strict=True):
        _histogram(place, values, label)
    axes[0].set_ylabel("people")
    return figure


def normalised_poses(people: People) -> np.ndarray:
    """Return [N, K, 2] keypoints from the box centre in units of the longer box side; NaN if not labelled."""
    centre = people.boxes_xywh[:, None, :2] + people.boxes_xywh[:, None, 2:] / 2  # [N, 1, 2]
    side = people.boxes_xywh[:, 2:].max(axis=1)[:, None, None]  # [N, 1, 1]
    poses = (people.keypoints_image - centre) / side
    return np.where(people.labelled[..., None], poses, np.nan)


@mpl.rc_context(STYLE)
def mean_pose(people: People) -> Figure:
    """Show the mean pose in units of the longer box side; ellipses span one standard deviation."""
    _refuse_empty(people)
    poses = normalised_poses(people)
    labelled = people.labelled.any(axis=0)  # [K]
    mean, spread = np.zeros((2, *poses.shape[1:]))  # each [K, 2]
    mean[labelled] = np.nanmean(poses[:, labelled], axis=0)
    spread[labelled] = np.nanstd(poses[:, labelled], axis=0)
    figure, (axes,) = new_figure(size=(4.4, 4.4))
    for (x, y), (width, height) in zip(mean[labelled], spread[labelled], strict=True):
        axes.add_patch(Ellipse((x, y), 2 * width, 2 * height, facecolor=PALETTE[5], alpha=0.16))
    draw_skeleton(axes, mean, skeleton=people.skeleton, visible=2 * labelled)
    reach = 1.05 * max(0.5, (np.abs(mean) + spread).max())
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    axes.set_xlabel("x from the box centre / longer box side")
    axes.set_ylabel("y")
    return figure


def _histogram(axes: mpl.axes.Axes, values: np.ndarray, label: str) -> None:
    whole = np.issubdtype(np.asarray(values).dtype, np.integer)
    bins = np.arange(values.min() - 0.5, values.max() + 1.5) if whole else 24
    axes.hist(values, bins=bins, color=PALETTE[0], rwidth=0.9)
    median = float(np.median(values))
    axes.axvline(median, color=INK, linewidth=1.0, linestyle=(0, (3, 2)))
    axes.set_title(f"median {median:.3g}", fontsize=8.5, fontweight="normal", color=MUTED)
    axes.set_xlabel(label)
    axes.grid(axis="x", visible=False)


def _refuse_empty(people: People) -> None:
    if not len(people):
        raise ValueError(f"{people.source or 'people'}: no people to draw")
