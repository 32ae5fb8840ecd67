"""SimCC: a keypoint as two classifications, of its bin along x and along y."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pctlib.losses import simcc_kl
from pctlib.models.representations.base import Keypoints, Representation, feature_grid, flip_index
from pctlib.models.representations.simcc_coding import SimCCCoding, SimCCTarget


class SimCCPrediction(NamedTuple):
    """Attributes: x: [B, K, Wx]; y: [B, K, Wy], both unnormalised."""

    x: Tensor
    y: Tensor


class SimCCHead(nn.Module):
    """One 1x1 convolution to a map a keypoint, then one linear layer an axis on the flattened map.

    Source: Li et al. 2022, arXiv:2107.03332, figure 2; names and start as in mmpose 1.3.2 `SimCCHead`.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        grid_size: (h, w) of the feature map, cells.
        num_bins_xy: bins along x and along y.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        num_bins_xy: tuple[int, int],
    ) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        cells = grid_size[0] * grid_size[1]
        self.final_layer = nn.Conv2d(in_channels, num_keypoints, kernel_size=1)
        self.mlp_head_x = nn.Linear(cells, num_bins_xy[0])
        self.mlp_head_y = nn.Linear(cells, num_bins_xy[1])
        nn.init.normal_(self.final_layer.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)
        for linear in (self.mlp_head_x, self.mlp_head_y):
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> SimCCPrediction:
        """Return the bins of a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        check_grid(features, self.grid_size)
        x = self.final_layer(features).flatten(2)  # [B, K, h w]
        return SimCCPrediction(self.mlp_head_x(x), self.mlp_head_y(x))


class SimCC(Representation):
    """Poses as one distribution an axis over bins finer than a pixel.

    Source: Li et al. 2022, arXiv:2107.03332.

    Args:
        head: maps one feature map [B, C, h, w] to a `SimCCPrediction`.
        coding: how keypoints are written as vectors, and read back.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        level: which feature map the head takes; -1 is the coarsest, 0 the finest.
        beta: inverse temperature of the predicted distributions in the loss.
        label_beta: inverse temperature of a softmax over the labels; None: the labels as they are.

    Raises:
        ValueError: if `flip_permutation` is not its own inverse.
    """

    def __init__(
        self,
        head: nn.Module,
        coding: SimCCCoding,
        *,
        flip_permutation: Sequence[int],
        level: int = -1,
        beta: float = 1.0,
        label_beta: float | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.coding, self.input_size = coding, tuple(coding.input_size)
        self.level = level
        self.beta = beta
        self.label_beta = label_beta
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)

    @classmethod
    def linear(
        cls,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        sigma_xy: tuple[float, float] = (6.0, 6.0),
        feature_stride: int = 32,
        dark: bool = False,
    ) -> "SimCC":
        """Build SimCC as published: normalised Gaussians of sigma 6 bins, two bins a pixel.

        Args:
            in_channels: channels of the coarsest feature map.
            flip_permutation: K indices; their number is the number of keypoints.
            input_size: (height, width) of the network input, pixels.
            sigma_xy: of the Gaussians, bins.
            feature_stride: input pixels a cell of the feature map.
            dark: refine the highest bin.

        Raises:
            ValueError: if the input size is no multiple of the feature stride.
        """
        coding = SimCCCoding(tuple(input_size), sigma_xy, normalized=True, dark=dark)
        grid_size = feature_grid(input_size, feature_stride)
        K = len(flip_permutation)
        head = SimCCHead(in_channels, K, grid_size=grid_size, num_bins_xy=coding.num_bins_xy)
        return cls(head, coding, flip_permutation=flip_permutation)

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> SimCCTarget:
        """Return the vectors and weights of keypoints [B, K, 2] (input px) with COCO flags [B, K]."""
        return self.coding.encode(keypoints, visible)

    def forward(self, features: list[Tensor]) -> SimCCPrediction:
        """Return the bins from the feature map this representation takes."""
        return self.head(features[self.level])

    def loss(self, prediction: SimCCPrediction, target: SimCCTarget) -> dict[str, Tensor]:
        """Return the KL divergence of both axes under "simcc"."""
        betas = {"beta": self.beta, "label_beta": self.label_beta}
        along_x = simcc_kl(prediction.x, target.x, target.weights, **betas)
        return {"simcc": along_x + simcc_kl(prediction.y, target.y, target.weights, **betas)}

    def decode(self, prediction: SimCCPrediction) -> Keypoints:
        """Return keypoints [B, K, 2] in input pixels; the score is the smaller maximum of the two axes."""
        return self.coding.decode(prediction.x, prediction.y)

    def merge_flipped(self, prediction: SimCCPrediction, flipped: SimCCPrediction) -> SimCCPrediction:
        """Return the mean with the mirrored image's vectors, x reversed and pairs swapped.

        As published there is no shift: a reversed vector lies one bin too far right, 2 (w - 1 - x) being bin
        2 w - 2 - 2 x and its mirror bin 2 x + 1 of 2 w.
        """
        x = (prediction.x + flipped.x.flip(-1)[:, self.flip_index]) / 2
        return SimCCPrediction(x, (prediction.y + flipped.y[:, self.flip_index]) / 2)


def check_grid(features: Tensor, grid_size: tuple[int, int]) -> None:
    """Raise ValueError if a feature map [B, C, h, w] has another grid than (h, w)."""
    if tuple(features.shape[-2:]) != tuple(grid_size):
        raise ValueError(f"expected a feature grid of {tuple(grid_size)}, got {tuple(features.shape[-2:])}")
