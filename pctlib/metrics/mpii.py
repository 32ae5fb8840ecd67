"""MPII: PCKh of single persons."""

from pathlib import Path

import numpy as np

from pctlib.data.containers import read_hdf5_fields, read_matlab
from pctlib.io import existing_file
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.pck import PCK, pck
from pctlib.skeletons import MPII

_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS = {"Head": (MPII.index("head_top"),)} | {
    name.capitalize(): (MPII.index(f"left_{name}"), MPII.index(f"right_{name}")) for name in _SIDED
}
_LEFT_OUT = [MPII.index("pelvis"), MPII.index("thorax")]  # of the means
THRESHOLDS = (0.5, 0.1, 0.11)


def evaluate_mpii(
    annotations: str | Path,
    predictions: str | Path | np.ndarray,
    *,
    pixel_origin: int = 1,
    first: int | None = None,
) -> Evaluation:
    """Score predictions against the HDF5 annotations of the stacked-hourglass code (`valid.h5`).

    Source: Andriluka et al. 2014, "2D Human Pose Estimation"; tables as `lib/dataset/mpii.py` of HRNet.

    Args:
        annotations: HDF5 with `part` [N, 16, 2] in Matlab's pixels (the first is 1), (0, 0) where not
            annotated, and `normalize` [N], 0.6 times the diagonal of the head box.
        predictions: HDF5 or Matlab file with `preds` [N, 16, 2] (also [2, 16, N], as Matlab writes it), in
            the order of the annotations; or that array.
        pixel_origin: number of the first pixel in the predictions: 1 in the public reference files and in
            HRNet's `pred.mat`, 0 in arrays that were never shifted.
        first: score the first so many persons only, when the annotations are a part of a longer list.

    Returns:
        As `pckh_table`, in percent, with the counts.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged, lacks a field, or the numbers of persons or joints differ.
    """
    if pixel_origin not in (0, 1):
        raise ValueError(f"pixel_origin: expected 0 or 1, got {pixel_origin}")
    fields = read_hdf5_fields(annotations, ("part", "normalize"))
    truth, lengths = fields["part"].astype(np.float64), fields["normalize"].astype(np.float64)
    if truth.ndim != 3 or truth.shape[1:] != (MPII.num_keypoints, 2) or lengths.shape != truth.shape[:1]:
        raise ValueError(
            f"{annotations}: expected part [N, 16, 2] and normalize [N], got {truth.shape}, {lengths.shape}"
        )
    guess, source = read_predictions(predictions) + (1 - pixel_origin), str(annotations)
    guess, truth, lengths = (array[:first] for array in (guess, truth, lengths))
    if guess.shape != truth.shape:
        name = "predictions" if isinstance(predictions, np.ndarray) else predictions
        raise ValueError(
            f"{name}: {len(guess)} persons, but {source} has {len(truth)}; `first` scores the first of both"
        )
    labelled = (truth != 0).any(axis=-1)
    rows = pckh_table(guess, truth, labelled, normalizer=lengths)
    counts = {
        "persons": len(truth),
        "joints scored": int(labelled[lengths > 0].sum()),
        "joints not annotated left out": int((~labelled).sum()),
        "persons without a head size left out": int((lengths == 0).sum()),
    }
    return Evaluation("MPII PCKh, percent", rows, counts)


def pckh_table(
    keypoints: np.ndarray, truth: np.ndarray, labelled: np.ndarray, *, normalizer: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return PCKh in percent by groups of joints, as papers print it.

    Head is the joint "head top" alone, the other groups are plain means of left and right. `Mean` is HRNet's:
    over all annotated joints without pelvis and thorax, so joints weigh by their count. `Plain mean (14
    joints)` weighs the same joints equally, `Plain mean (16 joints)` also has pelvis and thorax.

    Source: `lib/dataset/mpii.py` of HRNet (Sun et al. 2019, arXiv:1902.09212).
    Implementations disagree: HRNet's published "Mean@0.1" reads entry 11 of a grid of 0.01, which is
    PCKh@0.11; mmpose 1.x reads entry 10. Both are rows here, each under its true threshold: compare
    `PCKh@0.11` with published "Mean@0.1". A distance equal to the threshold is right in HRNet and the MPII
    tool kit (followed) and wrong in mmpose.

    Args:
        keypoints: [N, 16, 2] predictions.
        truth: [N, 16, 2], same frame.
        labelled: [N, 16] bool.
        normalizer: [N] reference length, 0.6 times the diagonal of the head box; persons with 0 are left out.

    Returns:
        Rows PCKh@0.5, PCKh@0.1 and PCKh@0.11, columns Head ... Ankle and the three means; NaN where a group
        has no annotated joint.

    Raises:
        ValueError: as `pck`.
    """
    rows = {}
    for threshold in THRESHOLDS:
        shares = pck(keypoints, truth, labelled, normalizer=normalizer, threshold=threshold, inclusive=True)
        rows[f"PCKh@{threshold:g}"] = {name: 100 * value for name, value in _row(shares).items()}
    return rows


def _row(shares: PCK) -> dict[str, float]:
    """Return one line of the table as shares."""
    kept = np.delete(np.arange(MPII.num_keypoints), _LEFT_OUT)
    limbs = PCK(per_joint=shares.per_joint[kept], counts=shares.counts[kept])
    groups = {name: float(shares.per_joint[list(joints)].mean()) for name, joints in GROUPS.items()}
    return groups | {
        "Mean": limbs.pooled,
        "Plain mean (14 joints)": limbs.mean_of_joints,
        "Plain mean (16 joints)": shares.mean_of_joints,
    }


def read_predictions(
    predictions: str | Path | np.ndarray, *, num_keypoints: int = MPII.num_keypoints
) -> np.ndarray:
    """Return `preds` of an HDF5 or Matlab file as float64 [N, K, 2].

    Args:
        predictions: file, or that array.
        num_keypoints: K.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither, lacks `preds`, has another shape or a number that is not finite.
    """
    import h5py  # of all that imports this module, only this reads such files

    if isinstance(predictions, np.ndarray):
        name, array = "predictions", predictions
    elif h5py.is_hdf5(existing_file(predictions)):  # also Matlab 7.3
        name, array = str(predictions), read_hdf5_fields(predictions, ("preds",))["preds"]
    else:
        name, array = str(predictions), np.asarray(read_matlab(predictions, "preds"))
    K = num_keypoints
    array = array[None] if array.shape == (K, 2) else array  # Matlab files lose an axis of length 1
    if array.ndim == 3 and array.shape[:2] == (2, K) and array.shape[1:] != (K, 2):
        array = array.transpose(2, 1, 0)
    if array.ndim != 3 or array.shape[1:] != (K, 2):
        raise ValueError(f"{name}: preds has shape {array.shape}, expected [N, {K}, 2] or [2, {K}, N]")
    bad = ~np.isfinite(array).all(axis=(1, 2))
    if bad.any():
        raise ValueError(f"{name}: preds of person {int(bad.argmax())} has a number that is not finite")
    return array.astype(np.float64)
