"""What DWPose's two stages train: a student beside its teacher, then a new head on frozen features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pctlib.data.augmentation import Inputs
from pctlib.distillation.dwpose import HeadDistillation, StudentDistillation, TeacherOutput
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.simcc import SimCCPrediction
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops
from pctlib.study.tasks import EstimatorTask
from pctlib.training.plan import Step, mix_seed

_ROWS = 64  # people the teacher sees at once where its answers are kept


class StudentBatch(NamedTuple):
    """Augmented inputs, and the epoch they are of, counted from 0: the distillation losses fade with it."""

    inputs: Inputs
    epoch: int


class StudentTask(EstimatorTask):
    """Stage one: learn a student from its labels and from a teacher, which sees each batch once.

    Args:
        model: student and teacher.
        train_crops: people to learn from.
        labels: False: learn from the teacher alone.
        **options: as those of `EstimatorTask`.
    """

    model: StudentDistillation

    def __init__(
        self, model: StudentDistillation, train_crops: Crops, *, labels: bool = True, **options: Any
    ) -> None:
        super().__init__(model, train_crops, **options)
        self.labels = labels

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[StudentBatch]:
        """Yield augmented inputs with their epoch."""
        for step, inputs in zip(steps, super().batches(steps, device), strict=True):
            yield StudentBatch(inputs, step.epoch)

    def loss(self, model: StudentDistillation, batch: StudentBatch) -> tuple[dict[str, Tensor], None]:
        """Return the losses to labels, features and logits."""
        inputs = batch.inputs
        target = self.target(model.student, inputs) if self.labels else None
        return model.losses(inputs.images, target, epoch=batch.epoch), None

    def estimator(self, model: StudentDistillation) -> PoseEstimator:
        """Return the student."""
        return model.student


@dataclass
class TaughtViews:
    """What a frozen model makes of some augmented views of each person.

    Attributes:
        features: float16 [views N, C, h, w].
        x: float16 [views N, K, Wx] logits.
        y: float16 [views N, K, Wy] logits.
        num_people: N; row `view * N + person`.
    """

    features: Tensor
    x: Tensor
    y: Tensor
    num_people: int

    def batch(self, step: Step, device: torch.device) -> TeacherOutput:
        """Return a random view of each person of a step, in full precision."""
        indices = step.local_indices
        views = len(self.features) // self.num_people
        drawn = torch.randint(views, (len(indices),), generator=step.generator(shared=False))
        rows = drawn * self.num_people + indices
        features, x, y = (t[rows].to(device, torch.float32) for t in (self.features, self.x, self.y))
        return TeacherOutput(features, SimCCPrediction(x, y))


def teach_views(
    model: HeadDistillation,
    crops: Crops,
    *,
    views: int,
    augmentation: AugmentationProfile,
    seed: int,
    device: torch.device,
    max_bytes: int,
    progress: bool = True,
) -> TaughtViews:
    """Run the frozen model of stage two once over some views of each person; what it says is fixed.

    Args:
        model: on the device.
        crops: of N people.
        views: of each person.
        augmentation: of the views.
        seed: of the views' draws.
        device: where the frozen model runs.
        max_bytes: what may be kept.
        progress: show a progress bar.

    Raises:
        ValueError: if it would be more than that; says how much.
    """
    rows = torch.arange(len(crops)).split(_ROWS)
    kept: list[tuple[Tensor, ...]] = []
    for view in range(views):
        draws = [
            torch.Generator().manual_seed(mix_seed(seed, "distillation: views", view, i))
            for i in range(len(rows))
        ]
        batches = crops.inputs(rows, device, augmentation=augmentation, generators=draws)
        name = f"view {view + 1} of {views}"
        for inputs in tqdm(batches, total=len(rows), unit="batch", desc=name, disable=not progress):
            taught = model.teach(inputs.images)
            if not kept:
                _check_room(taught, views * len(crops), max_bytes)
            kept.append(tuple(t.half().cpu() for t in (taught.features, *taught.logits)))
    return TaughtViews(*(torch.cat(column) for column in zip(*kept, strict=True)), num_people=len(crops))


def _check_room(taught: TeacherOutput, rows: int, max_bytes: int) -> None:
    tensors = (taught.features, *taught.logits)
    needed = 2 * rows * sum(t[0].numel() for t in tensors)  # half precision
    if needed > max_bytes:
        raise ValueError(
            f"head_views: features and logits of {rows} views need {needed / 2**20:.0f} MB, more than the "
            f"{max_bytes / 2**20:.0f} MB of cache_megabytes; keep fewer views, or none (0)"
        )


class NewHeadTask(EstimatorTask):
    """Stage two: learn a new head from the answers of a frozen model; labels play no part.

    Args:
        model: the frozen model and the new head.
        train_crops: people whose images are looked at.
        views: how many of each are run through the frozen model once and kept; 0: each batch is, when its
            turn comes.
        seed: of the draws of those views.
        **options: as those of `EstimatorTask`.
    """

    model: HeadDistillation

    def __init__(
        self, model: HeadDistillation, train_crops: Crops, *, views: int, seed: int, **options: Any
    ) -> None:
        super().__init__(model, train_crops, **options)
        self.views, self.seed = views, seed
        self.identity["views"] = views

    @cached_property
    def taught(self) -> TaughtViews:
        """The kept views; made when the first batch is asked for, so not for a finished training."""
        return teach_views(
            self.model,
            self.train_crops,
            views=self.views,
            augmentation=self.augmentation,
            seed=self.seed,
            device=next(self.model.parameters()).device,
            max_bytes=self.train_crops.profile.cache_megabytes * 2**20,
            progress=False,
        )

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[TeacherOutput | Tensor]:
        """Yield kept answers of the frozen model, or images [B, 3, H, W] to ask it about."""
        if self.views:
            yield from (self.taught.batch(step, device) for step in steps)
        else:
            yield from (inputs.images for inputs in super().batches(steps, device))

    def loss(self, model: HeadDistillation, batch: TeacherOutput | Tensor) -> tuple[dict[str, Tensor], None]:
        """Return the logit loss of the new head."""
        kept = isinstance(batch, TeacherOutput)
        return (model.losses_of(batch) if kept else model.losses(batch)), None

    def estimator(self, model: HeadDistillation) -> PoseEstimator:
        """Return the frozen backbone with the new head."""
        return model.distilled()
