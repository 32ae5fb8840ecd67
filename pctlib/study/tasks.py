"""Training pose estimators: whole, or the representation alone on features of a frozen backbone."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Representation
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import FeatureBatch, Features, predict_from_features
from pctlib.study.spaces import judge_any, target_of
from pctlib.training.fingerprint import fingerprint
from pctlib.training.plan import Step


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
        """Return the target of the representation, which may depend on the images."""
        return target_of(model.representation, batch, images=batch.images)

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the metrics of the validation people."""
        predictions = predict_people(self.estimator(model).eval(), self.val_crops)
        return judge_any(self.val_crops.people, predictions)


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
            yield source.rows(rows, device)

    def loss(self, model: Representation, batch: FeatureBatch) -> tuple[dict[str, Tensor], None]:
        """Return the losses of the representation."""
        return model.loss(model([batch.features]), target_of(model, batch)), None

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: Representation) -> dict[str, float]:
        """Return the metrics of the validation people."""
        people = self.val_crops.people
        return judge_any(people, predict_from_features(model, self.val_features, people))


def _people_fingerprint(crops: Crops) -> str:
    people = crops.people
    return fingerprint(*(torch.from_numpy(a) for a in (people.boxes_xywh, people.keypoints_image)))
