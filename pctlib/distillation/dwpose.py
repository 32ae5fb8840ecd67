"""DWPose's distillation of whole-body poses: a student from a teacher, then a new head from the student."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pctlib.losses import feature_distillation, logit_distillation
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.simcc import SimCC, SimCCPrediction
from pctlib.models.representations.simcc_coding import SimCCTarget


@dataclass(frozen=True)
class DistillationConstants:
    """Weights and forms of the distillation losses; paper and release of DWPose differ.

    | term            | `PAPER`                                    | `RELEASE`                             |
    | --------------- | ------------------------------------------ | ------------------------------------- |
    | features        | 5e-5 x squared distance / (B C H W)        | 7e-5 x squared distance / B           |
    | logits          | cross-entropy, sum over keypoints and bins | KL divergence, also divided by K      |
    | their softmax   | no temperature is written                  | logits times 10 on both sides         |
    | weight, stage 1 | 0.1                                        | 0.1                                   |
    | weight, stage 2 | 1                                          | 1                                     |

    In both the decay is 1 - t / t_max with t counted from 0, and all keypoints count, labelled or not. Asked
    about the feature loss, the authors answered: follow the code (issue 23 of their repository). The paper's
    column is what the repository's issues and public summaries quote of it.

    Source: Yang et al. 2023, arXiv:2307.15880, and github.com/IDEA-Research/DWPose.

    Attributes:
        feature_weight: of the feature loss in stage one; 0 leaves it out.
        feature_per_element: divide the feature loss by C H W too.
        logit_weight: of the logit loss in stage one; 0 leaves it out.
        head_logit_weight: of the logit loss in stage two.
        beta: inverse temperature of both softmaxes of the logit loss.
        cross_entropy: the paper's form of the logit loss.
    """

    feature_weight: float = 7e-5
    feature_per_element: bool = False
    logit_weight: float = 0.1
    head_logit_weight: float = 1.0
    beta: float = 10.0
    cross_entropy: bool = False


RELEASE = DistillationConstants()
PAPER = DistillationConstants(feature_weight=5e-5, feature_per_element=True, beta=1.0, cross_entropy=True)


class TeacherOutput(NamedTuple):
    """Attributes: features: [B, C, h, w], the map the head takes; logits: of both axes."""

    features: Tensor
    logits: SimCCPrediction


class _WithTeacher(nn.Module):
    """A module with a frozen teacher: no gradient, and in eval mode whatever mode the module is put in."""

    def __init__(self, teacher: PoseEstimator, constants: DistillationConstants) -> None:
        super().__init__()
        if not isinstance(teacher.representation, SimCC):
            kind = type(teacher.representation).__name__
            raise ValueError(f"teacher: expected a SimCC representation, got {kind}")
        self.teacher = teacher.requires_grad_(False).eval()
        self.constants = constants

    def train(self, mode: bool = True) -> "_WithTeacher":
        """Put all but the teacher in training mode: batch statistics must not move its own."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.inference_mode()
    def teach(self, images: Tensor) -> TeacherOutput:
        """Return what the teacher sees in images [B, 3, H, W]; one forward pass, no gradient."""
        features = self.teacher.backbone(images)
        representation = self.teacher.representation
        return TeacherOutput(features[representation.level], representation(features))

    def _logit_loss(self, student: SimCCPrediction, teacher: SimCCPrediction) -> Tensor:
        options = {"beta": self.constants.beta, "cross_entropy": self.constants.cross_entropy}
        return sum(logit_distillation(s, t, **options) for s, t in zip(student, teacher, strict=True))


class StudentDistillation(_WithTeacher):
    """Stage one: train a student on the labels and on a teacher's features and logits.

    Works without labels too. The teacher given is frozen in place: its parameters take no gradient and it
    stays in eval mode. (The release freezes it once; its training loop then puts it in training mode again.)

    Source: Yang et al. 2023, arXiv:2307.15880, section 3.1.

    Args:
        student: any backbone with `channels`, and a SimCC representation.
        teacher: the same keypoints, bins and feature grid; may have other channels.
        max_epochs: t_max of the decay.
        constants: `RELEASE`, `PAPER` or others.
        decay: let the distillation losses fade to 1 / max_epochs of their weight.

    Raises:
        ValueError: if student and teacher do not fit, or `max_epochs` is not positive.
    """

    def __init__(
        self,
        student: PoseEstimator,
        teacher: PoseEstimator,
        *,
        max_epochs: int,
        constants: DistillationConstants = RELEASE,
        decay: bool = True,
    ) -> None:
        super().__init__(teacher, constants)
        if max_epochs < 1:
            raise ValueError(f"max_epochs: expected a positive number, got {max_epochs}")
        check_pair(student, teacher)
        self.student = student
        self.max_epochs = max_epochs
        self.decay = decay
        narrow, wide = (m.backbone.channels[m.representation.level] for m in (student, teacher))
        self.align = nn.Identity() if narrow == wide else nn.Conv2d(narrow, wide, kernel_size=1)

    def losses(self, images: Tensor, target: SimCCTarget | None, *, epoch: int) -> dict[str, Tensor]:
        """Return the terms whose sum is minimised.

        Args:
            images: [B, 3, H, W].
            target: of `student.representation.encode`. None: no labels, distillation alone.
            epoch: counted from 0.

        Raises:
            ValueError: if the epoch is outside 0..max_epochs - 1.
        """
        if not 0 <= epoch < self.max_epochs:
            raise ValueError(f"epoch: expected 0..{self.max_epochs - 1}, got {epoch}")
        taught = self.teach(images)
        features = self.student.backbone(images)
        prediction = self.student.representation(features)
        losses = {} if target is None else self.student.representation.loss(prediction, target)
        fade = 1 - epoch / self.max_epochs if self.decay else 1.0
        constants = self.constants
        if constants.feature_weight:
            seen = self.align(features[self.student.representation.level])
            distance = feature_distillation(seen, taught.features, per_element=constants.feature_per_element)
            losses["feature"] = fade * constants.feature_weight * distance
        if constants.logit_weight:
            losses["logit"] = fade * constants.logit_weight * self._logit_loss(prediction, taught.logits)
        return losses


