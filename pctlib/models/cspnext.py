"""CSPNeXt, the backbone of RTMPose and DWPose."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FACTORS = {  # size: (depth factor, width factor)
    "t": (0.167, 0.375),
    "s": (0.33, 0.5),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}

_STAGES = ((64, 128, 3), (128, 256, 6), (256, 512, 6), (512, 1024, 3))  # channels in, out, blocks at factor 1


class ConvNormAct(nn.Module):
    """Convolution without bias that keeps the size over its stride, batch norm, SiLU; all [B, C, H, W]."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H / stride, W / stride]."""
        return F.silu(self.bn(self.conv(x)))


class SeparableConv(nn.Module):
    """Depthwise 5x5 and pointwise 1x1 convolution, each with norm and SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvNormAct(channels, channels, kernel=5, groups=channels)
        self.pointwise_conv = ConvNormAct(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape [B, C, H, W]."""
        return self.pointwise_conv(self.depthwise_conv(x))


class CSPNeXtBlock(nn.Module):
    """A 3x3 and a separable 5x5 convolution, with or without the identity added."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(channels, channels, kernel=3)
        self.conv2 = SeparableConv(channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape [B, C, H, W]."""
        out = self.conv2(self.conv1(x))
        return out + x if self.shortcut else out


class ChannelAttention(nn.Module):
    """Weigh each channel by a gate computed from the mean of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape [B, C, H, W]."""
        return x * F.hardsigmoid(self.fc(x.mean(dim=(2, 3), keepdim=True)))


class CSPLayer(nn.Module):
    """Blocks on one half of the channels, the other half passed by, with or without attention over both."""

    def __init__(
        self, in_channels: int, out_channels: int, *, num_blocks: int, shortcut: bool, attention: bool = True
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvNormAct(in_channels, half, kernel=1)
        self.short_conv = ConvNormAct(in_channels, half, kernel=1)
        self.final_conv = ConvNormAct(2 * half, out_channels, kernel=1)
        self.blocks = nn.Sequential(*(CSPNeXtBlock(half, shortcut=shortcut) for _ in range(num_blocks)))
        self.attention = ChannelAttention(2 * half) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H, W]."""
        both = torch.cat((self.blocks(self.main_conv(x)), self.short_conv(x)), dim=1)
        return self.final_conv(self.attention(both))


class SpatialPyramidPooling(nn.Module):
    """Maxima over windows of 5, 9 and 13 cells beside the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvNormAct(channels, half, kernel=1)
        self.conv2 = ConvNormAct(4 * half, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape [B, C, H, W]."""
        x = self.conv1(x)
        pooled = [F.max_pool2d(x, size, stride=1, padding=size // 2) for size in (5, 9, 13)]
        return self.conv2(torch.cat((x, *pooled), dim=1))


class CSPNeXt(nn.Module):
    """Feature maps of an image, five as published, in the form of `Backbone`.

    Source: Lyu et al. 2022 (RTMDet), arXiv:2212.07784, section 3.2; names as in mmpose 1.3.2 `CSPNeXt`.
    Differs: the norms are torch's own (eps 1e-5, momentum 0.1), as in every RTMPose and DWPose configuration;
    mmpose's class default (1e-3, 0.03) is used by none of them.

    Args:
        depth: factor of the number of blocks.
        width: factor of the channels.
        stages: how many of the four stages after the stem; fewer keep a finer last map of small inputs.
        norm_eps: added to the variance in each norm.

    Attributes:
        depth, width: the factors.
        channels: C of each map.
        strides: input pixels a cell of each map: 2, 4, 8, 16, 32.

    Raises:
        ValueError: if the width leaves a layer without channels, the depth is not positive, or there are not
            1 to 4 stages.
    """

    def __init__(
        self, depth: float = 1.0, width: float = 1.0, *, stages: int = 4, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        stem = int(64 * width)
        if stem < 2 or not depth > 0:
            raise ValueError(f"expected depth > 0 and 64 x width of at least 2, got {depth} and {width}")
        if not 1 <= stages <= len(_STAGES):
            raise ValueError(f"stages: expected 1 to {len(_STAGES)}, got {stages}")
        self.stem = nn.Sequential(
            ConvNormAct(3, stem // 2, kernel=3, stride=2),
            ConvNormAct(stem // 2, stem // 2, kernel=3),
            ConvNormAct(stem // 2, stem, kernel=3),
        )
        self.depth, self.width = depth, width
        self.channels, self.strides = [stem], [2, 4, 8, 16, 32][: stages + 1]
        for number, (base_in, base_out, base_blocks) in enumerate(_STAGES[:stages], start=1):
            in_channels, out_channels = int(base_in * width), int(base_out * width)
            last = number == len(_STAGES)
            num_blocks = max(round(base_blocks * depth), 1)
            layers: list[nn.Module] = [ConvNormAct(in_channels, out_channels, kernel=3, stride=2)]
            layers += [SpatialPyramidPooling(out_channels)] if last else []
            layers += [CSPLayer(out_channels, out_channels, num_blocks=num_blocks, shortcut=not last)]
            setattr(self, f"stage{number}", nn.Sequential(*layers))
            self.channels.append(out_channels)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = norm_eps

    @classmethod
    def of_size(cls, size: str) -> "CSPNeXt":
        """Build the published size "t", "s", "m", "l" or "x".

        Raises:
            ValueError: for another size.
        """
        if size not in FACTORS:
            raise ValueError(f"size: expected one of {list(FACTORS)}, got {size!r}")
        return cls(*FACTORS[size])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps [B, C, h, w] at `strides` of images [B, 3, H, W], finest first."""
        maps = [self.stem(images)]
        for number in range(1, len(self.strides)):
            maps.append(getattr(self, f"stage{number}")(maps[-1]))
        return maps
