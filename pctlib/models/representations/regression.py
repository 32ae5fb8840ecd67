"""Coordinates themselves: DeepPose and residual log-likelihood (RLE)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pctlib.losses import keypoint_smooth_l1, residual_log_likelihood
from pctlib.models.representations.base import Keypoints, Representation, flip_index


class RegressionTarget(NamedTuple):
    """Attributes: coordinates: [B, K, D], share of the input's width and height; labelled: [B, K] bool."""

    coordinates: Tensor
    labelled: Tensor


class RegressionPrediction(NamedTuple):
    """What the heads give.

    Attributes:
        coordinates: [B, K, D], share of the input's width and height.
        sigma: [B, K, D], predicted deviation in the same unit, in (0, 1); 0 where the head predicts none.
        scores: [B, K], in [0, 1].
    """

    coordinates: Tensor
    sigma: Tensor
    scores: Tensor


class Regression(Representation):
    """What all coordinate regressions have in common: target, decoding, flip test.

    Args:
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        level: which feature map is taken; -1 is the coarsest.
    """

    def __init__(
        self, flip_permutation: Sequence[int], *, input_size: tuple[int, int], level: int = -1
    ) -> None:
        super().__init__()
        self.input_size = tuple(input_size)
        self.level = level
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> RegressionTarget:
        """Return keypoints as shares of the input.

        Equal to mmpose 1.3.2 `RegressionLabel`.

        Args:
            keypoints: [B, K, 2] input pixels; anything, also NaN, where not labelled.
            visible: [B, K] COCO flags; keypoints outside the input do not count, hidden ones do.
            images: not looked at.

        Raises:
            ValueError: if the shapes are not [B, K, 2] and [B, K].
        """
        if keypoints.shape != (*visible.shape, 2) or visible.dim() != 2:
            got = tuple(keypoints.shape), tuple(visible.shape)
            raise ValueError(f"expected keypoints [B, K, 2] and visible [B, K], got {got}")
        size_xy = self._size_xy(keypoints)
        inside = ((keypoints >= 0) & (keypoints <= size_xy - 1)).all(dim=-1)
        return RegressionTarget(keypoints.float() / size_xy, (visible > 0) & inside)

    def decode(self, prediction: RegressionPrediction) -> Keypoints:
        """Return keypoints [B, K, 2] in input pixels with the scores of the head."""
        coordinates = prediction.coordinates.float()
        return Keypoints(coordinates * self._size_xy(coordinates), prediction.scores)

    def merge_flipped(
        self, prediction: RegressionPrediction, flipped: RegressionPrediction
    ) -> RegressionPrediction:
        """Return the mean with the mirrored image's coordinates, x' = w - 1 - x, pairs swapped."""
        mirrored = flipped._replace(coordinates=self.mirror(flipped.coordinates))
        pairs = zip(prediction, mirrored, strict=True)
        return RegressionPrediction(*((here + there[:, self.flip_index]) / 2 for here, there in pairs))

    def mirror(self, coordinates: Tensor) -> Tensor:
        """Return where coordinates [..., D], shares of the input, lie in the mirrored image."""
        width = self.input_size[1]
        return torch.cat([(width - 1) / width - coordinates[..., :1], coordinates[..., 1:]], dim=-1)

    def _size_xy(self, like: Tensor) -> Tensor:
        return torch.tensor(self.input_size[::-1], device=like.device, dtype=torch.float32)


class CoordinateRegression(Regression):
    """One linear layer from the mean feature to K coordinates.

    The loss is smooth L1 over labelled coordinates in shares of the input; `beta` = 0 is plain L1. The score
    is 1: the head does not know how certain it is.

    Source: Toshev and Szegedy 2014 (DeepPose), arXiv:1312.4659, first stage.

    Args:
        in_channels: channels of the feature map.
        flip_permutation: K indices; their number is the number of keypoints.
        input_size: (height, width) of the network input, pixels.
        level: which feature map; -1 is the coarsest.
        beta: distance, in shares of the input, where the loss turns from quadratic to linear.
    """

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        level: int = -1,
        beta: float = 1.0,
    ) -> None:
        super().__init__(flip_permutation, input_size=input_size, level=level)
        self.beta = beta
        self.fc = nn.Linear(in_channels, 2 * len(self.flip_index))
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.constant_(self.fc.bias, 0.5)  # start in the middle of the input

    def forward(self, features: list[Tensor]) -> RegressionPrediction:
        """Return coordinates from the mean of the feature map [B, C, h, w]."""
        coordinates = self.fc(features[self.level].mean(dim=(2, 3))).unflatten(1, (-1, 2))  # [B, K, 2]
        scores = torch.ones_like(coordinates[..., 0])
        return RegressionPrediction(coordinates, torch.zeros_like(coordinates), scores)

    def loss(self, prediction: RegressionPrediction, target: RegressionTarget) -> dict[str, Tensor]:
        """Return the smooth L1 distance under "coordinates"."""
        return {"coordinates": keypoint_smooth_l1(prediction.coordinates, *target, beta=self.beta)}