class HeadDistillation(_WithTeacher):
    """Stage two: train a new head on a trained model's frozen features, from the logits of its own head.

    Needs no labels, runs no second backbone, and takes a fifth of the schedule (60 epochs in the release).
    What it learns from is fixed: on images that do not change, call `teach` once and keep the result.

    Source: Yang et al. 2023, arXiv:2307.15880, section 3.2.

    Args:
        teacher: the trained student of stage one; frozen in place.
        head: a new SimCC representation for the teacher's features, keypoints and bins.
        constants: `RELEASE`, `PAPER` or others.

    Raises:
        ValueError: if the head does not fit the teacher.
    """

    def __init__(
        self, teacher: PoseEstimator, head: SimCC, *, constants: DistillationConstants = RELEASE
    ) -> None:
        super().__init__(teacher, constants)
        check_pair(PoseEstimator(teacher.backbone, head), teacher)
        if head.level != teacher.representation.level:
            raise ValueError(f"head.level: expected {teacher.representation.level}, got {head.level}")
        if head is teacher.representation:
            raise ValueError("head: expected a new one, got the teacher's own")
        self.head = head

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logit loss of images [B, 3, H, W] under "logit"."""
        return self.losses_of(self.teach(images))

    def losses_of(self, taught: TeacherOutput) -> dict[str, Tensor]:
        """Return the logit loss of what the teacher saw, now or earlier, under "logit"."""
        # A tensor made under inference_mode cannot be kept for the backward pass of the head; a copy can.
        features = taught.features.clone()
        prediction = self.head.head(features)
        return {"logit": self.constants.head_logit_weight * self._logit_loss(prediction, taught.logits)}

    def distilled(self) -> PoseEstimator:
        """Return the model to use: the teacher's backbone with the new head. The modules are shared."""
        return PoseEstimator(self.teacher.backbone, self.head)


def check_pair(student: PoseEstimator, teacher: PoseEstimator) -> None:
    """Check before training that a student can learn from a teacher.

    Raises:
        ValueError: if one has no SimCC representation, or keypoints, bins or grids differ; names both.
    """
    for role, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model.representation, SimCC):
            kind = type(model.representation).__name__
            raise ValueError(f"{role}: expected a SimCC representation, got {kind}")
    for what, read in (
        ("keypoints", lambda r: len(r.flip_index)),
        ("bins along x and y", lambda r: r.coding.num_bins_xy),
        ("feature grids", lambda r: getattr(r.head, "grid_size", None)),
    ):
        mine, theirs = read(student.representation), read(teacher.representation)
        if mine != theirs:
            raise ValueError(f"student and teacher differ: {what} of {mine} and {theirs}")


def check_memory(distillation: _WithTeacher, images: Tensor) -> None:
    """Run one step's forward and backward passes on a batch, so that too little memory shows before training.

    No weight, statistic or gradient changes.

    Args:
        distillation: on its device.
        images: [B, 3, H, W] of the batch size and input size of training; zeros will do.

    Raises:
        ValueError: if the device runs out of memory; names the teacher's and the student's size.
    """
    training = distillation.training
    distillation.eval()
    try:
        options = {"target": None, "epoch": 0} if isinstance(distillation, StudentDistillation) else {}
        loss = sum(distillation.losses(images, **options).values())
        torch.autograd.grad(
            loss, [p for p in distillation.parameters() if p.requires_grad], allow_unused=True
        )
    except (RuntimeError, MemoryError) as error:
        # torch has a class of its own for GPUs only; its CPU allocator says it in words.
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "allocate memory" not in str(error):
            raise
        sizes = {name: _megabytes(module) for name, module in distillation.named_children()}
        listed = ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items() if size)
        raise ValueError(
            f"a batch of {len(images)} images of {tuple(images.shape[-2:])} does not fit in the memory of "
            f"{images.device} (weights: {listed}); take a smaller batch or teacher"
        ) from error
    finally:
        distillation.train(training)


def _megabytes(module: nn.Module) -> float:
    return sum(t.numel() * t.element_size() for t in module.state_dict().values()) / 2**20
