"""3D coordinates themselves: 3 K numbers, millimetres from the root."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pctlib.losses import keypoint_smooth_l1
from pctlib.models.representations.base import Keypoints, Representation, feature_grid, flip_index
from pctlib.models.representations.pct import HeadSize, TokenHead

PUBLISHED_HEAD = HeadSize()


class PoseTarget3D(NamedTuple):
    """Attributes: keypoints: [B, K, 3] millimetres from the root; labelled: [B, K] bool."""

    keypoints: Tensor
    labelled: Tensor


class PosePrediction3D(NamedTuple):
    """Attributes: keypoints: [B, K, 3] millimetres from the root."""

    keypoints: Tensor


def mirror_3d(keypoints: Tensor, flip_index: Tensor) -> Tensor:
    """Return root-relative poses [B, K, 3] as the mirrored picture shows them: x to -x, pairs exchanged."""
    mirrored = keypoints[:, flip_index]
    return torch.cat([-mirrored[..., :1], mirrored[..., 1:]], dim=-1)


class DirectRegression3D(Representation):
    """Regress every coordinate from the network of PCT's token head: K outputs of 3 instead of M of V.

    So it differs from the tokens in what is written, and not in what writes it. The loss is L1; the score
    is 1, as the head does not know how certain it is.

    Source: the direct regression that Sun et al. 2018, arXiv:1711.08229, compare with, section 5.1.
    Differs: their one fully connected layer behind a mean over the map would not see where things are in the
        map of a backbone that is frozen.

    Args:
        in_channels: C of the last feature map.
        flip_permutation: K indices of the 3D joints: where each is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        feature_stride: input pixels a cell of that map.
        head: size of the head.
        scale: millimetres for which the head says 1.

    Raises:
        ValueError: if the input size is no multiple of the stride, or `scale` is not positive.
    """

    space = "camera"

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        feature_stride: int = 32,
        head: HeadSize = PUBLISHED_HEAD,
        scale: float = 400.0,
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale: expected a positive number of millimetres, got {scale}")
        self.input_size, self.scale = tuple(input_size), scale
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)
        self.head = TokenHead(
            in_channels,
            feature_grid(self.input_size, feature_stride),
            num_tokens=len(flip_permutation),
            codebook_size=3,
            size=head,
        )

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> PoseTarget3D:
        """Return poses [B, K, 3], millimetres from the root, with COCO flags [B, K], as they are."""
        return PoseTarget3D(keypoints.float(), visible > 0)

    def forward(self, features: list[Tensor]) -> PosePrediction3D:
        """Return poses from the last feature map [B, C, h, w]."""
        return PosePrediction3D(self.scale * self.head(features[-1]).float())

    def loss(self, prediction: PosePrediction3D, target: PoseTarget3D) -> dict[str, Tensor]:
        """Return the L1 distance, in units of `scale`, under "coordinates"."""
        pred, truth = prediction.keypoints / self.scale, target.keypoints / self.scale
        return {"coordinates": keypoint_smooth_l1(pred, truth, target.labelled, beta=0.0)}

    def decode(self, prediction: PosePrediction3D) -> Keypoints:
        """Return the poses [B, K, 3], millimetres from the root."""
        return Keypoints(prediction.keypoints, torch.ones_like(prediction.keypoints[..., 0]))

    def merge_flipped(self, prediction: PosePrediction3D, flipped: PosePrediction3D) -> PosePrediction3D:
        """Return the mean with the mirrored image's poses, x to -x, pairs exchanged."""
        return PosePrediction3D((prediction.keypoints + mirror_3d(flipped.keypoints, self.flip_index)) / 2)