class ResidualLikelihoodRegression(Regression):
    """Coordinates and their deviations, learned by maximum likelihood under a flow learned beside them.

    Source: Li et al. 2021 (RLE), arXiv:2107.11291, and release. The score is the mean of 1 - sigma.

    Args:
        in_channels: channels of the feature map.
        flip_permutation: K indices; their number is the number of keypoints.
        input_size: (height, width) of the network input, pixels.
        level: which feature map; -1 is the coarsest.
    """

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        level: int = -1,
    ) -> None:
        super().__init__(flip_permutation, input_size=input_size, level=level)
        self.fc = nn.Linear(in_channels, 4 * len(self.flip_index))
        self.flow = RealNVP()
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: list[Tensor]) -> RegressionPrediction:
        """Return coordinates and deviations from the mean of the feature map [B, C, h, w]."""
        out = self.fc(features[self.level].mean(dim=(2, 3))).float().unflatten(1, (-1, 4))  # [B, K, 4]
        sigma = out[..., 2:].sigmoid()
        return RegressionPrediction(out[..., :2], sigma, (1 - sigma).mean(dim=-1))

    def loss(self, prediction: RegressionPrediction, target: RegressionTarget) -> dict[str, Tensor]:
        """Return the negative log-likelihood under "likelihood"."""
        # Mask before the flow: a NaN that went through it would survive in the gradient.
        known = target.labelled.unsqueeze(-1)
        error = torch.where(known, prediction.coordinates - target.coordinates, 0.0)
        error = error / (prediction.sigma + 1e-9)
        log_phi = self.flow.log_probability(error)
        value = residual_log_likelihood(error, prediction.sigma, log_phi, target.labelled)
        return {"likelihood": value}


class RealNVP(nn.Module):
    """An invertible map of the plane that turns a learned density into a normal one.

    Six affine couplings; each moves and scales one coordinate by networks of the other.

    Source: Dinh et al. 2017, arXiv:1605.08803; sizes of the release of RLE.
    Differs: biases start at zero too, so that training starts from the normal density, whose mode is 0.

    Args:
        hidden: width of the networks.
        num_couplings: of affine layers, taken alternately in x and y.
    """

    def __init__(self, *, hidden: int = 64, num_couplings: int = 6) -> None:
        super().__init__()
        masks = [[float(i % 2), float(1 - i % 2)] for i in range(num_couplings)]  # 1: kept, and looked at
        self.register_buffer("masks", torch.tensor(masks), persistent=False)
        self.scales = nn.ModuleList(_coupling(hidden, bounded=True) for _ in masks)
        self.shifts = nn.ModuleList(_coupling(hidden, bounded=False) for _ in masks)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=0.01)
                nn.init.zeros_(module.bias)

    def log_probability(self, x: Tensor) -> Tensor:
        """Return the logarithm of the density [...] at points [..., 2]."""
        log_determinant = x.new_zeros(x.shape[:-1])
        layers = list(zip(self.masks, self.scales, self.shifts, strict=True))
        for mask, scale_net, shift_net in reversed(layers):
            kept = mask * x
            scale, shift = scale_net(kept) * (1 - mask), shift_net(kept) * (1 - mask)
            x = kept + (1 - mask) * (x - shift) * torch.exp(-scale)
            log_determinant = log_determinant - scale.sum(dim=-1)
        return -0.5 * x.square().sum(dim=-1) - math.log(2 * math.pi) + log_determinant


def _coupling(hidden: int, *, bounded: bool) -> nn.Sequential:
    """Return the network of one coupling, 2 -> 2; scales are bounded by a tanh."""
    layers = [nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, 2), *([nn.Tanh()] if bounded else []))
