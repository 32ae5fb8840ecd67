"""Predicted poses of a table of people: making, keeping and judging them."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pctlib.data.crops import crop_affine, invert_affine, transform_points
from pctlib.data.people import People
from pctlib.io import existing_file, write_atomic
from pctlib.metrics.coco import coco_ap
from pctlib.metrics.pck import by_visibility, distances, longer_sides, pck_metrics
from pctlib.profiles.sections import CropProfile
from pctlib.reporting.columns import shown

MAIN = ("PCK@0.1 seen", "PCK@0.1 hidden", "AP", "AR", "NME seen", "NME hidden")
"""Metrics of the main results."""


@dataclass(frozen=True)
class Predictions:
    """Poses predicted for N people.

    Attributes:
        keypoints_image: float32 [N, K, 2] image pixels.
        scores: float32 [N, K].
    """

    keypoints_image: np.ndarray
    scores: np.ndarray

    def save(self, path: str | Path, people: People) -> None:
        """Write the predictions with the annotation ids they belong to, as npz."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            annotation_ids=people.annotation_ids,
            keypoints_image=self.keypoints_image,
            scores=self.scores,
        )
        write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def load_predictions(path: str | Path, people: People) -> Predictions:
    """Read predictions and check that they are of these people.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if they belong to other people.
    """
    with np.load(existing_file(path), allow_pickle=False) as archive:
        ids = archive["annotation_ids"]
        if not np.array_equal(ids, people.annotation_ids):
            raise ValueError(
                f"{path}: predictions of {len(ids)} other people, expected those of {people.source}"
            )
        return Predictions(archive["keypoints_image"], archive["scores"])


def mean_pose_predictions(train: People, val: People, crop: CropProfile) -> Predictions:
    """Return the mean pose of the training crops for every person: the floor any method must beat."""
    boxes = torch.from_numpy(train.boxes_xywh)
    affine = crop_affine(boxes, crop.input_size, padding=crop.padding)
    keypoints = transform_points(affine, torch.from_numpy(train.keypoints_image)).numpy()
    weights = train.labelled[..., None].astype(np.float32)  # [N, K, 1]
    mean = (keypoints * weights).sum(0) / np.maximum(weights.sum(0), 1)  # [K, 2]
    back = invert_affine(crop_affine(torch.from_numpy(val.boxes_xywh), crop.input_size, padding=crop.padding))
    placed = transform_points(back, torch.from_numpy(mean).expand(len(val), -1, -1)).numpy()
    return Predictions(placed, np.ones(placed.shape[:2], dtype=np.float32))


def judge(people: People, predictions: Predictions) -> dict[str, float]:
    """Return PCK at 0.1 and 0.2, error of all, seen and hidden joints, and OKS-AP and AR of predictions."""
    metrics = pck_metrics(people, predictions.keypoints_image, threshold=0.1)
    metrics |= pck_metrics(people, predictions.keypoints_image)
    if people.skeleton.sigmas is not None:
        metrics |= coco_ap(people, predictions.keypoints_image, predictions.scores.mean(axis=1))
    return metrics


def joints_found(metrics: Mapping[str, float]) -> str:
    """Return PCK@0.1 in words, such as "84.3 % of the seen and 70.6 % of the hidden joints"."""
    shares = {kind: metrics.get(f"PCK@0.1 {kind}", math.nan) for kind in ("seen", "hidden")}
    parts = [f"{100 * share:.1f} % of the {kind}" for kind, share in shares.items() if math.isfinite(share)]
    return f"{' and '.join(parts)} joints" if parts else "joints that nobody has labelled"


def network_finding(metrics: Mapping[str, float]) -> str:
    """Return in plain words what a network finds; `metrics` as `judge`."""
    precision = f" with an OKS-AP of {100 * metrics['AP']:.1f} %" if "AP" in metrics else ""
    return f"Within 0.1 of the box, the network finds {joints_found(metrics)}{precision}."


def person_errors(people: People, predictions: Predictions, kind: str = "all") -> np.ndarray:
    """Return [N] mean error over the longer box side of "all", "seen" or "hidden" joints; NaN: none."""
    counted = by_visibility(people.visible)[kind]
    errors = distances(predictions.keypoints_image, people.keypoints_image) / longer_sides(people)[:, None]
    total = np.where(counted, errors, 0).sum(1)
    return np.divide(total, counted.sum(1), out=np.full(len(people), np.nan), where=counted.any(1))


def choose_people(
    errors: np.ndarray, *, best: int = 2, median: int = 2, worst: int = 2
) -> list[tuple[int, str]]:
    """Choose people by their error, never by hand: (row, why), from best to worst.

    Args:
        errors: [N], NaN for people who cannot be chosen.
        best: how many of the least errors.
        median: how many around the middle.
        worst: how many of the largest errors.
    """
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    middle = max(0, len(order) // 2 - median // 2)
    chosen = [(int(row), "least error") for row in order[:best]]
    chosen += [(int(row), "median error") for row in order[middle : middle + median]]
    chosen += [(int(row), "largest error") for row in order[::-1][:worst][::-1]]
    return list({row: (row, why) for row, why in chosen}.values())


def results_frame(metrics: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return the main results, one row a method, under the titles of all tables."""
    return pd.DataFrame([{"method": method, **shown(values, MAIN)} for method, values in metrics.items()])
