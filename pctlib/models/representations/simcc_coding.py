"""Writing keypoints as two vectors, one along x and one along y, and reading them back."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pctlib.models.representations.base import Keypoints
from pctlib.models.representations.heatmap_coding import blur_matrix


class SimCCTarget(NamedTuple):
    """What a SimCC network learns from.

    Attributes:
        x: [B, K, Wx], a Gaussian along the bins of x; zero where the weight is 0.
        y: [B, K, Wy], the same along y.
        weights: [B, K], 1 for a labelled keypoint within 3 sigma of the image, else 0.
    """

    x: Tensor
    y: Tensor
    weights: Tensor


@dataclass(frozen=True)
class SimCCCoding:
    """Keypoints as a Gaussian along the bins of each axis; read back as the highest bin.

    Equal to mmpose 1.3.2 `SimCCLabel`.

    Source: Li et al. 2022 (SimCC), arXiv:2107.03332, section 3; sigma by axis from RTMPose, arXiv:2303.07399.

    Attributes:
        input_size: (height, width) of the network input, pixels.
        sigma_xy: standard deviations along x and y, bins. None: sqrt(bins / 16), RTMPose's rule.
        bins_per_pixel: the split ratio.
        normalized: divide each Gaussian by sigma sqrt(2 pi), so that its sum is 1; else its peak is 1.
        dark: refine the highest bin by one Newton step on the logarithm of the blurred vector.

    Raises:
        ValueError: if a size, a sigma or the number of bins is not positive.
    """

    input_size: tuple[int, int]
    sigma_xy: tuple[float, float] | None = None
    bins_per_pixel: float = 2.0
    normalized: bool = False
    dark: bool = False

    def __post_init__(self) -> None:
        if len(self.input_size) != 2 or min(self.input_size) < 2:
            raise ValueError(f"input_size: expected (height, width) of at least 2, got {self.input_size}")
        if not self.bins_per_pixel > 0:
            raise ValueError(f"bins_per_pixel: expected a positive number, got {self.bins_per_pixel}")
        if self.sigma_xy is None:
            rule = tuple(round(math.sqrt(bins / 16), 2) for bins in self.num_bins_xy)
            object.__setattr__(self, "sigma_xy", rule)
        if len(self.sigma_xy) != 2 or not min(self.sigma_xy) > 0:
            raise ValueError(f"sigma_xy: expected two positive numbers of bins, got {self.sigma_xy}")

    @property
    def num_bins_xy(self) -> tuple[int, int]:
        """Bins along x and along y."""
        height, width = self.input_size
        return round(width * self.bins_per_pixel), round(height * self.bins_per_pixel)

    def encode(self, keypoints: Tensor, visible: Tensor) -> SimCCTarget:
        """Write keypoints as vectors.

        Args:
            keypoints: [B, K, 2] input pixels; anything, also NaN, where not labelled.
            visible: [B, K] COCO flags; hidden and visible keypoints weigh the same.

        Raises:
            ValueError: if the shapes are not [B, K, 2] and [B, K].
        """
        if keypoints.shape != (*visible.shape, 2) or visible.dim() != 2:
            got = tuple(keypoints.shape), tuple(visible.shape)
            raise ValueError(f"expected keypoints [B, K, 2] and visible [B, K], got {got}")
        labelled = visible > 0
        known = torch.where(labelled.unsqueeze(-1), keypoints, 0.0).float()
        bins = (known * self.bins_per_pixel).round()  # [B, K, 2], halves to the even bin
        reach = 3 * bins.new_tensor(self.sigma_xy)
        touches = (bins - reach < bins.new_tensor(self.num_bins_xy)) & (bins + reach + 1 >= 0)
        weights = (labelled & touches.all(dim=-1)).float()
        return SimCCTarget(
            self._gaussian(bins, weights, axis=0), self._gaussian(bins, weights, axis=1), weights
        )

    def decode(self, x: Tensor, y: Tensor) -> Keypoints:
        """Read keypoints from vectors.

        Args:
            x: [B, K, Wx], any real values.
            y: [B, K, Wy].

        Returns:
            Keypoints in input pixels. The score is the smaller of the two maxima, as they are (no softmax);
            where it is not positive, the keypoint is at bin (-1, -1).

        Raises:
            ValueError: if the vectors have other numbers of bins.
        """
        if (x.shape[-1], y.shape[-1]) != self.num_bins_xy:
            raise ValueError(f"expected {self.num_bins_xy} bins in x and y, got {(x.shape[-1], y.shape[-1])}")
        vectors = (x.float(), y.float())
        values, bins = zip(*(vector.max(dim=-1) for vector in vectors), strict=True)
        steps = [self._dark_step(*args) for args in zip(vectors, bins, self.sigma_xy, strict=True)]
        scores = torch.minimum(*values)  # [B, K]
        found = torch.stack([b + step for b, step in zip(bins, steps, strict=True)], dim=-1)
        located = torch.where((scores > 0).unsqueeze(-1), found, -1.0)
        return Keypoints(located / self.bins_per_pixel, scores)

    def _gaussian(self, bins: Tensor, weights: Tensor, *, axis: int) -> Tensor:
        """Return [B, K, W]: Gaussians at `bins` [B, K, 2] of one axis, times the weights."""
        sigma = self.sigma_xy[axis]
        grid = torch.arange(self.num_bins_xy[axis], device=bins.device)
        values = torch.exp(-((grid - bins[..., axis].unsqueeze(-1)) ** 2) / (2 * sigma**2))
        height = 1 / (sigma * math.sqrt(2 * math.pi)) if self.normalized else 1.0
        return values * height * weights.unsqueeze(-1)

    def _dark_step(self, vector: Tensor, bins: Tensor, sigma: float) -> Tensor:
        """Return the Newton step [B, K] of one axis in bins, 0 without `dark`; as published, not bounded."""
        if not self.dark:
            return torch.zeros_like(bins, dtype=vector.dtype)
        radius = (math.floor((20 * sigma - 7) / 3) - 1) // 2  # half the kernel, made odd by -1
        with torch.autocast(vector.device.type, enabled=False):
            blurred = vector @ blur_matrix(vector.shape[-1], max(radius, 1), vector)
        tiny = torch.finfo(blurred.dtype).tiny
        blurred = blurred * (vector.amax(-1, True) / blurred.amax(-1, True).clamp(min=tiny))
        offset = torch.arange(-2, 3, device=vector.device)
        index = (bins.unsqueeze(-1) + offset).clamp(0, vector.shape[-1] - 1)  # edges repeated
        f = blurred.gather(-1, index).clamp(1e-3, 50.0).log()  # [B, K, 5]
        first = (f[..., 3] - f[..., 1]) / 2
        second = (f[..., 4] - 2 * f[..., 2] + f[..., 0]) / 4 + 1e-9
        return -first / second
