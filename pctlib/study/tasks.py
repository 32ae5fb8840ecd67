"""Training pose estimators: whole, or the representation alone on features of a frozen backbone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Representation
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people, to_image
from pctlib.study.predictions import Predictions, judge
from pctlib.training.fingerprint import fingerprint
from pctlib.training.plan import Step, mix_seed


class EstimatorTask:
    """Learn backbone and representation together, from augmented crops.

    Args:
        model: the estimator; nothing here knows its representation.
        train_crops: people to learn from.
        val_crops: people to measure on at each evaluation, without flip test.
        augmentation: random changes of the training crops.
        identity: JSON values that tell this run from others.
        late: (epoch, augmentation): from that epoch on, counted from 0, the crops are changed in this way
            instead. RTMPose trains its last 30 epochs on milder changes.
    """

    def __init__(
        self,
        model: PoseEstimator,
        train_crops: Crops,
        *,
        val_crops: Crops,
        augmentation: AugmentationProfile,
        identity: dict[str, Any],
        late: tuple[int, AugmentationProfile] | None = None,
    ) -> None:
        self.model = model
        self.train_crops, self.val_crops = train_crops, val_crops
        self.augmentation, self.late = augmentation, late
        self.num_samples = len(train_crops)
        self.identity = {**identity, "data": _people_fingerprint(train_crops)}

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[Inputs]:
        """Yield augmented inputs."""
        rows = [step.local_indices for step in steps]
        draws = [step.generator(shared=False) for step in steps]
        is_late = self.late is not None and bool(steps) and steps[0].epoch >= self.late[0]
        changes = self.late[1] if is_late else self.augmentation
        return self.train_crops.inputs(rows, device, augmentation=changes, generators=draws)

    def loss(self, model: PoseEstimator, batch: Inputs) -> tuple[dict[str, Tensor], None]:
        """Return the losses of the representation."""
        return model.representation.loss(model(batch.images), self.target(model, batch)), None

    def target(self, model: PoseEstimator, batch: Inputs) -> Any:
        """Return the target of the representation."""
        return model.representation.encode(batch.keypoints, batch.visible)

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: PoseEstimator) -> dict[str, float]:
        """Return the metrics of the validation people."""
        return judge(self.val_crops.people, predict_people(model, self.val_crops))


@dataclass
class Features:
    """Last feature maps of a frozen backbone, for some views of each person.

    Attributes:
        maps: float16 [views N, C, h, w].
        keypoints: [views N, K, 2] input pixels of each view.
        visible: [views N, K] COCO flags.
        affine: [views N, 2, 3] image -> input.
        num_people: N; row `view * N + person`.
    """

    maps: Tensor
    keypoints: Tensor
    visible: Tensor
    affine: Tensor
    num_people: int

    @property
    def views(self) -> int:
        """How many views of each person there are."""
        return len(self.maps) // self.num_people


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
    parts: list[list[Tensor]] = []
    for view in range(views):
        draws = [torch.Generator().manual_seed(mix_seed(seed, 20, view, i)) for i in range(len(rows))]
        batches = crops.inputs(rows, device, augmentation=augmentation, generators=draws)
        for inputs in tqdm(
            batches, total=len(rows), unit="batch", desc=f"view {view + 1}", disable=not progress
        ):
            maps = backbone(inputs.images)[-1].half()
            parts.append([t.cpu() for t in (maps, inputs.keypoints, inputs.visible, inputs.affine)])
    return Features(*(torch.cat(column) for column in zip(*parts, strict=True)), num_people=len(crops))


class FeatureBatch(NamedTuple):
    """Feature map [B, C, h, w], keypoints [B, K, 2] in input pixels, COCO flags [B, K]."""

    features: Tensor
    keypoints: Tensor
    visible: Tensor


class HeadTask:
    """Learn a representation on features that were computed once; the backbone stays frozen.

    Args:
        model: the representation.
        train_features: views of the people to learn from; each step draws a view of each of its people.
        val_features: one view of the people to measure on.
        val_crops: those people.
        identity: JSON values that tell this run from others.
    """

    def __init__(
        self,
        model: Representation,
        train_features: Features,
        *,
        val_features: Features,
        val_crops: Crops,
        identity: dict[str, Any],
    ) -> None:
        self.model = model
        self.train_features, self.val_features = train_features, val_features
        self.val_crops = val_crops
        self.num_samples = train_features.num_people
        self.identity = {**identity, "data": fingerprint(train_features.keypoints, train_features.maps[:16])}

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[FeatureBatch]:
        """Yield features of a random view of each person."""
        source = self.train_features
        for step in steps:
            indices = step.local_indices
            views = torch.randint(source.views, (len(indices),), generator=step.generator(shared=False))
            rows = views * source.num_people + indices
            yield _feature_batch(source, rows, device)

    def loss(self, model: Representation, batch: FeatureBatch) -> tuple[dict[str, Tensor], None]:
        """Return the losses of the representation."""
        return model.loss(model([batch.features]), model.encode(batch.keypoints, batch.visible)), None

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: Representation) -> dict[str, float]:
        """Return the metrics of the validation people."""
        device = next(model.parameters()).device
        keypoints, scores = [], []
        for rows in torch.arange(len(self.val_features.maps)).split(256):
            found = model.decode(model([_feature_batch(self.val_features, rows, device).features]))
            keypoints.append(to_image(found.keypoints, self.val_features.affine[rows].to(device)))
            scores.append(found.scores.float().cpu().numpy())
        predictions = Predictions(np.concatenate(keypoints), np.concatenate(scores))
        return judge(self.val_crops.people, predictions)


def _feature_batch(source: Features, rows: Tensor, device: torch.device) -> FeatureBatch:
    maps = source.maps[rows].to(device, torch.float32)
    return FeatureBatch(maps, source.keypoints[rows].to(device), source.visible[rows].to(device))


def _people_fingerprint(crops: Crops) -> str:
    people = crops.people
    return fingerprint(*(torch.from_numpy(a) for a in (people.boxes_xywh, people.keypoints_image)))
