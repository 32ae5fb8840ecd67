"""Training pose estimators: whole, or the representation alone on features of a frozen backbone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.spaces import join, judge_any, target_of, to_people
from pctlib.training.fingerprint import fingerprint
from pctlib.training.plan import Step, mix_seed

_ROWS = 256  # people of one batch, where only features are read


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

    def estimator(self, model: nn.Module) -> PoseEstimator:
        """Return the estimator of poses within a trained `model`, such as a student beside its teacher."""
        return model

    def target(self, model: PoseEstimator, batch: Inputs) -> Any:
        """Return the target of the representation."""
        return target_of(model.representation, batch)

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the metrics of the validation people."""
        predictions = predict_people(self.estimator(model).eval(), self.val_crops)
        return judge_any(self.val_crops.people, predictions)


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


class FeatureBatch(NamedTuple):
    """Feature map [B, C, h, w] and what is known of its people, as in `pctlib.study.spaces.Truth`."""

    features: Tensor
    keypoints: Tensor
    visible: Tensor
    keypoints_3d: Tensor | None = None
    joints: Tensor | None = None


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
        return model.loss(model([batch.features]), target_of(model, batch)), None

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: Representation) -> dict[str, float]:
        """Return the metrics of the validation people."""
        people = self.val_crops.people
        found = decode_features(model, self.val_features)
        affine = self.val_features.affine.to(found.keypoints.device)
        return judge_any(people, to_people(model, found, affine, people))


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
        found = head([features.maps[rows].to(device, torch.float32)])
        if mirrored is not None:
            turned = head([mirrored.maps[rows].to(device, torch.float32)])
            found = head.merge_flipped(found, turned)
        parts.append(head.decode(found))
    return join(parts)


def _feature_batch(source: Features, rows: Tensor, device: torch.device) -> FeatureBatch:
    maps = source.maps[rows].to(device, torch.float32)
    known = (source.keypoints, source.visible, source.keypoints_3d, source.joints)
    return FeatureBatch(maps, *(None if t is None else t[rows].to(device) for t in known))


def _people_fingerprint(crops: Crops) -> str:
    people = crops.people
    return fingerprint(*(torch.from_numpy(a) for a in (people.boxes_xywh, people.keypoints_image)))
