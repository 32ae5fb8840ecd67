"""What every pose representation offers, and the form in which all of them give a pose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn


@dataclass
class Keypoints:
    """Poses of a batch.

    Attributes:
        keypoints: [B, K, D] input pixels (x, y), pixel centres at integers; D = 3: millimetres.
        scores: [B, K], larger is more certain; the scale is the representation's own.
    """

    keypoints: Tensor
    scores: Tensor


class CropKind(NamedTuple):
    """How a person is cut out: a factor on the box, and whether by the unbiased affine of `udp_affine`."""

    padding: float = 1.25
    udp: bool = False


class Representation(nn.Module):
    """How a pose is written as the output of a network: target, head, loss and decoding in one place.

    Nothing else in the package knows which representation it deals with. `Target` and `Prediction` are small
    NamedTuples of the representation.

    Attributes:
        input_size: (height, width) of the images, in whose pixels poses are given; None: of any.
        space: what `encode` takes and `decode` gives: "input", [B, K, 2] input pixels; "camera", [B, K, 3]
            millimetres relative to the root; "input and depth", [B, K, 3], input pixels, and millimetres
            behind the root.
        crop: how the released weights of this representation expect people to be cut out.
    """

    crop: CropKind = CropKind()
    input_size: tuple[int, int] | None = None
    space: Literal["input", "camera", "input and depth"] = "input"

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> Any:
        """Return the target of poses.

        Args:
            keypoints: [B, K, D] input pixels (3D: millimetres); anything, also NaN, where not labelled.
            visible: [B, K] COCO flags 0, 1, 2, integers.
            images: [B, 3, H, W] the crops; looked at only where the target depends on them.
        """
        raise NotImplementedError

    def forward(self, features: list[Tensor]) -> Any:
        """Return the prediction from the feature maps of a backbone, [B, C, h, w] each, finest first."""
        raise NotImplementedError

    def loss(self, prediction: Any, target: Any) -> dict[str, Tensor]:
        """Return the named scalar terms whose sum is minimised."""
        raise NotImplementedError

    def decode(self, prediction: Any) -> Keypoints:
        """Return the poses a prediction stands for."""
        raise NotImplementedError

    def joint_scores(self, prediction: Any, found: Keypoints) -> Tensor:
        """Return a score of each joint by itself, [B, K]: that of `decode`, unless it repeats one number.

        Args:
            prediction: of `forward`.
            found: what `decode` made of it.
        """
        return found.scores

    def merge_flipped(self, prediction: Any, flipped: Any) -> Any:
        """Return the mean of a prediction and of `flipped`, the prediction on the mirrored images."""
        raise NotImplementedError


def flip_index(flip_permutation: Sequence[int]) -> Tensor:
    """Return the permutation as a tensor [K].

    Raises:
        ValueError: if it is empty or not its own inverse, as left and right swapped must be.
    """
    permutation = [int(index) for index in flip_permutation]
    count = len(permutation)
    valid = all(0 <= i < count and permutation[i] == k for k, i in enumerate(permutation))
    if not permutation or not valid:
        raise ValueError(
            f"flip_permutation: expected a permutation that is its own inverse, got {permutation}"
        )
    return torch.tensor(permutation)


def feature_grid(input_size: tuple[int, int], feature_stride: int) -> tuple[int, int]:
    """Return the (h, w) cells of a feature map.

    Raises:
        ValueError: if the input size is no multiple of the feature stride.
    """
    if any(size % feature_stride for size in input_size):
        raise ValueError(f"input_size: expected multiples of {feature_stride}, got {tuple(input_size)}")
    return input_size[0] // feature_stride, input_size[1] // feature_stride
