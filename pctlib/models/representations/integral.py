"""Integral regression: the mean position under a heatmap or a volume, learned through coordinates alone."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pctlib.losses import keypoint_smooth_l1
from pctlib.models.layers import marginals, mean_cell
from pctlib.models.representations.base import Keypoints
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.representations.regression import Regression, RegressionPrediction, RegressionTarget


class Depth(NamedTuple):
    """The third axis of a volume: D' cells that span a range of millimetres around the root's depth."""

    cells: int = 64
    range: float = 2000.0


class IntegralRegression(Regression):
    """The mean position under a map of h' w' cells, or a volume of D' h' w' cells, by L1.

    A cell i of n along an axis stands for the share i / n, as in the standard heatmap coding. Depth 0 is that
    of the root, in the middle of the range. The mean cannot leave the volume: a joint more than half the
    range before or behind the root keeps an error, which tables count. Its pixels tell millimetres only with
    the depth of the root: `pctlib.data.camera_space.to_camera`.

    Source: Sun et al. 2018 (integral regression), arXiv:1711.08229, equations 1 to 3, with the L1 loss; for
    volumes 64 x 64 x 64 cells, a range of 2000 mm, three transposed convolutions of width 256.

    Args:
        head: maps one feature map [B, C, h, w] to unnormalised maps [B, K, h', w'], or [B, K D', h', w'].
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        depth: of volumes; None: heatmaps, so that poses are [B, K, 2].
        level: which feature map; -1 is the coarsest.
        beta: distance, in shares, where the loss turns from quadratic to linear; 0, as published, is L1.

    Raises:
        ValueError: if the depth is not positive.
    """

    def __init__(
        self,
        head: nn.Module,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        depth: Depth | None = None,
        level: int = -1,
        beta: float = 0.0,
    ) -> None:
        super().__init__(flip_permutation, input_size=input_size, level=level)
        if depth is not None and (depth.cells < 1 or depth.range <= 0):
            raise ValueError(f"depth: expected positive cells and range, got {depth.cells} and {depth.range}")
        self.space = "input" if depth is None else "input and depth"
        self.head, self.depth, self.beta = head, depth, beta

    @classmethod
    def deconvolution(
        cls,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        channels: Sequence[int] = (256, 256, 256),
        depth: Depth | None = None,
        **options: int | float,
    ) -> "IntegralRegression":
        """Return the representation with the published head, transposed convolutions of some widths.

        Args:
            in_channels: C of the feature map.
            flip_permutation: as for the class.
            input_size: as for the class.
            channels: width of each transposed convolution, which doubles height and width.
            depth: as for the class.
            **options: as for the class.
        """
        maps = len(flip_permutation) * (1 if depth is None else depth.cells)
        head = DeconvolutionHead(in_channels, maps, channels=channels, kernels=[4] * len(channels))
        return cls(head, flip_permutation, input_size=input_size, depth=depth, **options)

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> RegressionTarget:
        """Return keypoints as shares of the map or volume.

        Args:
            keypoints: [B, K, 2] input pixels; for volumes [B, K, 3], with millimetres behind the root.
            visible: [B, K] COCO flags; in 2D keypoints outside the input do not count, as in `Regression`. In
                3D every joint is annotated: shares below 0 and above 1 are kept.
            images: not looked at.

        Raises:
            ValueError: if the shapes are not [B, K, D] and [B, K].
        """
        if self.depth is None:
            return super().encode(keypoints, visible)
        if keypoints.shape != (*visible.shape, 3) or visible.dim() != 2:
            got = tuple(keypoints.shape), tuple(visible.shape)
            raise ValueError(f"expected keypoints [B, K, 3] and visible [B, K], got {got}")
        return RegressionTarget(
            keypoints.float() / self._extent(keypoints) + self._origin(keypoints), visible > 0
        )

    def forward(self, features: list[Tensor]) -> RegressionPrediction:
        """Return the mean position under each map, and the deviation of the map around it."""
        maps, dims = self.head(features[self.level]).float(), 2
        if self.depth is not None:
            maps, dims = maps.unflatten(1, (-1, self.depth.cells)), 3  # [B, K, D', h', w']
        probability = maps.flatten(2).softmax(dim=-1).view_as(maps)
        moments = [_moments(marginal) for marginal in marginals(probability, dims)]
        mean, deviation = (torch.stack(parts, dim=-1) for parts in zip(*moments, strict=True))
        return RegressionPrediction(mean, deviation, probability.flatten(2).amax(-1))

    def loss(self, prediction: RegressionPrediction, target: RegressionTarget) -> dict[str, Tensor]:
        """Return the distance of the coordinates, in shares, under "coordinates"."""
        return {"coordinates": keypoint_smooth_l1(prediction.coordinates, *target, beta=self.beta)}

    def decode(self, prediction: RegressionPrediction) -> Keypoints:
        """Return [B, K, 2] input pixels, or [B, K, 3] with millimetres; the score is the highest cell."""
        shares = prediction.coordinates.float()
        return Keypoints((shares - self._origin(shares)) * self._extent(shares), prediction.scores)

    def _extent(self, like: Tensor) -> Tensor:
        """Return what a share of 1 stands for: width and height in pixels, the range in millimetres."""
        extent = [*self.input_size[::-1], *([] if self.depth is None else [self.depth.range])]
        return torch.tensor(extent, device=like.device, dtype=torch.float32)

    def _origin(self, like: Tensor) -> Tensor:
        """Return the shares at which pixel 0, pixel 0 and the depth of the root lie."""
        return torch.tensor([0.0, 0.0] if self.depth is None else [0.0, 0.0, 0.5], device=like.device)


def _moments(probability: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation, [B, K] each, of cells i / n under probabilities [B, K, n]."""
    count = probability.shape[-1]
    mean = mean_cell(probability) / count
    cells = torch.arange(count, device=probability.device) / count
    variance = (probability * (cells - mean.unsqueeze(-1)) ** 2).sum(dim=-1)
    return mean, variance.clamp(min=1e-12).sqrt()
