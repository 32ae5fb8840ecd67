"""Predicting from the features of a frozen backbone, which run once for any number of heads."""

import numpy as np
import torch
from torch import Tensor, nn

from pctlib.models.representations.base import Representation
from pctlib.study.crops import Crops, to_image
from pctlib.study.predictions import Predictions
from pctlib.study.tasks import Features, extract_features

_ROWS = 256  # people of one batch


def mirrored_features(backbone: nn.Module, crops: Crops, **options: object) -> Features:
    """Return the features of the mirrored crops, for the flip test; `options` are `extract_features`'s."""
    return extract_features(_OnMirrored(backbone), crops, **options)


class _OnMirrored(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.backbone(images.flip(3))


@torch.inference_mode()
def predict_from_features(
    head: Representation, features: Features, *, mirrored: Features | None = None
) -> Predictions:
    """Return the poses a representation reads from features, in image pixels.

    Args:
        head: in eval mode.
        features: one view of N people.
        mirrored: of the same people, mirrored, to merge with; None: no flip test.

    Raises:
        ValueError: if the features are of more than one view, or not of as many people as the mirrored.
    """
    if features.views != 1 or (mirrored is not None and len(mirrored.maps) != len(features.maps)):
        sizes = [len(f.maps) for f in (features, mirrored) if f is not None]
        raise ValueError(f"expected one view of {features.num_people} people, got features of {sizes}")
    device = next(head.parameters()).device
    keypoints, scores = [], []
    for rows in torch.arange(len(features.maps)).split(_ROWS):
        found = head([features.maps[rows].to(device, torch.float32)])
        if mirrored is not None:
            turned = head([mirrored.maps[rows].to(device, torch.float32)])
            found = head.merge_flipped(found, turned)
        poses = head.decode(found)
        keypoints.append(to_image(poses.keypoints, features.affine[rows].to(device)))
        scores.append(poses.scores.float().cpu().numpy())
    return Predictions(np.concatenate(keypoints), np.concatenate(scores))
