"""Writing keypoints as Gaussian heatmaps and reading them back: standard, DARK and UDP coding."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from einops import rearrange
from torch import Tensor

from pctlib.models.representations.base import Keypoints

CodingKind = Literal["standard", "dark", "udp"]


class HeatmapTarget(NamedTuple):
    """What a heatmap network learns from.

    Attributes:
        heatmaps: [B, K, H, W], Gaussians of height 1; empty where the weight is 0.
        weights: [B, K], 1 for a labelled keypoint whose Gaussian touches the map, else 0.
    """

    heatmaps: Tensor
    weights: Tensor


@dataclass(frozen=True)
class HeatmapCoding:
    """One way of writing keypoints as heatmaps, and of reading them back.

    * `standard`: Gaussian around the nearest cell; read back as the highest cell moved by a quarter cell
      towards its larger neighbour. Source: Xiao et al. 2018, arXiv:1804.06208; Newell et al. 2016,
      arXiv:1603.06937 (the quarter).
    * `dark`: Gaussian around the real-valued centre; read back by one Newton step on the logarithm of the
      blurred map. Source: Zhang et al. 2020, arXiv:1910.06278, section 3.
    * `udp`: like `dark`, with the stride (input - 1) / (map - 1), so that the corners of input and map meet.
      Source: Huang et al. 2020, arXiv:1911.07524, section 3.

    All three equal mmpose 1.3.2 with two differences. (1) mmpose's UDP decoder returns cell / (map - 1) x
    input, and its mapping to the image undoes that; here keypoints are always pixels of the input, so `udp`
    multiplies by (input - 1) / (map - 1), the inverse of its encoding. (2) An empty map is read as the cell
    (-1, -1) with score 0 by all three, where mmpose's `udp` gives NaN.

    Attributes:
        kind: "standard", "dark" or "udp".
        input_size: (height, width) of the network input, pixels.
        heatmap_size: (height, width) of the maps, cells.
        sigma: standard deviation of the Gaussian, cells. The blur of `dark` and `udp` follows from it.

    Raises:
        ValueError: for an unknown kind, a size below 2 or a sigma that is not positive.
    """

    kind: CodingKind
    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(CodingKind):
            raise ValueError(f"kind: expected one of {get_args(CodingKind)}, got {self.kind!r}")
        for name in ("input_size", "heatmap_size"):
            if len(getattr(self, name)) != 2 or min(getattr(self, name)) < 2:
                raise ValueError(f"{name}: expected (height, width) of at least 2, got {getattr(self, name)}")
        if not self.sigma > 0:
            raise ValueError(f"sigma: expected a positive number of cells, got {self.sigma}")

    @property
    def stride_xy(self) -> tuple[float, float]:
        """Input pixels from one cell to the next, along x and along y."""
        last = 1 if self.kind == "udp" else 0
        (in_h, in_w), (map_h, map_w) = self.input_size, self.heatmap_size
        return (in_w - last) / (map_w - last), (in_h - last) / (map_h - last)

    @property
    def blur_kernel(self) -> int:
        """Width of the blur before the Newton step, cells; as published 11 for sigma 2, 17 for sigma 3."""
        return 2 * max(round(3 * self.sigma - 1), 1) + 1

    def encode(self, keypoints: Tensor, visible: Tensor) -> HeatmapTarget:
        """Write keypoints as heatmaps.

        Args:
            keypoints: [B, K, 2] input pixels; anything, also NaN, where not labelled.
            visible: [B, K] COCO flags; hidden and visible keypoints weigh the same.

        Returns:
            The maps, and weight 0 where a keypoint is unlabelled or its 3 sigma patch misses the map.

        Raises:
            ValueError: if the shapes are not [B, K, 2] and [B, K].
        """
        if keypoints.shape != (*visible.shape, 2) or visible.dim() != 2:
            got = tuple(keypoints.shape), tuple(visible.shape)
            raise ValueError(f"expected keypoints [B, K, 2] and visible [B, K], got {got}")
        labelled = visible > 0
        cells = torch.where(labelled.unsqueeze(-1), keypoints, 0.0).float() / self._stride(
            keypoints
        )  # [B, K, 2]
        rounded = (cells + 0.5).trunc()
        inside = self._touches_map(cells if self.kind == "dark" else rounded)
        centre = rounded if self.kind == "standard" else cells
        height, width = self.heatmap_size
        gaussian_x = self._gaussian(centre[..., 0], rounded[..., 0], width)  # [B, K, W]
        gaussian_y = self._gaussian(centre[..., 1], rounded[..., 1], height)  # [B, K, H]
        weights = (labelled & inside).float()
        gaussian_y = gaussian_y * weights.unsqueeze(-1)
        return HeatmapTarget(gaussian_y.unsqueeze(-1) * gaussian_x.unsqueeze(-2), weights)

    def decode(self, heatmaps: Tensor) -> Keypoints:
        """Read keypoints from heatmaps.

        Args:
            heatmaps: [B, K, H, W], any real values.

        Returns:
            Keypoints in input pixels, and the highest value of each map as score.

        Raises:
            ValueError: if the maps are not of `heatmap_size`.
        """
        if heatmaps.dim() != 4 or tuple(heatmaps.shape[-2:]) != tuple(self.heatmap_size):
            raise ValueError(f"expected heatmaps [B, K, {self.heatmap_size}], got {tuple(heatmaps.shape)}")
        maps = heatmaps.float()
        scores, index = maps.flatten(2).max(dim=-1)  # [B, K]
        width = self.heatmap_size[1]
        cells = torch.stack((index % width, index // width), dim=-1)  # [B, K, 2], x before y
        refine = {"standard": _quarter_shift, "dark": self._dark_step, "udp": self._udp_step}[self.kind]
        refined = cells + refine(maps, cells)
        found = (scores > 0).unsqueeze(-1)
        return Keypoints(torch.where(found, refined, -1.0) * self._stride(maps), scores)

    def _stride(self, like: Tensor) -> Tensor:
        return torch.tensor(self.stride_xy, device=like.device)  # [2]

    def _gaussian(self, centre: Tensor, middle: Tensor, size: int) -> Tensor:
        """Return [B, K, size]: a Gaussian at `centre`, cut (not for DARK) 3 sigma from the cell `middle`."""
        grid = torch.arange(size, device=centre.device)
        values = torch.exp(-((grid - centre.unsqueeze(-1)) ** 2) / (2 * self.sigma**2))
        if self.kind == "dark":
            return values
        return values * ((grid - middle.unsqueeze(-1)).abs() <= 3 * self.sigma)

    def _touches_map(self, centre: Tensor) -> Tensor:
        """Return [B, K] bool: does the patch of 3 sigma around a centre [B, K, 2] overlap the map?"""
        size_xy = centre.new_tensor(self.heatmap_size[::-1])
        low, high = (centre - 3 * self.sigma).trunc(), (centre + 3 * self.sigma + 1).trunc()
        return ((low < size_xy) & (high >= 0)).all(dim=-1)

    def _blur(self, maps: Tensor) -> Tensor:
        """Return the maps blurred with a zero border, each scaled back to its old maximum."""
        band_y, band_x = (blur_matrix(size, self.blur_kernel // 2, maps) for size in self.heatmap_size)
        with torch.autocast(
            maps.device.type, enabled=False
        ):  # a product in half precision would cost the subpixel
            blurred = band_y @ maps @ band_x  # [B, K, H, W]
        tiny = torch.finfo(blurred.dtype).tiny
        return blurred * (maps.amax((-2, -1), True) / blurred.amax((-2, -1), True).clamp(min=tiny))

    def _dark_step(self, maps: Tensor, cells: Tensor) -> Tensor:
        """Return the Newton step [B, K, 2] of DARK; its second differences are taken over two cells."""
        size_xy = cells.new_tensor(self.heatmap_size[::-1])
        window = _logarithms(_neighbours(self._blur(maps), cells, radius=2).clamp(min=1e-10))  # [B, K, 5, 5]
        gradient, (xx, yy) = _first_differences(window), _second_differences(window, step=2)
        xy = (window[..., 3, 3] - window[..., 1, 3] - window[..., 3, 1] + window[..., 1, 1]) / 4
        inner = ((cells > 1) & (cells < size_xy - 2)).all(dim=-1)
        return _newton_step(gradient, xx, xy, yy, valid=inner & (xx * yy - xy**2 != 0))

    def _udp_step(self, maps: Tensor, cells: Tensor) -> Tensor:
        """Return the Newton step [B, K, 2] of UDP, with unit second differences, also at the border."""
        window = _logarithms(_neighbours(self._blur(maps), cells, radius=1).clamp(1e-3, 50.0))  # [B, K, 3, 3]
        gradient, (xx, yy) = _first_differences(window), _second_differences(window, step=1)
        centre, plus, minus = window[..., 1, 1], window[..., 2, 2], window[..., 0, 0]
        cross = window[..., 1, 2] + window[..., 2, 1] + window[..., 1, 0] + window[..., 0, 1]
        xy = (plus + minus + 2 * centre - cross) / 2
        eps = torch.finfo(torch.float32).eps
        return _newton_step(gradient, xx + eps, xy, yy + eps, valid=torch.ones_like(xx, dtype=torch.bool))


def _quarter_shift(maps: Tensor, cells: Tensor) -> Tensor:
    """Return [B, K, 2]: a quarter cell to the larger neighbour; 0 near the border or between equals."""
    size_xy = cells.new_tensor([maps.shape[-1], maps.shape[-2]])
    step = _first_differences(_neighbours(maps, cells, radius=1)).sign() / 4
    inside = (cells > 0).all(dim=-1, keepdim=True)  # off the first row and column
    return step * (inside & (cells > 1) & (cells < size_xy - 1))


def _neighbours(maps: Tensor, cells: Tensor, *, radius: int) -> Tensor:
    """Return the windows [B, K, 2r+1, 2r+1] (y, x) around cells [B, K, 2] of maps, edges repeated."""
    height, width = maps.shape[-2:]
    offset = torch.arange(-radius, radius + 1, device=maps.device)
    x = (cells[..., 0:1] + offset).clamp(0, width - 1)  # [B, K, 2r+1]
    y = (cells[..., 1:2] + offset).clamp(0, height - 1)
    index = rearrange(y.unsqueeze(-1) * width + x.unsqueeze(-2), "B K h w -> B K (h w)")
    return maps.flatten(2).gather(-1, index).unflatten(-1, (2 * radius + 1, 2 * radius + 1))


def _logarithms(window: Tensor) -> Tensor:
    """Return the logarithms of windows [B, K, n, n]; in exported files less that of their middle.

    Derivatives are the same, and equal values give exactly 0: other libraries' logarithms of equal values
    differ in the last bit, of which the Newton step makes whole cells in a flat window.
    """
    if not torch.compiler.is_exporting():
        return window.log()
    m = window.shape[-1] // 2
    return (window / window[..., m : m + 1, m : m + 1]).log()


def _first_differences(window: Tensor) -> Tensor:
    """Return central differences [B, K, 2] (x, y) at the middle of a window [B, K, n, n]."""
    m = window.shape[-1] // 2
    along_x = window[..., m, m + 1] - window[..., m, m - 1]
    along_y = window[..., m + 1, m] - window[..., m - 1, m]
    return torch.stack((along_x, along_y), dim=-1) / 2


def _second_differences(window: Tensor, *, step: int) -> tuple[Tensor, Tensor]:
    """Return second differences along x and y, [B, K] each, over `step` cells at the middle of a window."""
    m = window.shape[-1] // 2
    twice = 2 * window[..., m, m]
    along_x = window[..., m, m + step] - twice + window[..., m, m - step]
    along_y = window[..., m + step, m] - twice + window[..., m - step, m]
    return along_x / step**2, along_y / step**2


def _newton_step(gradient: Tensor, xx: Tensor, xy: Tensor, yy: Tensor, *, valid: Tensor) -> Tensor:
    """Return -Hessian^-1 gradient, [B, K, 2]; zero where not `valid` or where the Hessian is singular."""
    determinant = xx * yy - xy**2
    valid = valid & (determinant != 0)
    determinant = torch.where(valid, determinant, 1.0)
    gx, gy = gradient.unbind(dim=-1)
    step = torch.stack((xy * gy - yy * gx, xy * gx - xx * gy), dim=-1) / determinant.unsqueeze(-1)
    return torch.where(valid.unsqueeze(-1), step, 0.0)


def blur_matrix(size: int, radius: int, like: Tensor) -> Tensor:
    """Return the symmetric band matrix [size, size] that blurs a vector with a Gaussian and a zero border.

    Args:
        size: length of the vector.
        radius: the kernel has 2 radius + 1 weights; its sigma is OpenCV's automatic choice for that.
        like: tensor whose device and dtype the matrix takes.
    """
    sigma = 0.3 * (radius - 1) + 0.8
    offset = torch.arange(-radius, radius + 1, device=like.device, dtype=torch.float32)
    total = torch.exp(-(offset**2) / (2 * sigma**2)).sum()
    grid = torch.arange(size, device=like.device, dtype=torch.float32)
    distance = (grid.unsqueeze(0) - grid.unsqueeze(1)).abs()
    band = torch.exp(-(distance**2) / (2 * sigma**2)) * (distance <= radius) / total
    return band.to(like.dtype)
