"""HRNet: maps of several resolutions side by side, the finest of which is kept to the end."""

from typing import Any

import timm
from torch import Tensor, nn


class HRNet(nn.Module):
    """The finest feature map of HRNet, at a quarter of the input's height and width.

    Made of timm's HRNet, without what pose networks do not have: the classifier's layers, and the branches of
    the last fusion that lead to the three coarser maps.

    Source: Sun et al. 2019, arXiv:1902.09212, and release (`MULTI_SCALE_OUTPUT` off in the last module).

    Args:
        name: of the timm model, such as "hrnet_w32".
        num_stages: 4, or 3 for the shorter network of TransPose-H and TokenPose-L.
        pretrained: download timm's weights; never done unless asked for.
        **model_options: further arguments of the timm model.

    Attributes:
        channels: [C], the width of the map.
        strides: [4], input pixels a cell.

    Raises:
        ValueError: if the model is no HRNet of timm or the number of stages is not 2, 3 or 4.
    """

    def __init__(
        self, name: str, *, num_stages: int = 4, pretrained: bool = False, **model_options: Any
    ) -> None:
        super().__init__()
        if name not in timm.list_models("hrnet*"):
            raise ValueError(f"timm {timm.__version__} has no HRNet '{name}'")
        if num_stages not in (2, 3, 4):
            raise ValueError(f"num_stages: expected 2, 3 or 4, got {num_stages}")
        net = timm.create_model(
            name, pretrained=pretrained, features_only=True, feature_location="", **model_options
        )
        self.stem = nn.Sequential(net.conv1, net.bn1, net.act1, net.conv2, net.bn2, net.act2, net.layer1)
        numbers = range(1, num_stages)
        self.transitions = nn.ModuleList(getattr(net, f"transition{number}") for number in numbers)
        self.stages = nn.ModuleList(getattr(net, f"stage{number + 1}") for number in numbers)
        last = self.stages[-1][-1]
        last.fuse_layers = last.fuse_layers[:1]
        self.channels, self.strides = [net.feature_info.channels()[1]], [4]
        self.coarsest_stride = 2 ** (num_stages + 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [[B, C, H / 4, W / 4]] of images [B, 3, H, W].

        Raises:
            ValueError: if the coarsest map of the network would not divide the image evenly.
        """
        check_divisible(images, self.coarsest_stride)
        maps = [self.stem(images)]
        for transition, stage in zip(self.transitions, self.stages, strict=True):
            maps = stage(enter_stage(transition, maps))
        return [maps[0]]


class AggregatedHRNet(nn.Module):
    """One coarse feature map of HRNet: all four gathered by the layers of its ImageNet classifier.

    Source: Wang et al. 2019, arXiv:1908.07919, appendix on image classification ("HRNet-W32-C").

    Args:
        name: of the timm model, such as "hrnet_w32".
        pretrained: download timm's weights; never done unless asked for.
        **model_options: further arguments of the timm model.

    Attributes:
        channels: [2048].
        strides: [32], input pixels a cell.

    Raises:
        ValueError: if the model is no HRNet of timm.
    """

    def __init__(self, name: str, *, pretrained: bool = False, **model_options: Any) -> None:
        super().__init__()
        if name not in timm.list_models("hrnet*"):
            raise ValueError(f"timm {timm.__version__} has no HRNet '{name}'")
        self.net = timm.create_model(name, pretrained=pretrained, num_classes=0, **model_options)
        self.channels, self.strides = [self.net.num_features], [32]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [[B, 2048, H / 32, W / 32]] of images [B, 3, H, W].

        Raises:
            ValueError: if height or width is no multiple of 32.
        """
        check_divisible(images, 32)
        return [self.net.forward_features(images)]


def enter_stage(transition: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    """Return the maps a stage begins with: as they are where nothing is to change, else made of the coarsest.

    Args:
        transition: one module a map of the stage, `nn.Identity` where the map goes on unchanged.
        maps: [B, C, h, w] each, finest first, of the stage before.
    """
    return [
        maps[level] if isinstance(module, nn.Identity) else module(maps[min(level, len(maps) - 1)])
        for level, module in enumerate(transition)
    ]


def check_divisible(images: Tensor, stride: int) -> None:
    """Raise ValueError if the height or width of images [B, 3, H, W] is no multiple of a stride."""
    if any(size % stride for size in images.shape[-2:]):
        raise ValueError(
            f"expected height and width in multiples of {stride}, got {tuple(images.shape[-2:])}"
        )
