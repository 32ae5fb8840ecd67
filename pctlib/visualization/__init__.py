"""Figures: skeletons, galleries, curves, and what a data set holds. Each function returns a Figure."""

from pctlib.visualization.curves import bars, learning_curves
from pctlib.visualization.galleries import GalleryRow, contact_sheet, prediction_gallery, recovered_joints
from pctlib.visualization.pose_statistics import (
    box_sizes,
    mean_pose,
    normalised_poses,
    occlusion_levels,
    visibility_by_joint,
    visibility_table,
)
from pctlib.visualization.skeletons import draw_skeleton
from pctlib.visualization.style import use_style

__all__ = [
    "GalleryRow",
    "bars",
    "box_sizes",
    "contact_sheet",
    "draw_skeleton",
    "learning_curves",
    "mean_pose",
    "normalised_poses",
    "occlusion_levels",
    "prediction_gallery",
    "recovered_joints",
    "use_style",
    "visibility_by_joint",
    "visibility_table",
]
