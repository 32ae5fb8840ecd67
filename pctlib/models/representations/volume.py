"""Soft-argmax over a volume: pixels along the image, millimetres along depth."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pctlib.losses import keypoint_smooth_l1
from pctlib.models.representations.base import Keypoints, Representation, flip_index
from pctlib.models.representations.heatmap import DeconvolutionHead


class VolumeTarget(NamedTuple):
    """Attributes: coordinates: [B, K, 3] shares of width, height, depth range; labelled: [B, K] bool."""

    coordinates: Tensor
    labelled: Tensor


class VolumePrediction(NamedTuple):
    """Attributes: coordinates: [B, K, 3] shares of width, height, depth range; scores: [B, K] in [0, 1]."""

    coordinates: Tensor
    scores: Tensor


class VolumeRegression(Representation):
    """The mean position under a volume of K D' h' w' cells, learned through the coordinates alone, by L1.

    A cell i of n along an axis stands for the share i / n, as in the heatmap coding of the study; depth 0 is
    that of the root, in the middle of the range. The mean cannot leave the volume: a joint more than half
    the range before or behind the root keeps an error, which tables count. Its pixels tell millimetres only
    with the depth of the root: `pctlib.data.camera_space.to_camera`.

    Source: Sun et al. 2018 (integral regression), arXiv:1711.08229, equations 1 to 3; 64 x 64 x 64 cells, a
    range of 2000 mm, three transposed convolutions of width 256.

    Args:
        in_channels: C of the last feature map.
        flip_permutation: K indices of the 3D joints: where each is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        depth_cells: D'.
        depth_range: millimetres that they span.
        channels: width of each transposed convolution, which doubles height and width.
        beta: distance, in shares, where the loss turns from quadratic to linear; 0, as published, is L1.

    Raises:
        ValueError: if an argument is not positive.
    """

    space = "input and depth"

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        depth_cells: int = 64,
        depth_range: float = 2000.0,
        channels: Sequence[int] = (256, 256, 256),
        beta: float = 0.0,
    ) -> None:
        super().__init__()
        if depth_cells < 1 or depth_range <= 0:
            got = f"{depth_cells} and {depth_range}"
            raise ValueError(f"expected positive depth_cells and depth_range, got {got}")
        self.input_size, self.depth_cells, self.depth_range = tuple(input_size), depth_cells, depth_range
        self.beta = beta
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)
        self.head = DeconvolutionHead(
            in_channels, len(flip_permutation) * depth_cells, channels=channels, kernels=[4] * len(channels)
        )

    def encode(self, keypoints: Tensor, visible: Tensor) -> VolumeTarget:
        """Return shares of the volume, also below 0 and above 1 where a joint lies outside.

        Args:
            keypoints: [B, K, 3] input pixels and millimetres behind the root.
            visible: [B, K] COCO flags.
        """
        return VolumeTarget(
            keypoints.float() / self._extent(keypoints) + self._origin(keypoints), visible > 0
        )

    def forward(self, features: list[Tensor]) -> VolumePrediction:
        """Return the mean position under each volume."""
        maps = self.head(features[-1]).float().unflatten(1, (-1, self.depth_cells))  # [B, K, D', h', w']
        probability = maps.flatten(2).softmax(-1).view_as(maps)
        axes = {"x": (2, 3), "y": (2, 4), "z": (3, 4)}  # those summed over
        means = [_mean_share(probability.sum(dim=over)) for over in axes.values()]
        return VolumePrediction(torch.stack(means, dim=-1), probability.flatten(2).amax(-1))

    def loss(self, prediction: VolumePrediction, target: VolumeTarget) -> dict[str, Tensor]:
        """Return the distance of the coordinates, in shares, under "coordinates"."""
        return {"coordinates": keypoint_smooth_l1(prediction.coordinates, *target, beta=self.beta)}

    def decode(self, prediction: VolumePrediction) -> Keypoints:
        """Return [B, K, 3] input pixels and millimetres behind the root; the score is the highest cell."""
        shares = prediction.coordinates.float()
        return Keypoints((shares - self._origin(shares)) * self._extent(shares), prediction.scores)

    def merge_flipped(self, prediction: VolumePrediction, flipped: VolumePrediction) -> VolumePrediction:
        """Return the mean with the mirrored image's coordinates, x' = w - 1 - x, pairs exchanged."""
        width = self.input_size[1]
        coordinates, scores = flipped.coordinates[:, self.flip_index], flipped.scores[:, self.flip_index]
        mirrored = torch.cat([(width - 1) / width - coordinates[..., :1], coordinates[..., 1:]], dim=-1)
        return VolumePrediction((prediction.coordinates + mirrored) / 2, (prediction.scores + scores) / 2)

    def _extent(self, like: Tensor) -> Tensor:
        """Return what a share of 1 stands for: width and height in pixels, the range in millimetres."""
        height, width = self.input_size
        return torch.tensor([width, height, self.depth_range], device=like.device, dtype=torch.float32)

    def _origin(self, like: Tensor) -> Tensor:
        """Return the shares at which pixel 0, pixel 0 and the depth of the root lie."""
        return torch.tensor([0.0, 0.0, 0.5], device=like.device)


def _mean_share(probability: Tensor) -> Tensor:
    """Return the mean [B, K] of cells i / n under probabilities [B, K, n]."""
    cells = torch.arange(probability.shape[-1], device=probability.device) / probability.shape[-1]
    return (probability * cells).sum(-1)
