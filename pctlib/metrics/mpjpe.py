"""Mean per-joint position errors of 3D poses, in millimetres."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pctlib.metrics.pck import distances

if TYPE_CHECKING:
    import pandas as pd


def mpjpe(poses: np.ndarray, truth: np.ndarray, *, labelled: np.ndarray | None = None) -> float:
    """Return the mean distance over labelled joints.

    Nothing is aligned: bring both to the same root before (Human3.6M papers subtract the pelvis).

    Source: Ionescu et al. 2014, "Human3.6M", protocol 1; `keypoint_mpjpe` of mmpose 1.3.2.
    Implementations disagree: the mean is pooled over all labelled joints (mmpose, followed), so a pose with
    fewer labels weighs less; others average poses first. Where all joints are labelled both agree.

    Args:
        poses: [N, K, 3] predictions, millimetres.
        truth: [N, K, 3], same frame.
        labelled: [N, K] bool; None for all.

    Returns:
        Millimetres; NaN if nothing is labelled.

    Raises:
        ValueError: if shapes disagree or a prediction is not finite; names the row.
    """
    errors = distances(poses, truth)
    counted = np.ones(errors.shape, dtype=bool) if labelled is None else np.asarray(labelled)
    if counted.shape != errors.shape or counted.dtype != bool:
        raise ValueError(f"expected labelled bool {errors.shape}, got {counted.dtype} {counted.shape}")
    return float(errors[counted].mean()) if counted.any() else np.nan


def pa_mpjpe(poses: np.ndarray, truth: np.ndarray, *, labelled: np.ndarray | None = None) -> float:
    """Return the mean distance after the best similarity transform of each pose (Procrustes analysis).

    Source: "protocol 2" or P-MPJPE of the Human3.6M literature; `keypoint_mpjpe(alignment='procrustes')` of
    mmpose.
    Implementations disagree: the transform is fitted on all joints, also unlabelled ones (mmpose,
    followed); a reflection is not allowed (mmpose, VideoPose3D), which some MATLAB code allows.

    Args:
        poses: [N, K, 3] predictions, millimetres.
        truth: [N, K, 3].
        labelled: [N, K] bool, what the mean counts; None for all.

    Returns:
        Millimetres; NaN if nothing is labelled.

    Raises:
        ValueError: as `mpjpe`.
    """
    distances(poses, truth)  # refuses what cannot be aligned
    return mpjpe(procrustes_align(poses, truth), truth, labelled=labelled)


def n_mpjpe(poses: np.ndarray, truth: np.ndarray, *, labelled: np.ndarray | None = None) -> float:
    """Return the mean distance after the best scale of each pose.

    Source: Rhodin et al. 2018, arXiv:1803.04775, NMPJPE; `keypoint_mpjpe(alignment='scale')` of mmpose
    1.3.2. The scale is fitted on all joints as they are, without centring, so both poses must be relative
    to the same root.

    Args:
        poses: [N, K, 3] predictions, millimetres.
        truth: [N, K, 3].
        labelled: [N, K] bool, what the mean counts; None for all.

    Returns:
        Millimetres; NaN if nothing is labelled.

    Raises:
        ValueError: as `mpjpe`.
    """
    distances(poses, truth)
    poses, truth = np.asarray(poses, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    own = (poses**2).sum(axis=(1, 2))  # [N]
    scale = np.divide((poses * truth).sum(axis=(1, 2)), own, out=np.ones_like(own), where=own > 0)
    return mpjpe(scale[:, None, None] * poses, truth, labelled=labelled)


def procrustes_align(poses: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return poses scaled, turned and shifted to be nearest to their truth in the least-squares sense.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters"; never a reflection.

    Args:
        poses: [N, K, 3].
        truth: [N, K, 3].

    Returns:
        [N, K, 3] float64 in the frame of `truth`; a pose whose joints coincide becomes the centre of its
        truth.
    """
    poses, truth = np.asarray(poses, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    pose_centre, truth_centre = poses.mean(axis=1, keepdims=True), truth.mean(axis=1, keepdims=True)
    centred, target = poses - pose_centre, truth - truth_centre  # [N, K, 3]
    left, strength, right = np.linalg.svd(np.einsum("nkc,nkd->ncd", centred, target))
    signs = np.ones_like(strength)  # [N, 3]
    signs[:, -1] = np.sign(np.linalg.det(left @ right))
    rotation = (left * signs[:, None]) @ right  # [N, 3, 3], applied from the right
    spread = (centred**2).sum(axis=(1, 2))
    scale = np.divide((strength * signs).sum(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
    return scale[:, None, None] * (centred @ rotation) + truth_centre


def mpjpe_by_action(
    poses: np.ndarray, truth: np.ndarray, *, actions: Sequence[str], labelled: np.ndarray | None = None
) -> "pd.DataFrame":
    """Return MPJPE, PA-MPJPE and N-MPJPE of each action, and both overall means.

    Implementations disagree: papers on Human3.6M report the mean of the actions' errors ("mean of actions");
    mmpose reports the mean over all poses ("all poses"). The actions differ in length, so the two differ.

    Args:
        poses: [N, K, 3] predictions, millimetres.
        truth: [N, K, 3].
        actions: N names.
        labelled: [N, K] bool; None for all.

    Returns:
        Rows: the actions by name, "mean of actions", "all poses"; columns "MPJPE", "PA-MPJPE", "N-MPJPE" in
        millimetres and "poses".

    Raises:
        ValueError: if `actions` does not name each pose; as `mpjpe`.
    """
    import pandas as pd  # the command line starts faster without it

    names = np.asarray(actions)
    if names.shape != (len(truth),):
        raise ValueError(f"expected {len(truth)} actions, one a pose, got shape {names.shape}")
    metrics = {"MPJPE": mpjpe, "PA-MPJPE": pa_mpjpe, "N-MPJPE": n_mpjpe}

    def row(rows: np.ndarray) -> dict[str, float]:
        part = None if labelled is None else labelled[rows]
        values = {name: metric(poses[rows], truth[rows], labelled=part) for name, metric in metrics.items()}
        return values | {"poses": int(rows.sum())}

    table = pd.DataFrame.from_dict(
        {str(name): row(names == name) for name in np.unique(names)}, orient="index"
    )
    table.loc["mean of actions"] = {**table[list(metrics)].mean(), "poses": len(truth)}
    table.loc["all poses"] = row(np.ones(len(truth), dtype=bool))
    return table.astype({"poses": int})
