"""What label, teacher and students say of one joint."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator


@torch.inference_mode()
def one_joint(models: Mapping[str, PoseEstimator], seen: Inputs, joint: int) -> dict[str, Tensor]:
    """Return the heatmap [h, w] of one joint that is the label, and those that models give.

    Args:
        models: name -> estimator with heatmaps, all written alike.
        seen: inputs of one person, B = 1.
        joint: which.
    """
    head = next(iter(models.values())).representation
    maps = {"label": head.encode(seen.keypoints, seen.visible).heatmaps}
    maps |= {name: model(seen.images).heatmaps for name, model in models.items()}
    return {name: heatmaps[0, joint] for name, heatmaps in maps.items()}
