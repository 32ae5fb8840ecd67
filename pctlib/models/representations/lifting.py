"""Lifting: 3D poses from 2D poses alone, by a small network of linear layers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.representations.base import Keypoints, Representation, flip_index
from pctlib.models.representations.regression_3d import PosePrediction3D, PoseTarget3D, mirror_3d


class Lifting(Representation):
    """Regress K3 joints in millimetres from K keypoints in pixels; no image is seen.

    Inputs and outputs are standardised by mean and deviation over the training poses (`standardise`, before
    training). The root is not regressed: it is 0.

    Source: Martinez et al. 2017, arXiv:1705.03098, section 3.2 and release: width 1024, two residual blocks
    of two layers, batch norm, ReLU, dropout 0.5, every weight matrix scaled down to a norm of at most 1.
    Differs: inputs are pixels of the crop, as every method of the study sees them, not of the whole image;
        so nothing is told by where a person stands in it. A keypoint that is not labelled is put in its mean
        place. Learning rate and batch are those of the study's schedule.

    Args:
        num_keypoints: K of the 2D pose.
        flip_permutation: K3 indices of the 3D joints: where each is found in a mirrored image.
        keypoint_permutation: K indices, the same of the 2D pose.
        input_size: (height, width) of the crop, pixels.
        root: index of the root among the 3D joints.
        width: of the hidden layers.
        num_blocks: residual blocks.
        dropout: share.
        max_norm: largest Frobenius norm of a weight matrix; None: none.

    Raises:
        ValueError: if a permutation does not fit.
    """

    space = "camera"

    def __init__(
        self,
        num_keypoints: int,
        flip_permutation: Sequence[int],
        *,
        keypoint_permutation: Sequence[int],
        input_size: tuple[int, int],
        root: int = 0,
        width: int = 1024,
        num_blocks: int = 2,
        dropout: float = 0.5,
        max_norm: float | None = 1.0,
    ) -> None:
        super().__init__()
        if len(keypoint_permutation) != num_keypoints:
            raise ValueError(
                f"keypoint_permutation: expected {num_keypoints} indices, got {len(keypoint_permutation)}"
            )
        self.input_size, self.root = tuple(input_size), root
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)
        self.register_buffer("keypoint_index", flip_index(keypoint_permutation), persistent=False)
        outputs = len(flip_permutation) - 1
        for name, shape in {"input": (num_keypoints, 2), "output": (outputs, 3)}.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_deviation", torch.ones(shape))
        self.enter = LinearNormDropout(2 * num_keypoints, width, dropout=dropout, max_norm=max_norm)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(LinearNormDropout(width, width, dropout=dropout, max_norm=max_norm) for _ in range(2))
            )
            for _ in range(num_blocks)
        )
        self.leave = NormedLinear(width, 3 * outputs, max_norm=max_norm)

    @torch.no_grad()
    def standardise(self, keypoints: Tensor, labelled: Tensor, poses: Tensor) -> None:
        """Set mean and deviation from training poses.

        Args:
            keypoints: [N, K, 2] input pixels; anything where not labelled.
            labelled: bool [N, K].
            poses: [N, K3, 3] millimetres from the root.
        """
        weights = labelled.unsqueeze(-1).double()  # [N, K, 1]
        known = torch.where(labelled.unsqueeze(-1), keypoints.double(), 0.0)
        count = weights.sum(0).clamp(min=1)
        mean = known.sum(0) / count
        variance = (weights * (known - mean).square()).sum(0) / count
        self.input_mean.copy_(mean)
        self.input_deviation.copy_(variance.sqrt().clamp(min=1e-3))
        others = self._without_root(poses.double())
        self.output_mean.copy_(others.mean(0))
        self.output_deviation.copy_(others.std(0, correction=0).clamp(min=1e-3))

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> PoseTarget3D:
        """Return poses [B, K3, 3], millimetres from the root, with COCO flags [B, K3], as they are."""
        return PoseTarget3D(keypoints.float(), visible > 0)

    def forward(self, features: list[Tensor]) -> PosePrediction3D:
        """Return poses from a list of one tensor, 2D keypoints [B, K, 2] in input pixels; NaN: not known."""
        keypoints = features[0].float()
        x = ((keypoints - self.input_mean) / self.input_deviation).nan_to_num(0.0).flatten(1)
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        others = self.leave(x).unflatten(1, (-1, 3)) * self.output_deviation + self.output_mean
        before, behind = others.split([self.root, others.shape[1] - self.root], dim=1)
        return PosePrediction3D(torch.cat([before, torch.zeros_like(others[:, :1]), behind], dim=1))

    def loss(self, prediction: PosePrediction3D, target: PoseTarget3D) -> dict[str, Tensor]:
        """Return the mean squared error of the standardised coordinates under "coordinates"."""
        error = self._without_root(prediction.keypoints - target.keypoints) / self.output_deviation
        known = self._without_root(target.labelled.unsqueeze(-1))
        error = torch.where(known, error, 0.0)
        return {"coordinates": error.square().sum() / (3 * known.sum()).clamp(min=1)}

    def decode(self, prediction: PosePrediction3D) -> Keypoints:
        """Return the poses [B, K3, 3], millimetres from the root; the score is 1."""
        return Keypoints(prediction.keypoints, torch.ones_like(prediction.keypoints[..., 0]))

    def merge_flipped(self, prediction: PosePrediction3D, flipped: PosePrediction3D) -> PosePrediction3D:
        """Return the mean with the poses lifted from the mirrored keypoints, see `mirrored`."""
        return PosePrediction3D((prediction.keypoints + mirror_3d(flipped.keypoints, self.flip_index)) / 2)

    def mirrored(self, keypoints: Tensor) -> Tensor:
        """Return 2D keypoints [B, K, 2] as they are in the mirror image of the input."""
        turned = keypoints[:, self.keypoint_index]
        return torch.cat([self.input_size[1] - 1 - turned[..., :1], turned[..., 1:]], dim=-1)

    def _without_root(self, poses: Tensor) -> Tensor:
        """Return all joints [B, K3 - 1, ...] but the root of [B, K3, ...]."""
        return torch.cat([poses[:, : self.root], poses[:, self.root + 1 :]], dim=1)


class NormedLinear(nn.Linear):
    """A linear layer that works with its weights scaled down to a norm of at most `max_norm`.

    Source: `tf.clip_by_norm` on each weight matrix in the release of Martinez et al. 2017. It is the norm of
    the whole matrix, and the gradient passes through the scaling; ports that clip gradients instead differ.
    """

    def __init__(self, in_features: int, out_features: int, *, max_norm: float | None) -> None:
        super().__init__(in_features, out_features)
        self.max_norm = max_norm
        nn.init.trunc_normal_(self.weight, std=(2 / in_features) ** 0.5, a=-2, b=2)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out_features] of [..., in_features]."""
        if self.max_norm is None:
            return super().forward(x)
        scale = (self.max_norm / self.weight.norm().clamp(min=1e-12)).clamp(max=1.0)
        return F.linear(x, self.weight * scale, self.bias)


class LinearNormDropout(nn.Sequential):
    """One layer of Martinez et al.: linear, batch norm, ReLU, dropout."""

    def __init__(self, in_features: int, width: int, *, dropout: float, max_norm: float | None) -> None:
        super().__init__(
            NormedLinear(in_features, width, max_norm=max_norm),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
