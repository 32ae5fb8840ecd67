"""From poses in detected boxes to a COCO results file: rescoring and suppression of duplicates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pctlib.metrics.matching import MAX_PER_IMAGE


def rescore(box_scores: np.ndarray, keypoint_scores: np.ndarray, *, threshold: float = 0.2) -> np.ndarray:
    """Return box score times the mean confidence of the keypoints above `threshold`; 0 if none is.

    Source: Sun et al. 2019, arXiv:1902.09212, `lib/dataset/coco.py` of HRNet; mmpose's `bbox_keypoint`.

    Args:
        box_scores: [N] scores of the detected boxes; 1 for ground-truth boxes.
        keypoint_scores: [N, K] confidences.
        threshold: a keypoint counts only above it.

    Returns:
        [N] float64.
    """
    confident = keypoint_scores > threshold
    total = np.where(confident, keypoint_scores, 0.0).sum(axis=1)
    return box_scores * total / np.maximum(confident.sum(axis=1), 1)


def pose_similarity(
    pose: np.ndarray,
    others: np.ndarray,
    *,
    area: float,
    other_areas: np.ndarray,
    sigmas: Sequence[float],
    min_confidence: float | None = None,
) -> np.ndarray:
    """Return the OKS between one predicted pose and others, as suppression uses it.

    The area is the mean of the two; all keypoints count, or those with a confidence above `min_confidence`
    in both.

    Source: `oks_iou` of HRNet's `lib/nms/nms.py` and of mmpose.
    Implementations disagree: HRNet's confidence filter is `list(a) and list(b)`, which in Python is
    `list(b)`: the other pose alone decides; mmpose (followed) takes keypoints confident in both.

    Args:
        pose: [K, 3] x, y in image pixels and confidence.
        others: [N, K, 3].
        area: of `pose`, square pixels.
        other_areas: [N].
        sigmas: K standard deviations.
        min_confidence: see above; None takes all keypoints.

    Returns:
        [N] float64; 0 where no keypoint counts.
    """
    squared = ((others[..., :2] - pose[:, :2]).astype(np.float64) ** 2).sum(axis=-1)  # [N, K]
    mean_area = (area + other_areas)[:, None] / 2 + np.spacing(1)  # [N, 1]
    terms = np.exp(-squared / (2 * np.asarray(sigmas)) ** 2 / mean_area / 2)
    counted = np.ones(squared.shape, dtype=bool)
    if min_confidence is not None:
        counted = (pose[:, 2] > min_confidence) & (others[..., 2] > min_confidence)
    return np.where(counted, terms, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)


def suppress_duplicates(
    poses: np.ndarray,
    scores: np.ndarray,
    *,
    areas: np.ndarray,
    sigmas: Sequence[float],
    threshold: float = 0.9,
    min_confidence: float | None = None,
) -> np.ndarray:
    """Return which poses of an image to keep when those similar to a better one go (OKS-NMS, greedy).

    Source: Papandreou et al. 2017, arXiv:1701.01779; `oks_nms` of HRNet and mmpose, threshold
    0.9.

    Args:
        poses: [N, K, 3] x, y in image pixels and confidence.
        scores: [N].
        areas: [N] square pixels.
        sigmas: K standard deviations.
        threshold: a pose goes if its similarity is above it.
        min_confidence: as in `pose_similarity`.

    Returns:
        Kept rows, best score first, int64.
    """
    order = np.argsort(scores)[::-1]
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        similar = pose_similarity(
            poses[best],
            poses[rest],
            area=areas[best],
            other_areas=areas[rest],
            sigmas=sigmas,
            min_confidence=min_confidence,
        )
        order = rest[similar <= threshold]
    return np.array(kept, dtype=np.int64)


def top_down_results(
    image_ids: np.ndarray,
    keypoints_image: np.ndarray,
    *,
    keypoint_scores: np.ndarray,
    box_scores: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float],
    confidence_threshold: float = 0.2,
    nms_threshold: float = 0.9,
    max_per_image: int = MAX_PER_IMAGE,
    category_id: int = 1,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the COCO results of poses estimated in detected boxes, as the HRNet family scores them.

    Rescoring, then suppression in each image, then the best `max_per_image` of it.

    Source: `evaluate` in `lib/dataset/coco.py` of HRNet (arXiv:1902.09212) and mmpose's `CocoMetric`.
    Implementations disagree: the area in the suppression is that of the padded crop box in HRNet and mmpose
    (`prod(scale * 200)`), so pass that to repeat their numbers; the effect is small.

    Args:
        image_ids: [N] image of each pose.
        keypoints_image: [N, K, 2] image pixels.
        keypoint_scores: [N, K] confidences.
        box_scores: [N] of the detector; 1 for ground-truth boxes.
        areas: [N] square pixels.
        sigmas: K standard deviations.
        confidence_threshold: of `rescore`.
        nms_threshold: of `suppress_duplicates`.
        max_per_image: results kept in an image.
        category_id: that the results carry: that of persons in the annotation file.

    Returns:
        The results, ready for `evaluate_coco` and for a JSON file, and in words how many were left out.
    """
    scores = rescore(box_scores, keypoint_scores, threshold=confidence_threshold)
    poses = np.concatenate([keypoints_image, keypoint_scores[..., None]], axis=-1)  # [N, K, 3]
    results, suppressed, beyond = [], 0, 0
    for image_id in np.unique(image_ids):
        rows = np.flatnonzero(image_ids == image_id)
        kept = rows[
            suppress_duplicates(
                poses[rows], scores[rows], areas=areas[rows], sigmas=sigmas, threshold=nms_threshold
            )
        ]
        suppressed += len(rows) - len(kept)
        beyond += max(0, len(kept) - max_per_image)
        results += [_result(image_id, category_id, poses[row], scores[row]) for row in kept[:max_per_image]]
    counts = {
        "poses suppressed as duplicates": suppressed,
        f"poses beyond the best {max_per_image} of their image left out": beyond,
    }
    return results, counts


def _result(image_id: int, category_id: int, pose: np.ndarray, score: float) -> dict[str, Any]:
    """Return one entry of a COCO results file."""
    return {
        "image_id": int(image_id),
        "category_id": category_id,
        "keypoints": [float(value) for value in pose.reshape(-1)],
        "score": float(score),
    }
