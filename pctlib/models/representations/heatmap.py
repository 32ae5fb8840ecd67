"""Heatmaps: one map a keypoint, bright where the keypoint is."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pctlib.losses import heatmap_mse
from pctlib.models.representations.base import CropKind, Keypoints, Representation, feature_grid, flip_index
from pctlib.models.representations.heatmap_coding import CodingKind, HeatmapCoding, HeatmapTarget


class HeatmapPrediction(NamedTuple):
    """Attributes: heatmaps: [B, K, H, W], real values, about 1 at a keypoint."""

    heatmaps: Tensor


class DeconvolutionHead(nn.Module):
    """Transposed convolutions that double the feature map, then one 1x1 convolution to K maps.

    Source: Xiao et al. 2018 (SimpleBaseline), arXiv:1804.06208, section 2; the classic decoder of ViTPose,
    arXiv:2204.12484, is the same with two layers. Without layers (`channels=()`) it is HRNet's head.

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        channels: width of each transposed convolution, which doubles height and width.
        kernels: kernel size of each, 2, 3 or 4.

    Raises:
        ValueError: if `channels` and `kernels` differ in length or a kernel is not 2, 3 or 4.
    """

    # kernel: (padding, output padding) with which stride 2 doubles the size
    _PADDING = {4: (1, 0), 3: (1, 1), 2: (0, 0)}  # noqa: RUF012

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        channels: Sequence[int] = (256, 256, 256),
        kernels: Sequence[int] = (4, 4, 4),
    ) -> None:
        super().__init__()
        if len(channels) != len(kernels):
            raise ValueError(f"expected as many channels as kernels, got {len(channels)} and {len(kernels)}")
        layers: list[nn.Module] = []
        for width, kernel in zip(channels, kernels, strict=True):
            if kernel not in self._PADDING:
                raise ValueError(f"kernels: expected 2, 3 or 4, got {kernel}")
            padding, extra = self._PADDING[kernel]
            deconv = nn.ConvTranspose2d(in_channels, width, kernel, 2, padding, extra, bias=False)
            layers += [deconv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            in_channels = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(in_channels, num_keypoints, kernel_size=1)
        for module in self.modules():  # as published: small enough to start from empty maps
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.final_layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return heatmaps [B, K, H 2^n, W 2^n] of a feature map [B, C, H, W] after n layers."""
        return self.final_layer(self.deconv_layers(features))


class Heatmap(Representation):
    """Poses as one Gaussian heatmap a keypoint, learned by mean squared error.

    Source: Tompson et al. 2014, arXiv:1406.2984; Xiao et al. 2018, arXiv:1804.06208.

    Args:
        head: maps one feature map [B, C, h, w] to heatmaps [B, K, H, W].
        coding: how keypoints are written as maps of this size, and read back.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        level: which feature map the head takes; -1 is the coarsest, 0 the finest.
        shift_flipped: move the mirrored maps one cell to the right before the mean (`shift_heatmap` in the
            releases of HRNet and mmpose): where the corners of map and input do not meet, mirrored maps lie
            (stride - 1) / stride cells too far left. None: for every coding but UDP, which needs none.

    Raises:
        ValueError: if `flip_permutation` is not its own inverse.
    """

    def __init__(
        self,
        head: nn.Module,
        coding: HeatmapCoding,
        *,
        flip_permutation: Sequence[int],
        level: int = -1,
        shift_flipped: bool | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.coding, self.input_size = coding, tuple(coding.input_size)
        self.level = level
        self.crop = CropKind(udp=coding.kind == "udp")
        self.shift_flipped = coding.kind != "udp" if shift_flipped is None else shift_flipped
        self.register_buffer("flip_index", flip_index(flip_permutation), persistent=False)

    @classmethod
    def simple_baseline(
        cls,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        coding: CodingKind = "standard",
        sigma: float = 2.0,
        feature_stride: int = 32,
        channels: Sequence[int] = (256, 256, 256),
        kernels: Sequence[int] = (4, 4, 4),
    ) -> "Heatmap":
        """Build SimpleBaseline's head on the coarsest feature map of a backbone.

        Args:
            in_channels: channels of that map.
            flip_permutation: K indices; their number is the number of keypoints.
            input_size: (height, width) of the network input, pixels.
            coding: "standard", "dark" or "udp".
            sigma: of the Gaussians, cells; published: 2 for 256x192, 3 for 384x288.
            feature_stride: input pixels a cell of the feature map.
            channels: width of each transposed convolution.
            kernels: kernel size of each.

        Raises:
            ValueError: if the input size is no multiple of the feature stride.
        """
        height, width = (cells * 2 ** len(channels) for cells in feature_grid(input_size, feature_stride))
        head = DeconvolutionHead(in_channels, len(flip_permutation), channels=channels, kernels=kernels)
        written = HeatmapCoding(coding, tuple(input_size), (height, width), sigma)
        return cls(head, written, flip_permutation=flip_permutation)

    def encode(self, keypoints: Tensor, visible: Tensor, *, images: Tensor | None = None) -> HeatmapTarget:
        """Return the heatmaps and weights of keypoints [B, K, 2] (input px) with COCO flags [B, K]."""
        return self.coding.encode(keypoints, visible)

    def forward(self, features: list[Tensor]) -> HeatmapPrediction:
        """Return heatmaps from the feature map this representation takes."""
        return HeatmapPrediction(self.head(features[self.level]))

    def loss(self, prediction: HeatmapPrediction, target: HeatmapTarget) -> dict[str, Tensor]:
        """Return the mean squared error of the maps under "heatmap"."""
        return {"heatmap": heatmap_mse(prediction.heatmaps, target.heatmaps, target.weights)}

    def decode(self, prediction: HeatmapPrediction) -> Keypoints:
        """Return keypoints [B, K, 2] in input pixels; the score is the height of the peak."""
        return self.coding.decode(prediction.heatmaps)

    def merge_flipped(self, prediction: HeatmapPrediction, flipped: HeatmapPrediction) -> HeatmapPrediction:
        """Return the mean of the maps and the mirrored image's maps, turned back and with pairs swapped."""
        turned = flipped.heatmaps.flip(-1)[:, self.flip_index]  # [B, K, H, W]
        if self.shift_flipped:
            turned = torch.cat((turned[..., :1], turned[..., :-1]), dim=-1)
        return HeatmapPrediction((prediction.heatmaps + turned) / 2)
