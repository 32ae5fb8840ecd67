"""Whether 3D poses can be those of people: their unit, and left and right."""

import numpy as np

from pctlib.data.camera_space import bone_length
from pctlib.skeletons import Skeleton

# Between these the mean limb of a body in millimetres lies for sure: it is about 250 mm.
_SHORTEST, _LONGEST = 20.0, 5000.0
_DECISIVE = 0.8  # share of the poses that must disagree before sides are said to be exchanged


def check_units(poses: np.ndarray, skeleton: Skeleton, source: str) -> None:
    """Refuse 3D poses [N, K, 3] that cannot be millimetres, by the length of their limbs.

    Raises:
        ValueError: names the source, the mean limb, and the unit that would explain it; or the first joint
            that is not a finite number.
    """
    finite = np.isfinite(poses).all(-1)  # [N, K]
    if not finite.all():
        row, joint = np.argwhere(~finite)[0]
        name = skeleton.keypoint_names[joint]
        raise ValueError(f"{source}: row {row}, 3D joint {joint} ({name}) is not a finite number")
    if len(poses) == 0:
        return
    limb = float(np.median(bone_length(poses, skeleton.limbs)))
    if limb > 0 and not _SHORTEST <= limb <= _LONGEST:  # zeros stand for joints that nobody measured
        unit = "metres" if limb < 1 else "centimetres" if limb < _SHORTEST else "millimetres taken for metres"
        raise ValueError(
            f"{source}: the limbs of its bodies are {limb:.3g} mm long on average, expected about 250 mm; "
            f"the file seems to be in {unit}"
        )


def check_sides(poses: np.ndarray, skeleton: Skeleton, source: str) -> None:
    """Refuse 3D poses [N, K, 3] whose left and right are exchanged, in the legs alone or altogether.

    Hips and shoulders of a person point the same way unless the trunk is turned by more than 90 degrees, and
    knees bend forwards. Nothing is said of a set in which less than four fifths of the poses disagree.

    Raises:
        ValueError: names the source and what is exchanged.
    """
    sides = ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_knee", "right_knee")
    ankles = ("left_ankle", "right_ankle")
    names = (*sides, *ankles)
    if len(poses) == 0 or not set(names) <= set(skeleton.keypoint_names):
        return
    p = {name: poses[:, skeleton.index(name)].astype(np.float64) for name in names}
    across_hips = p["left_hip"] - p["right_hip"]  # [N, 3]
    across_shoulders = p["left_shoulder"] - p["right_shoulder"]
    if _mostly((across_hips * across_shoulders).sum(1) < 0):
        raise ValueError(
            f"{source}: left and right are exchanged in the legs or the arms: hips and shoulders point "
            "opposite ways; in Human3.6M joints 1 to 3 are the right leg, 11 to 13 the left arm"
        )
    trunk = (p["left_shoulder"] + p["right_shoulder"] - p["left_hip"] - p["right_hip"]) / 2
    forwards = np.cross(across_hips, trunk)  # a right-handed frame, as x right, y down, z forward is
    bend = np.zeros(len(poses))
    for side in ("left", "right"):
        middle = (p[f"{side}_hip"] + p[f"{side}_ankle"]) / 2
        bend += ((p[f"{side}_knee"] - middle) * forwards).sum(1)
    if _mostly(bend < 0):
        raise ValueError(
            f"{source}: left and right are exchanged, or the poses are mirrored: the knees bend backwards"
        )


def _mostly(disagrees: np.ndarray) -> bool:
    """Whether a decisive share of the poses [N] disagrees."""
    return bool(disagrees.mean() >= _DECISIVE)
