"""Features of a frozen backbone, which run once for any number of heads, and what heads read from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pctlib.data.people import People
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.predictions import Predictions
from pctlib.study.predictions_3d import Predictions3D
from pctlib.study.spaces import join, to_people
from pctlib.training.plan import mix_seed

_ROWS = 256  # people of one batch, where only features are read


class FeatureBatch(NamedTuple):
    """Feature map [B, C, h, w] and what is known of its people, as in `pctlib.study.spaces.Truth`."""

    features: Tensor
    keypoints: Tensor
    visible: Tensor
    keypoints_3d: Tensor | None = None
    joints: Tensor | None = None


@dataclass
class Features:
    """Last feature maps of a frozen backbone, for some views of each person.

    Attributes:
        maps: float16 [views N, C, h, w].
        keypoints: [views N, K, 2] input pixels of each view.
        visible: [views N, K] COCO flags.
        affine: [views N, 2, 3] image -> input.
        num_people: N; row `view * N + person`.
        keypoints_3d: [views N, K3, 3] millimetres in the camera frame of each view; None without 3D joints.
        joints: [views N, K3, 2] where they appear, input pixels; None without them or their camera.
    """

    maps: Tensor
    keypoints: Tensor
    visible: Tensor
    affine: Tensor
    num_people: int
    keypoints_3d: Tensor | None = None
    joints: Tensor | None = None

    @property
    def views(self) -> int:
        """How many views of each person there are."""
        return len(self.maps) // self.num_people

    def rows(self, rows: Tensor, device: torch.device) -> "FeatureBatch":
        """Return some views on a device, the maps in full precision."""
        known = (self.keypoints, self.visible, self.keypoints_3d, self.joints)
        here = (None if t is None else t[rows].to(device) for t in known)
        return FeatureBatch(self.maps[rows].to(device, torch.float32), *here)


@torch.inference_mode()
def extract_features(
    backbone: nn.Module,
    crops: Crops,
    *,
    views: int = 1,
    augmentation: AugmentationProfile | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Features:
    """Run a frozen backbone once over some augmented views of each person.

    Args:
        backbone: images to feature maps; put in eval mode.
        crops: of N people.
        views: of each person.
        augmentation: of the views; None for the plain crop.
        seed: of the views' draws.
        device: where the backbone runs.
        progress: show a progress bar.
    """
    device = torch.device(device)
    backbone = backbone.to(device).eval()
    rows = torch.arange(len(crops)).split(64)
    parts: list[list[Tensor | None]] = []
    for view in range(views):
        draws = [
            torch.Generator().manual_seed(mix_seed(seed, "features: views", view, i))
            for i in range(len(rows))
        ]
        batches = crops.inputs(rows, device, augmentation=augmentation, generators=draws)
        for inputs in tqdm(
            batches, total=len(rows), unit="batch", desc=f"view {view + 1}", disable=not progress
        ):
            maps = backbone(inputs.images)[-1].half()
            parts.append([None if t is None else t.cpu() for t in (maps, *inputs[1:])])
    columns = zip(*parts, strict=True)
    *known, keypoints_3d, joints = (None if c[0] is None else torch.cat(c) for c in columns)
    return Features(*known, num_people=len(crops), keypoints_3d=keypoints_3d, joints=joints)


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
def decode_features(
    head: Representation, features: Features, *, mirrored: Features | None = None
) -> Keypoints:
    """Return the poses [N, K, D] that a representation reads from one view of N people, in its own space.

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
    parts = []
    for rows in torch.arange(len(features.maps)).split(_ROWS):
        found = head([features.rows(rows, device).features])
        if mirrored is not None:
            turned = head([mirrored.rows(rows, device).features])
            found = head.merge_flipped(found, turned)
        parts.append(head.decode(found))
    return join(parts)


def predict_from_features(
    head: Representation, features: Features, people: People, *, mirrored: Features | None = None
) -> Predictions | Predictions3D:
    """Return the poses that a representation reads from features of people, out of the crops.

    Args:
        head: in eval mode.
        features: one view of N people.
        people: those people.
        mirrored: as in `decode_features`, whose errors these are, too.
    """
    found = decode_features(head, features, mirrored=mirrored)
    return to_people(head, found, features.affine.to(found.keypoints.device), people)


@dataclass
class FrozenStage:
    """A frozen backbone with what the heads on it are trained from.

    Attributes:
        backbone: frozen.
        train_crops: people to learn from.
        val_crops: people to measure on.
        train_features: their features; None if they are computed at every step.
        val_features: features of the people to measure on; None likewise.
    """

    backbone: Backbone
    train_crops: Crops
    val_crops: Crops
    train_features: Features | None = None
    val_features: Features | None = None

    def predict(self, model: PoseEstimator, *, flip_test: bool = False) -> Predictions | Predictions3D:
        """Return what a network on the frozen backbone finds, from the features where they are kept.

        Args:
            model: in eval mode.
            flip_test: merge with the mirrored images.
        """
        if self.val_features is None:
            return predict_people(model, self.val_crops, flip_test=flip_test)
        mirrored = self._mirrored if flip_test else None
        people = self.val_crops.people
        return predict_from_features(model.representation, self.val_features, people, mirrored=mirrored)

    @cached_property
    def _mirrored(self) -> Features:
        device = next(self.backbone.parameters()).device
        return mirrored_features(self.backbone, self.val_crops, device=device, progress=False)
