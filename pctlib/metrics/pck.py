"""Share of correct keypoints and normalised errors, by joint and by visibility."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pctlib.data.people import People

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PCK:
    """Share of correct keypoints.

    Attributes:
        per_joint: [K] share of each joint, 0 to 1; NaN where the joint is never counted.
        counts: [K] how often each joint is counted.
    """

    per_joint: np.ndarray
    counts: np.ndarray

    @property
    def pooled(self) -> float:
        """Return the share over all counted keypoints: joints weighted by count; NaN if there is none."""
        return (
            float(np.nansum(self.per_joint * self.counts) / self.counts.sum())
            if self.counts.any()
            else np.nan
        )

    @property
    def mean_of_joints(self) -> float:
        """Return the plain mean over the joints that are counted at all; NaN if there is none."""
        return float(np.nanmean(self.per_joint)) if self.counts.any() else np.nan


def distances(keypoints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return Euclidean distances between predicted and annotated keypoints.

    Args:
        keypoints: [N, K, D] predictions.
        truth: [N, K, D], same space and unit.

    Returns:
        [N, K] float64 in that unit.

    Raises:
        ValueError: if the shapes differ or a prediction is not finite; names the row.
    """
    keypoints, truth = np.asarray(keypoints, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if keypoints.shape != truth.shape or keypoints.ndim != 3:
        raise ValueError(f"expected predictions of shape {truth.shape} [N, K, D], got {keypoints.shape}")
    bad = ~np.isfinite(keypoints).all(axis=(1, 2))
    if bad.any():
        raise ValueError(
            f"predictions: row {int(bad.argmax())} has a number that is not finite ({bad.sum()} such rows)"
        )
    return np.linalg.norm(keypoints - truth, axis=-1)


def longer_sides(people: People) -> np.ndarray:
    """Return [N] longer sides of the boxes in pixels, the study's normaliser of PCK."""
    return people.boxes_xywh[:, 2:].max(axis=1).astype(np.float64)


def pck(
    keypoints: np.ndarray,
    truth: np.ndarray,
    counted: np.ndarray,
    *,
    normalizer: np.ndarray,
    threshold: float,
    inclusive: bool = False,
) -> PCK:
    """Return the share of keypoints within `threshold` times the normaliser of their person.

    Source: Yang and Ramanan 2013, "Articulated human detection with flexible mixtures of parts".
    Implementations disagree: at the threshold itself mmpose says wrong (`inclusive` False), HRNet, the MPII
    and the LSP tool kits say right (True).

    Args:
        keypoints: [N, K, D] predictions.
        truth: [N, K, D].
        counted: [N, K] bool, the keypoints that count.
        normalizer: [N] length each person's errors are divided by; persons with 0 are left out, as in mmpose.
        threshold: share of the normaliser.
        inclusive: whether a distance equal to the threshold is right.

    Returns:
        The shares by joint with their counts.

    Raises:
        ValueError: if shapes disagree, a prediction is not finite or a normaliser is negative or not finite.
    """
    errors, counted = _normalized(keypoints, truth, counted, normalizer)
    right = (errors <= threshold if inclusive else errors < threshold) & counted
    counts = counted.sum(axis=0)  # [K]
    shares = np.full(len(counts), np.nan)
    np.divide(right.sum(axis=0), counts, out=shares, where=counts > 0)
    return PCK(per_joint=shares, counts=counts)


def mean_error(
    keypoints: np.ndarray, truth: np.ndarray, counted: np.ndarray, *, normalizer: np.ndarray | None = None
) -> float:
    """Return the mean distance over counted keypoints: EPE without a normaliser, NME with one.

    Source: `keypoint_epe` and `keypoint_nme` of mmpose 1.3.2; persons with normaliser 0 are left out.

    Args:
        keypoints: [N, K, D] predictions.
        truth: [N, K, D].
        counted: [N, K] bool.
        normalizer: [N] lengths; None for 1.

    Returns:
        Unit of the input, or share of the normaliser; NaN if nothing is counted.

    Raises:
        ValueError: as `pck`.
    """
    lengths = np.ones(len(truth)) if normalizer is None else normalizer
    errors, counted = _normalized(keypoints, truth, counted, lengths)
    return float(errors[counted].mean()) if counted.any() else np.nan


def by_visibility(visible: np.ndarray) -> dict[str, np.ndarray]:
    """Return which keypoints are labelled at all, seen (flag 2) and hidden (flag 1), each [N, K] bool."""
    return {"all": visible > 0, "seen": visible == 2, "hidden": visible == 1}


def pck_metrics(
    people: People,
    keypoints_image: np.ndarray,
    *,
    threshold: float = 0.2,
    normalizer: np.ndarray | None = None,
) -> dict[str, float]:
    """Return PCK pooled over keypoints, and the mean normalised error, of all, of seen and of hidden ones.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        threshold: share of the normaliser.
        normalizer: [N] lengths in pixels; None for the longer side of the box.

    Returns:
        `PCK@<threshold> all`, `... seen`, `... hidden`, `NME all`, `NME seen`, `NME hidden`; NaN where no
        keypoint is of that kind.

    Raises:
        ValueError: as `pck`.
    """
    lengths = longer_sides(people) if normalizer is None else normalizer
    parts = by_visibility(people.visible)
    pair = (keypoints_image, people.keypoints_image)
    shares = {
        f"PCK@{threshold:g} {kind}": pck(*pair, part, normalizer=lengths, threshold=threshold).pooled
        for kind, part in parts.items()
    }
    errors = {f"NME {kind}": mean_error(*pair, part, normalizer=lengths) for kind, part in parts.items()}
    return shares | errors


def pck_by_joint(
    people: People,
    keypoints_image: np.ndarray,
    *,
    threshold: float = 0.2,
    normalizer: np.ndarray | None = None,
) -> "pd.DataFrame":
    """Return PCK of each joint as a table.

    Args:
        people: N persons.
        keypoints_image: [N, K, 2] predictions aligned with the rows of `people`, image pixels.
        threshold: share of the normaliser.
        normalizer: [N] lengths in pixels; None for the longer side of the box.

    Returns:
        One row a joint; columns `all`, `seen`, `hidden` (shares) and `n_all`, `n_seen`, `n_hidden` (counts).

    Raises:
        ValueError: as `pck`.
    """
    import pandas as pd  # the command line starts faster without it

    lengths = longer_sides(people) if normalizer is None else normalizer
    columns = {
        kind: pck(keypoints_image, people.keypoints_image, part, normalizer=lengths, threshold=threshold)
        for kind, part in by_visibility(people.visible).items()
    }
    table = {kind: result.per_joint for kind, result in columns.items()}
    table |= {f"n_{kind}": result.counts for kind, result in columns.items()}
    return pd.DataFrame(table, index=pd.Index(people.skeleton.keypoint_names, name="joint"))


def _normalized(
    keypoints: np.ndarray, truth: np.ndarray, counted: np.ndarray, normalizer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors over normalisers [N, K], and what counts of them: not persons with normaliser 0."""
    errors = distances(keypoints, truth)
    lengths, counted = np.asarray(normalizer, dtype=np.float64), np.asarray(counted)
    if counted.shape != errors.shape or counted.dtype != bool or lengths.shape != errors.shape[:1]:
        N, K = errors.shape
        got = f"{counted.dtype} {counted.shape} and {lengths.shape}"
        raise ValueError(f"expected counted bool [{N}, {K}] and normalizer [{N}], got {got}")
    bad = ~(np.isfinite(lengths) & (lengths >= 0))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"normalizer: row {row} is {lengths[row]}, expected a finite number of at least 0")
    scored = (lengths > 0)[:, None]
    scaled = np.divide(errors, lengths[:, None], out=np.zeros_like(errors), where=scored)
    return scaled, counted & scored
