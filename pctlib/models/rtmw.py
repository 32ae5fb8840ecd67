"""RTMW: RTMPose for the whole body, with a path aggregation neck and a head on two of its maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.cspnext import ConvNormAct, CSPLayer, CSPNeXt
from pctlib.models.representations.base import feature_grid
from pctlib.models.representations.rtmcc import GatedAttentionUnit, ScaleNorm
from pctlib.models.representations.simcc import SimCC, SimCCPrediction, check_grid
from pctlib.models.representations.simcc_coding import SimCCCoding

_STRIDE = 32


class PathAggregation(nn.Module):
    """Three maps mixed from coarse to fine and back; the two coarser come out.

    Source: Lyu et al. 2022 (RTMDet), arXiv:2212.07784; names as in mmpose 1.3.2 `CSPNeXtPAFPN`.

    Args:
        channels: C of the three maps, finest first; each is half as fine as the one before.
        num_blocks: of each CSP layer.
    """

    def __init__(self, channels: Sequence[int], *, num_blocks: int = 2) -> None:
        super().__init__()
        fine, middle, coarse = channels

        def mix(in_channels: int, out_channels: int) -> CSPLayer:
            return CSPLayer(in_channels, out_channels, num_blocks=num_blocks, shortcut=False, attention=False)

        self.reduce_layers = nn.ModuleList(
            [ConvNormAct(coarse, middle, kernel=1), ConvNormAct(middle, fine, kernel=1)]
        )
        self.top_down_blocks = nn.ModuleList([mix(2 * middle, middle), mix(2 * fine, fine)])
        self.downsamples = nn.ModuleList(
            [ConvNormAct(fine, fine, kernel=3, stride=2), ConvNormAct(middle, middle, kernel=3, stride=2)]
        )
        self.bottom_up_blocks = nn.ModuleList([mix(2 * fine, middle), mix(2 * middle, coarse)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps [B, C, h, w] of the sizes of the last two of three given ones, finest first."""
        inner, upper = maps[-1], []
        for finer, reduce, mix in zip(maps[-2::-1], self.reduce_layers, self.top_down_blocks, strict=True):
            reduced = reduce(inner)
            upper.append(reduced)
            enlarged = F.interpolate(reduced, scale_factor=2, mode="nearest")
            inner = mix(torch.cat([enlarged, finer], dim=1))
        out = []
        for same, shrink, mix in zip(upper[::-1], self.downsamples, self.bottom_up_blocks, strict=True):
            inner = mix(torch.cat([shrink(inner), same], dim=1))
            out.append(inner)
        return out


class AggregatedCSPNeXt(nn.Module):
    """CSPNeXt and the neck of RTMW, in the form of a backbone with two maps.

    Args:
        depth: factor of the number of blocks of the backbone.
        width: factor of the channels.

    Attributes:
        channels: C of the two maps.
        strides: input pixels a cell of each: 16, 32.
    """

    def __init__(self, depth: float = 1.0, width: float = 1.0, *, neck_blocks: int = 2) -> None:
        super().__init__()
        self.net = CSPNeXt(depth, width)
        self.neck = PathAggregation(self.net.channels[-3:], num_blocks=neck_blocks)
        self.channels, self.strides = self.net.channels[-2:], self.net.strides[-2:]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the two maps [B, C, h, w] of images [B, 3, H, W], finest first."""
        return self.neck(self.net(images)[-3:])


class ConvNormReLU(ConvNormAct):
    """Convolution without bias that keeps the size, batch norm, ReLU; all [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H, W]."""
        return F.relu(self.bn(self.conv(x)))


class RTMWHead(nn.Module):
    """Tokens of the keypoints from two maps, half of the width from each, attention, one layer an axis.

    Source: Jiang et al. 2024 (RTMW), arXiv:2407.08634; names as in mmpose 1.3.2 `RTMWHead`.

    Args:
        in_channels: C of the coarser map; that of the finer is half of it.
        num_keypoints: K.
        grid_size: (h, w) of the coarser map, cells.
        num_bins_xy: bins along x and along y.
        hidden_dim: width of a token.
        key_dim: width of queries and keys.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        num_bins_xy: tuple[int, int],
        hidden_dim: int = 256,
        key_dim: int = 128,
    ) -> None:
        super().__init__()
        self.grid_size = tuple(grid_size)
        quarter, cells = in_channels // 4, grid_size[0] * grid_size[1]
        self.conv_dec = ConvNormReLU(quarter, quarter, kernel=7)
        self.final_layer = ConvNormReLU(in_channels, num_keypoints, kernel=7)
        self.final_layer2 = ConvNormReLU(in_channels // 2 + quarter, num_keypoints, kernel=7)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, hidden_dim // 2, bias=False))
        self.mlp2 = nn.Sequential(ScaleNorm(4 * cells), nn.Linear(4 * cells, hidden_dim // 2, bias=False))
        self.gau = GatedAttentionUnit(hidden_dim, key_dim=key_dim)
        self.cls_x = nn.Linear(hidden_dim, num_bins_xy[0], bias=False)
        self.cls_y = nn.Linear(hidden_dim, num_bins_xy[1], bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.001)
        for linear in (self.mlp[1], self.mlp2[1], self.cls_x, self.cls_y):
            nn.init.normal_(linear.weight, std=0.01)

    def forward(self, fine: Tensor, coarse: Tensor) -> SimCCPrediction:
        """Return the bins of maps [B, C / 2, 2 h, 2 w] and [B, C, h, w].

        Raises:
            ValueError: if the coarse grid is not the one given at construction.
        """
        check_grid(coarse, self.grid_size)
        of_coarse = self.mlp(self.final_layer(coarse).flatten(2))  # [B, K, hidden / 2]
        joined = torch.cat([self.conv_dec(F.pixel_shuffle(coarse, 2)), fine], dim=1)
        of_fine = self.mlp2(self.final_layer2(joined).flatten(2))  # [B, K, hidden / 2]
        tokens = self.gau(torch.cat([of_coarse, of_fine], dim=2))  # [B, K, hidden]
        return SimCCPrediction(self.cls_x(tokens), self.cls_y(tokens))


class RTMW(SimCC):
    """RTMW's representation: RTMPose's SimCC from two maps.

    Source: Jiang et al. 2024, arXiv:2407.08634; constants of the loss as in mmpose's configurations.

    Args:
        in_channels: C of the coarser map.
        flip_permutation: K indices; their number is the number of keypoints.
        input_size: (height, width) of the network input, pixels, multiples of 32.
        hidden_dim: width of a token.
        key_dim: width of queries and keys.

    Raises:
        ValueError: if the input size is no multiple of 32, or `flip_permutation` is not its own inverse.
    """

    def __init__(
        self,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        hidden_dim: int = 256,
        key_dim: int = 128,
    ) -> None:
        coding = SimCCCoding(tuple(input_size), None)
        head = RTMWHead(
            in_channels,
            len(flip_permutation),
            grid_size=feature_grid(input_size, _STRIDE),
            num_bins_xy=coding.num_bins_xy,
            hidden_dim=hidden_dim,
            key_dim=key_dim,
        )
        super().__init__(head, coding, flip_permutation=flip_permutation, beta=1.0, label_beta=10.0)

    def forward(self, features: list[Tensor]) -> SimCCPrediction:
        """Return the bins from the last two feature maps."""
        return self.head(features[-2], features[-1])
