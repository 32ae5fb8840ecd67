"""Scores of joints as probabilities: calibration on held-out people, and how far scores can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

_POINTS = 200  # of a saved calibration: a step of half a per cent of the joints


@dataclass(frozen=True)
class Calibration:
    """A rising curve from scores to the probability that a joint is found.

    Attributes:
        scores: [n] rising.
        probabilities: [n] in 0..1, not falling; between two scores on a straight line, outside constant.

    Raises:
        ValueError: if the curve is empty, falls, or is not of probabilities.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        x, y = np.asarray(self.scores, float), np.asarray(self.probabilities, float)
        if x.ndim != 1 or x.shape != y.shape or not len(x):
            raise ValueError(
                f"calibration: expected as many scores as probabilities, got {x.shape} and {y.shape}"
            )
        if not np.isfinite([x, y]).all() or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
            raise ValueError("calibration: expected rising scores and probabilities that do not fall")
        if y[0] < 0 or y[-1] > 1:
            raise ValueError(f"calibration: expected probabilities in 0..1, got {y[0]} to {y[-1]}")

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the probabilities of scores of any shape, float32."""
        return np.interp(scores, self.scores, self.probabilities).astype(np.float32)


def fit_calibration(scores: np.ndarray, correct: np.ndarray) -> Calibration:
    """Return the calibration that fits best among all rising curves (isotonic regression).

    Source: Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD.

    Args:
        scores: [n] of labelled joints of people that nothing was trained on.
        correct: bool [n], whether each was found.

    Raises:
        ValueError: if there are fewer than 2 joints, or a score is not finite.
    """
    scores, correct = np.asarray(scores, np.float64).ravel(), np.asarray(correct, bool).ravel()
    if scores.shape != correct.shape or len(scores) < 2:
        raise ValueError(
            f"calibration: expected at least 2 scores and answers, got {scores.shape}, {correct.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("calibration: a score is not finite")
    distinct, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(inverse, correct) / counts
    fitted = np.clip(isotonic_regression(shares, weights=counts).x, 0, 1)
    if len(distinct) > _POINTS:
        kept = np.unique(np.linspace(0, len(distinct) - 1, _POINTS).round().astype(int))
        distinct, fitted = distinct[kept], fitted[kept]
    return Calibration(tuple(distinct.tolist()), tuple(fitted.tolist()))


@dataclass(frozen=True)
class Reliability:
    """How often joints of about one score are found.

    Attributes:
        score: [bins] mean score of the bin.
        found: [bins] share that is found.
        counts: [bins] joints.
        error: expected calibration error: the mean distance of score and share, by count.
    """

    score: np.ndarray
    found: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """Return the expected calibration error, 0..1 for scores in 0..1."""
        return float((np.abs(self.score - self.found) * self.counts).sum() / self.counts.sum())


def reliability(scores: np.ndarray, correct: np.ndarray, *, bins: int = 10) -> Reliability:
    """Return the reliability curve over bins of equally many joints.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning", AAAI; with
    bins of equal count, as empty bins say nothing.

    Args:
        scores: [n].
        correct: bool [n].
        bins: at most so many; fewer joints give fewer.

    Raises:
        ValueError: if there is no joint.
    """
    scores, correct = np.asarray(scores, np.float64).ravel(), np.asarray(correct, bool).ravel()
    if not len(scores) or scores.shape != correct.shape:
        raise ValueError(
            f"reliability: expected as many scores as answers, got {scores.shape}, {correct.shape}"
        )
    parts = np.array_split(np.argsort(scores, kind="stable"), min(bins, len(scores)))
    return Reliability(
        np.array([scores[part].mean() for part in parts]),
        np.array([correct[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def separation(scores: np.ndarray, correct: np.ndarray) -> float:
    """Return how well scores tell found joints from missed ones: the area under the ROC curve.

    The probability that a found joint scores more than a missed one; ties count half. 0.5 is chance; NaN
    where all are found, or none. It does not change under calibration but for ties.
    """
    from scipy.stats import rankdata

    correct = np.asarray(correct, bool).ravel()
    hits, misses = int(correct.sum()), int((~correct).sum())
    if not hits or not misses:
        return float("nan")
    ranks = rankdata(np.asarray(scores, np.float64).ravel())
    return float((ranks[correct].sum() - hits * (hits + 1) / 2) / (hits * misses))


def found_joints(
    keypoints: np.ndarray,
    truth: np.ndarray,
    areas: np.ndarray,
    *,
    sigmas: Sequence[float] | None,
    similarity: float = 0.5,
) -> np.ndarray:
    """Return bool [N, K], whether each joint is found: its term of the OKS is at least `similarity`.

    Args:
        keypoints: [N, K, 2] predictions, image pixels.
        truth: [N, K, 2].
        areas: [N] of the people, square pixels.
        sigmas: K, as in pycocotools; None: 0.08 for every joint, between shoulder and elbow of COCO.
        similarity: 0..1.
    """
    deviations = 2 * np.asarray(sigmas or (0.08,) * keypoints.shape[1])
    squared = ((keypoints - truth).astype(np.float64) ** 2).sum(2)
    return np.exp(-squared / (2 * areas[:, None] * deviations**2)) >= similarity
