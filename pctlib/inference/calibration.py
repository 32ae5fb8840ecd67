"""Calibrations beside weights: fitted on held-out people, found again by every prediction."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pctlib.data.people import People
from pctlib.inference.network import PoseNetwork
from pctlib.io import read_json, write_json
from pctlib.metrics.confidence import (
    Calibration,
    fit_calibration,
    found_joints,
    reliability,
    separation,
)


class Calibrated(NamedTuple):
    """A calibration and how good it is.

    calibration: fitted on all people; joints: labelled joints of them; error: expected calibration error on
    the half of the images that it was not fitted on, when fitted on the other half; before: that of the
    scores as they were, NaN where they are no values of 0..1; separation: area under the ROC curve; seen,
    hidden: mean probability of seen and of hidden joints on that half, NaN where there are none.
    """

    calibration: Calibration
    joints: int
    error: float
    before: float
    separation: float
    seen: float
    hidden: float


def calibrate(people: People, keypoints: np.ndarray, scores: np.ndarray, *, seed: int = 0) -> Calibrated:
    """Fit a calibration on annotated people that nothing was trained on.

    A joint is found where its term of the OKS is at least 1/2.

    Args:
        people: N people.
        keypoints: [N, K, 2] predictions, image pixels.
        scores: [N, K].
        seed: of the halves.

    Raises:
        ValueError: if there are fewer than two images with labelled joints.
    """
    truth, sigmas = people.keypoints_image, people.skeleton.sigmas
    found, labelled = found_joints(keypoints, truth, people.areas, sigmas=sigmas), people.labelled
    first = _first_half(people, seed)
    half, other = labelled & first[:, None], labelled & ~first[:, None]
    fitted = fit_calibration(scores[half], found[half])
    told = fitted(scores)
    in_range = scores[other].min() >= 0 and scores[other].max() <= 1
    return Calibrated(
        fit_calibration(scores[labelled], found[labelled]),
        int(labelled.sum()),
        reliability(told[other], found[other]).error,
        reliability(scores[other], found[other]).error if in_range else float("nan"),
        separation(scores[other], found[other]),
        *(_mean(told[other & (people.visible == flag)]) for flag in (2, 1)),
    )


def cross_calibrated(
    people: People, keypoints: np.ndarray, scores: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Return probabilities [N, K] of joints, those of each half of the images fitted on the other half.

    Arguments and errors as `calibrate`: what is measured on them has not seen its own answers.
    """
    sigmas = people.skeleton.sigmas
    found = found_joints(keypoints, people.keypoints_image, people.areas, sigmas=sigmas)
    first, told = _first_half(people, seed), np.zeros(scores.shape, np.float32)
    for half in (first, ~first):
        learned = people.labelled & ~half[:, None]
        told[half] = fit_calibration(scores[learned], found[learned])(scores[half])
    return told


def _first_half(people: People, seed: int) -> np.ndarray:
    """Return bool [N], the people in one half of the images that have labelled joints."""
    images = np.unique(people.image_ids[people.labelled.any(1)])
    if len(images) < 2:
        raise ValueError(
            f"{people.source}: needs at least two images with labelled joints, got {len(images)}"
        )
    drawn = np.random.default_rng(seed).permutation(images)
    return np.isin(people.image_ids, drawn[: len(images) // 2])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def calibration_file(weights: str | Path) -> Path:
    """Return where the calibration of weights lies: in their folder of a run, else beside the file."""
    path = Path(weights)
    return path / "calibration.json" if path.is_dir() else path.with_name(f"{path.name}.calibration.json")


def write_calibration(file: str | Path, fitted: Calibrated, *, source: str, flip_test: bool) -> Path:
    """Write a calibration, with what it was fitted on."""
    curve = {
        "scores": list(fitted.calibration.scores),
        "probabilities": list(fitted.calibration.probabilities),
    }
    facts = {"source": source, "joints": fitted.joints, "flip_test": flip_test, "found": "OKS term >= 0.5"}
    return write_json(file, {**facts, **curve})


def read_calibration(file: str | Path) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none; names the file.
    """
    content = read_json(file)
    try:
        return Calibration(tuple(content["scores"]), tuple(content["probabilities"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: not a calibration, with rising scores and probabilities: {error}"
        ) from error


def calibrated(network: PoseNetwork, calibration: Calibration) -> PoseNetwork:
    """Return the network with probabilities as scores."""

    def find(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keypoints, scores = network.find(crops)
        return keypoints, calibration(scores)

    return replace(network, find=find)
