"""timm backbones as lists of feature maps."""

from collections.abc import Sequence
from typing import Any

import timm
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn


class Backbone(nn.Module):
    """A timm model that gives feature maps, always [B, C, h, w], finest first.

    Args:
        name: of the timm model.
        input_size: (height, width) of the images; only models of a fixed input size (transformers) need it,
            and it must then be that of the images. None: the model's own.
        pretrained: download timm's weights; never done unless asked for.
        out_indices: which of the model's feature levels; None: all timm offers.
        final_norm: pass the last level through the model's last normalisation, which timm's features leave
            out. Models that have none give the map as it is.
        **model_options: further arguments of the timm model.

    Attributes:
        channels: C of each map.
        strides: input pixels a cell of each map.

    Raises:
        ValueError: if timm knows no such model.
    """

    channels: list[int]
    strides: list[int]

    def __init__(
        self,
        name: str,
        input_size: tuple[int, int] | None = None,
        *,
        pretrained: bool = False,
        out_indices: Sequence[int] | None = None,
        final_norm: bool = False,
        **model_options: Any,
    ) -> None:
        super().__init__()
        if not timm.is_model(name):
            raise ValueError(f"timm {timm.__version__} has no model '{name}'")
        config = timm.get_pretrained_cfg(name)
        fixed = config is not None and config.fixed_input_size
        if fixed and input_size is not None:
            model_options["img_size"] = tuple(input_size)
        options = {"pretrained": pretrained, **model_options}
        if final_norm:
            self.net = _NormedFeatures(timm.create_model(name, num_classes=0, **options), out_indices)
        else:
            if out_indices is not None:
                options["out_indices"] = tuple(out_indices)
            self.net = timm.create_model(name, features_only=True, **options)
            _drop_unused(self.net)
        self.channels = list(self.net.feature_info.channels())
        self.strides = list(self.net.feature_info.reduction())
        self.input_size = tuple(input_size or config.input_size[1:]) if fixed else None
        self._channels_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of images.

        Args:
            images: [B, 3, H, W] RGB, normalised by the mean and standard deviation of ImageNet.

        Raises:
            ValueError: if the model has a fixed input size and the images another.
        """
        if self.input_size is not None and tuple(images.shape[-2:]) != self.input_size:
            raise ValueError(f"expected images of {self.input_size}, got {tuple(images.shape[-2:])}")
        maps = self.net(images)
        return [m.permute(0, 3, 1, 2).contiguous() for m in maps] if self._channels_last else list(maps)


def _drop_unused(net: nn.Module) -> None:
    """Take out the blocks behind the last map that is asked for; timm's MobileNets would run them all."""
    if isinstance(net, EfficientNetFeatures | MobileNetV3Features):
        last = max(level["stage"] for level in net.feature_info.get_dicts())  # stage 0 is the stem
        net.blocks = net.blocks[:last]


class _NormedFeatures(nn.Module):
    """Feature maps [B, C, h, w] of a timm model, the last one normalised."""

    def __init__(self, model: nn.Module, out_indices: Sequence[int] | None) -> None:
        super().__init__()
        levels = range(len(model.feature_info)) if out_indices is None else out_indices
        self.indices = [level % len(model.feature_info) for level in levels]
        self.feature_info = timm.models.FeatureInfo(model.feature_info, self.indices)
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.model.forward_intermediates(
            images, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
