"""HRFormer: HRNet's parallel resolutions, with window attention in place of its convolution blocks."""

import torch
from einops import rearrange
from timm.layers import DropPath
from timm.models.resnet import Bottleneck
from torch import Tensor, nn
from torch.nn.functional import pad

from pctlib.models.attention import SelfAttention
from pctlib.models.hrnet import check_divisible, enter_stage


def conv_norm(
    in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, depthwise: bool = False
) -> list[nn.Module]:
    """Return a convolution without bias that keeps the size over its stride, and its batch norm."""
    groups = in_channels if depthwise else 1
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class WindowAttention(nn.Module):
    """Self-attention inside windows that do not overlap, with a learned bias by relative position.

    Maps are padded with zeros on all sides to whole windows; cells of the padding are attended to like any.

    Source: Yuan et al. 2021, arXiv:2110.09408, section 3, "local-window self-attention", and release.

    Args:
        dim: channels C of the map.
        num_heads: heads; divides C.
        window: cells along each side of a window.
    """

    def __init__(self, dim: int, num_heads: int, *, window: int) -> None:
        super().__init__()
        self.window = window
        self.attention = SelfAttention(dim, num_heads)
        span = 2 * window - 1  # relative positions along one axis
        self.relative_position_bias_table = nn.Parameter(torch.empty(span**2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        place = (row * span + column).flatten()  # [window^2]
        index = place[:, None] - place[None] + (span**2 - 1) // 2
        self.register_buffer("relative_position_index", index, persistent=False)  # [window^2, window^2]

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, h, w, C] of a map [B, h, w, C]."""
        height, width = x.shape[1:3]
        more_h, more_w = -height % self.window, -width % self.window
        top, left = more_h // 2, more_w // 2
        x = pad(x, (0, 0, left, more_w - left, top, more_h - top))
        rows = x.shape[1] // self.window
        columns = x.shape[2] // self.window
        windows = rearrange(x, "B (r p) (c q) C -> (B r c) (p q) C", p=self.window, q=self.window)
        bias = self.relative_position_bias_table[self.relative_position_index]  # [p q, p q, heads]
        out = self.attention(windows, bias.permute(2, 0, 1).unsqueeze(0).to(windows.dtype))
        out = rearrange(out, "(B r c) (p q) C -> B (r p) (c q) C", r=rows, c=columns, p=self.window)
        return out[:, top : top + height, left : left + width]


class HRFormerBlock(nn.Module):
    """Window attention, then a two-layer network with a depthwise convolution that joins the windows.

    Source: Yuan et al. 2021, arXiv:2110.09408, figure 1, and release.

    Args:
        dim: channels C of the map.
        num_heads: heads of the attention.
        window: cells along each side of a window.
        drop_path: probability that a sample skips each of the two parts in training.
    """

    def __init__(self, dim: int, num_heads: int, *, window: int = 7, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = 4 * dim
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = WindowAttention(dim, num_heads, window=window)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = nn.Sequential(
            *(nn.Conv2d(dim, hidden, 1), nn.BatchNorm2d(hidden), nn.GELU()),
            *(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.BatchNorm2d(hidden), nn.GELU()),
            *(nn.Conv2d(hidden, dim, 1), nn.BatchNorm2d(dim), nn.GELU()),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape [B, C, h, w]."""
        x = x.permute(0, 2, 3, 1)  # [B, h, w, C]
        x = x + self.drop_path(self.attn(self.norm1(x)))
        local = self.ffn(self.norm2(x).permute(0, 3, 1, 2))  # [B, C, h, w]
        return x.permute(0, 3, 1, 2) + self.drop_path(local)


class HRFormerModule(nn.Module):
    """Blocks on each of several maps, then each map the sum of all, brought to its size.

    Args:
        widths: channels of each map, finest first; each map is half as high and wide as the one before.
        heads: of each map's blocks.
        drop_paths: one probability a block; their number is the number of blocks on each map.
        num_outputs: how many of the maps, finest first, are made and returned.
        window: cells along each side of a window.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        heads: tuple[int, ...],
        *,
        drop_paths: list[float],
        num_outputs: int,
        window: int,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(HRFormerBlock(C, count, window=window, drop_path=rate) for rate in drop_paths))
            for C, count in zip(widths, heads, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(widths, source, target) for source in range(len(widths)))
            for target in range(num_outputs)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the first maps, each [B, C, h, w], of maps [B, C, h, w] each."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [
            sum(layer(x) for layer, x in zip(layers, maps, strict=True)).relu() for layers in self.fuse_layers
        ]


def _fusion(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
    """Return what brings a map of level `source` to the size and width of level `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        scale = 2 ** (source - target)
        grow = nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)
        return nn.Sequential(*conv_norm(widths[source], widths[target]), grow)
    layers: list[nn.Module] = []
    for level in range(source, target):
        width = widths[target] if level == target - 1 else widths[source]
        layers += conv_norm(widths[source], widths[source], kernel=3, stride=2, depthwise=True)
        layers += conv_norm(widths[source], width)
        layers += [nn.ReLU()] if level < target - 1 else []
    return nn.Sequential(*layers)


class HRFormer(nn.Module):
    """The finest feature map of HRFormer, at a quarter of the input's height and width.

    Source: Yuan et al. 2021, arXiv:2110.09408, table 1, and release (pose). The defaults are HRFormer-B's.
    Coarser maps are enlarged bilinearly, as in the port to mmpose 1.3.2, which loads the release's weights;
    the release's own classifier repeats the nearest cell.

    Args:
        widths: channels of the maps at stride 4, 8, 16 and 32.
        heads: of the attention on each.
        num_modules: modules of two blocks a map in stages 2, 3 and 4, with 2, 3 and 4 maps.
        stem_width: channels of the first two convolutions; the bottlenecks after them give four times that.
        window: cells along each side of a window.
        drop_path: probability of the last block, growing from 0; published: 0.2 for 256x192, 0.3 for 384x288.

    Attributes:
        channels: [C], the width of the map.
        strides: [4], input pixels a cell.

    Raises:
        ValueError: if there are not four widths and heads and three numbers of modules.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (78, 156, 312, 624),
        heads: tuple[int, ...] = (2, 4, 8, 16),
        *,
        num_modules: tuple[int, ...] = (1, 4, 2),
        stem_width: int = 64,
        window: int = 7,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        if (len(widths), len(heads), len(num_modules)) != (4, 4, 3):
            raise ValueError(f"expected 4 widths, 4 heads, 3 stages, got {widths}, {heads}, {num_modules}")
        self.stem = _stem(stem_width)
        rates = torch.linspace(0, drop_path, 2 * sum(num_modules), device="cpu").tolist()
        before = [4 * stem_width]
        self.transitions, self.stages = nn.ModuleList(), nn.ModuleList()
        for number, count in enumerate(num_modules, start=2):
            now = widths[:number]
            self.transitions.append(_transition(before, now))
            modules = []
            for index in range(count):
                last = number == 4 and index == count - 1
                drop_paths, rates = rates[:2], rates[2:]
                sizes = {"num_outputs": 1 if last else number, "window": window}
                modules.append(HRFormerModule(now, heads[:number], drop_paths=drop_paths, **sizes))
            self.stages.append(nn.Sequential(*modules))
            before = now
        self.channels, self.strides = [widths[0]], [4]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [[B, C, H / 4, W / 4]] of images [B, 3, H, W].

        Raises:
            ValueError: if height or width is no multiple of 32.
        """
        check_divisible(images, 32)
        maps = [self.stem(images)]
        for transition, stage in zip(self.transitions, self.stages, strict=True):
            maps = stage(enter_stage(transition, maps))
        return maps


def _stem(width: int) -> nn.Sequential:
    """Return two convolutions of stride 2 and two bottlenecks: 3 channels to 4 x width."""
    shortcut = nn.Sequential(*conv_norm(width, 4 * width))
    return nn.Sequential(
        *(*conv_norm(3, width, kernel=3, stride=2), nn.ReLU()),
        *(*conv_norm(width, width, kernel=3, stride=2), nn.ReLU()),
        *(Bottleneck(width, width, downsample=shortcut), Bottleneck(4 * width, width)),
    )


def _transition(before: list[int], now: tuple[int, ...]) -> nn.ModuleList:
    """Return one module a map of the next stage: nothing, a change of width, or a new map half as large."""
    modules: list[nn.Module] = []
    for level, width in enumerate(now):
        old = before[min(level, len(before) - 1)]
        stride = 1 if level < len(before) else 2
        same = stride == 1 and old == width
        conv = nn.Sequential(*conv_norm(old, width, kernel=3, stride=stride), nn.ReLU())
        modules.append(nn.Identity() if same else conv)
    return nn.ModuleList(modules)
