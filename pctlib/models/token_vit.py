"""A vision transformer that sees one more token beside the patches: ViTPose's knowledge token."""

import torch
from einops import rearrange
from torch import Tensor, nn

from pctlib.models.representations.base import feature_grid
from pctlib.models.vit import PATCH, ViT


class TokenViT(nn.Module):
    """A plain transformer with one token, the same for all images, appended to the patches' tokens.

    The token has no position, takes part in every block and is dropped before the feature map, so that any
    decoder of the transformer fits. It is part of the weights: a model with it is saved and loaded as any
    other.

    Source: Xu et al. 2022 (ViTPose), arXiv:2204.12484, section 3.3, knowledge token.

    Args:
        vit: without experts; not copied.
        token: [C], its value.
        learned: make it a parameter; else it is a buffer, which no training changes.

    Attributes:
        channels: [C], as there is one map.
        strides: [16], input pixels a cell.

    Raises:
        ValueError: if the token has another width, or the transformer experts.
    """

    def __init__(self, vit: ViT, token: Tensor, *, learned: bool = False) -> None:
        super().__init__()
        if vit.num_experts:
            raise ValueError(f"vit: expected no experts, got {vit.num_experts}")
        if tuple(token.shape) != tuple(vit.channels):
            raise ValueError(f"token: expected shape {vit.channels}, got {list(token.shape)}")
        self.vit = vit
        self.channels, self.strides = vit.channels, vit.strides
        value = token.detach().clone()
        if learned:
            self.token = nn.Parameter(value)
        else:
            self.register_buffer("token", value)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the one feature map, [B, C, H / 16, W / 16], in a list, of images as `ViT` takes them.

        Raises:
            ValueError: if the image size is no multiple of 16.
        """
        height, _ = feature_grid(tuple(images.shape[-2:]), PATCH)
        patches = self.vit.embed(images)  # [B, h w, C]
        tokens = torch.cat((patches, self.token.expand(len(patches), 1, -1)), dim=1)  # [B, h w + 1, C]
        seen = self.vit.encode(tokens)[:, :-1]  # [B, h w, C]
        return [rearrange(seen, "B (h w) C -> B C h w", h=height)]


def of_width(token: Tensor, channels: int, *, seed: int = 0) -> Tensor:
    """Return a token [channels] that holds what a token [C] of another width holds, as far as there is room.

    It is turned by a fixed random matrix: one with orthonormal rows into fewer channels, with orthonormal
    columns into more, so that nothing is learned that could replace the token, and its entries keep their
    size. A token of the right width stays as it is.

    Args:
        token: [C].
        channels: width wanted.
        seed: of the matrix.
    """
    width = len(token)
    if width == channels:
        return token.clone()
    generator = torch.Generator().manual_seed(seed)
    large, small = max(width, channels), min(width, channels)
    orthonormal, _ = torch.linalg.qr(torch.randn(large, small, generator=generator, dtype=torch.float64))
    matrix = orthonormal if channels == large else orthonormal.mT  # [channels, C]
    scale = max(1.0, (channels / width) ** 0.5)
    return (scale * matrix @ token.detach().double().cpu()).to(token)
