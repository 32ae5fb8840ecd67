"""What label, teacher and student say of one keypoint, along x and along y."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator

LABEL = "label"


@torch.inference_mode()
def one_keypoint(models: Mapping[str, PoseEstimator], seen: Inputs, keypoint: int) -> dict[str, Any]:
    """Return the arguments of `bin_probabilities`: the label of one keypoint, and what models say of it.

    Args:
        models: name -> estimator with SimCC, all with the same bins.
        seen: inputs of one person, B = 1.
        keypoint: which.
    """
    head = next(iter(models.values())).representation
    target = head.encode(seen.keypoints, seen.visible)
    methods = {LABEL: tuple(_shares(part[0, keypoint], head.label_beta) for part in (target.x, target.y))}
    for name, model in models.items():
        said, beta = model(seen.images), model.representation.beta
        methods[name] = tuple(_shares(part[0, keypoint], beta) for part in (said.x, said.y))
    return {
        "methods": methods,
        "truth": tuple(seen.keypoints[0, keypoint].tolist()),
        "bins_per_pixel": head.coding.bins_per_pixel,
    }


def _shares(values: Tensor, beta: float | None) -> np.ndarray:
    """Return what the loss compares, values [W] as shares: a softmax, or, without a beta, as they are."""
    shares = values / values.sum().clamp(min=1e-9) if beta is None else (beta * values).softmax(-1)
    return shares.cpu().numpy()
