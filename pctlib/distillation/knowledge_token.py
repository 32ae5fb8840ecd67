"""ViTPose's transfer from a large model to a small one: the teacher's heatmaps, and a knowledge token."""

import torch
from torch import Tensor, nn

from pctlib.losses import heatmap_mse
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.heatmap_coding import HeatmapTarget
from pctlib.models.token_vit import TokenViT
from pctlib.models.vit import ViT


def freeze(model: PoseEstimator) -> PoseEstimator:
    """Return the model, in eval mode and with no parameter that takes a gradient."""
    return model.requires_grad_(False).eval()


class TokenTeacher(PoseEstimator):
    """A frozen model that learns one token from the labels, and nothing else.

    Minimised by training it as any estimator: t* = argmin_t MSE(T({t; X}), K_gt). It stays in eval mode
    whatever mode it is put in, so that neither dropped branches nor batch statistics change what the token is
    learned on.

    Source: Xu et al. 2022 (ViTPose), arXiv:2204.12484, section 3.3; no code of it was released.

    Args:
        teacher: with a `ViT`, frozen in place.
        generator: of the token's first value, normal with deviation 0.02 as the positions'; None for torch's.

    Raises:
        ValueError: if the teacher's backbone is no plain `ViT`.
    """

    def __init__(self, teacher: PoseEstimator, *, generator: torch.Generator | None = None) -> None:
        _plain_vit("teacher", teacher)
        freeze(teacher)
        token = 0.02 * torch.randn(teacher.backbone.channels[0], generator=generator)
        super().__init__(TokenViT(teacher.backbone, token, learned=True), teacher.representation)
        self.eval()

    @property
    def token(self) -> Tensor:
        """The token [C] learned so far, a copy."""
        return self.backbone.token.detach().clone()

    def train(self, mode: bool = True) -> "TokenTeacher":
        """Stay in eval mode; only the token is learned, whatever `mode` says."""
        return super().train(False)


def with_token(student: PoseEstimator, token: Tensor) -> PoseEstimator:
    """Return a student that sees a frozen token beside the patches; modules are shared, none is copied.

    Args:
        student: with a `ViT`.
        token: [C] of the student's width, see `of_width`.

    Raises:
        ValueError: if the backbone is no plain `ViT`, or the token of another width.
    """
    _plain_vit("student", student)
    return PoseEstimator(TokenViT(student.backbone, token), student.representation)


class OutputDistillation(nn.Module):
    """Train a student on the labels and on a teacher's heatmaps: MSE(K_s, K_gt) + MSE(K_s, K_t).

    With a student that sees the token, K_s is S({t*; X}). The teacher given is frozen in place: no gradient,
    and eval mode whatever mode the module is put in. It sees the images as they are, without the token.

    Source: Xu et al. 2022 (ViTPose), arXiv:2204.12484, section 3.3.

    Args:
        student: any backbone, and heatmaps.
        teacher: the same keypoints, and heatmaps written alike.
        weight: of the teacher's heatmaps against the labels'; published: 1.

    Raises:
        ValueError: if student and teacher do not fit, or the weight is negative.
    """

    def __init__(self, student: PoseEstimator, teacher: PoseEstimator, *, weight: float = 1.0) -> None:
        super().__init__()
        check_pair(student, teacher)
        if weight < 0:
            raise ValueError(f"weight: expected 0 or more, got {weight}")
        self.student = student
        self.teacher = freeze(teacher)
        self.weight = weight

    def train(self, mode: bool = True) -> "OutputDistillation":
        """Put the student in training mode; batch statistics must not move the teacher's."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.inference_mode()
    def teach(self, images: Tensor) -> Tensor:
        """Return the teacher's heatmaps [B, K, H, W] of images [B, 3, H, W]."""
        return self.teacher(images).heatmaps

    def losses(self, images: Tensor, target: HeatmapTarget) -> dict[str, Tensor]:
        """Return "heatmap", the error to the labels, and "output", the weighted error to the teacher.

        Keypoints that are not labelled count in neither.

        Args:
            images: [B, 3, H, W].
            target: of `student.representation.encode`.
        """
        prediction = self.student(images)
        distance = heatmap_mse(prediction.heatmaps, self.teach(images), target.weights)
        return self.student.representation.loss(prediction, target) | {"output": self.weight * distance}


def check_pair(student: PoseEstimator, teacher: PoseEstimator) -> None:
    """Check before training that a student can learn from a teacher's heatmaps.

    Raises:
        ValueError: if one has no heatmaps, or keypoints, size or coding differ; names both.
    """
    for role, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model.representation, Heatmap):
            kind = type(model.representation).__name__
            raise ValueError(f"{role}: expected a Heatmap representation, got {kind}")
    for what, read in (
        ("keypoints", lambda r: len(r.flip_index)),
        ("flip pairs", lambda r: r.flip_index.tolist()),
        ("input size", lambda r: r.coding.input_size),
        ("heatmap size", lambda r: r.coding.heatmap_size),
        ("coding", lambda r: r.coding.kind),
        ("sigma", lambda r: r.coding.sigma),
    ):
        mine, theirs = read(student.representation), read(teacher.representation)
        if mine != theirs:
            raise ValueError(f"student and teacher differ: {what} {mine} and {theirs}")


def _plain_vit(role: str, model: PoseEstimator) -> None:
    if not isinstance(model.backbone, ViT):
        raise ValueError(f"{role}: expected a ViT as backbone, got {type(model.backbone).__name__}")
