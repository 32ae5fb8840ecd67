"""Where hands and face are, and their features at several scales: OSX's box net and crops of features."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from pctlib.models.layers import soft_argmax
from pctlib.models.osx.parts import sample_at
from pctlib.models.osx.size import NUM_BODY, OSXSize

_UPSAMPLING = 8  # of the box net's three transposed convolutions


def deconvolutions(*channels: int) -> nn.Sequential:
    """Return transposed convolutions that double the size from each of `channels` to the next, with norm."""
    layers = []
    for before, after in pairwise(channels):
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class BoxNet(nn.Module):
    """Centre and size of left hand, right hand and face, in cells of the body.

    Args:
        size: of the model.
    """

    def __init__(self, size: OSXSize) -> None:
        super().__init__()
        width = size.box_width
        channels = size.vit.channels + NUM_BODY * size.body_depth
        self.deconv = deconvolutions(channels, width, width, width)
        self.center = nn.Conv2d(width, 3, 1)
        self.sizes = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)) for _ in range(3)
        )

    def forward(self, features: Tensor, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Return centres and sizes [B, 3, 2], (x, y), cells of the body; a size may come out negative.

        Args:
            features: [B, C, h, w].
            volume: [B, 25, D, h, w] probabilities of the body's joints; take no gradient.
        """
        x = self.deconv(torch.cat((features, volume.detach().flatten(1, 2)), dim=1))
        _, center = soft_argmax(self.center(x), 2)  # [B, 3, 2]
        sampled = sample_at(x, center.detach())  # [B, 3, width]
        sizes = torch.stack([net(sampled[:, part]) for part, net in enumerate(self.sizes)], dim=1)
        return center / _UPSAMPLING, sizes


def square_boxes(
    center: Tensor, size: Tensor, margin: Tensor | float, *, cell: int, aspect: float = 1.0
) -> Tensor:
    """Return boxes [..., 4], (x1, y1, x2, y2) in pixels of the input, of one aspect, around given ones.

    Args:
        center: [..., 2] cells.
        size: [..., 2] cells.
        margin: factor on the side, [...] or one.
        cell: pixels of a cell.
        aspect: width by height; the smaller side is enlarged.
    """
    center, (width, height) = center * cell, (size * cell).unbind(-1)
    height = torch.maximum(height, width / aspect) * margin
    half = torch.stack((height * aspect, height), dim=-1) / 2
    return torch.cat((center - half, center + half), dim=-1)


def crop_features(features: Tensor, boxes: Tensor, cells: int, *, scale: float) -> Tensor:
    """Return the features inside one box an image, [B, C, cells, cells].

    A cell's place is its index: there is no half-cell shift. Boxes of less than a cell, also of negative
    size, count as one cell from their corner.

    Source: He et al. 2017 (RoIAlign), arXiv:1703.06870, as first released.

    Args:
        features: [B, C, h, w].
        boxes: [B, 4], (x1, y1, x2, y2) pixels of the input.
        cells: side of the crop.
        scale: cells of `features` a pixel.
    """
    rows = torch.arange(len(boxes), device=boxes.device, dtype=features.dtype)[:, None]
    rois = torch.cat((rows, boxes.to(features.dtype)), dim=1)
    return roi_align(features, rois, (cells, cells), spatial_scale=scale, sampling_ratio=-1, aligned=False)


def crop_hands(features: Tensor, boxes: Tensor, cells: int, *, scale: float) -> Tensor:
    """Return crops of both hands as right hands, [2 B, C, cells, cells]: the left ones, mirrored, come first.

    Args:
        features: [B, C, h, w].
        boxes: [B, 2 or more, 4], left hand and right hand first, pixels of the input.
        cells: side of the crop.
        scale: cells of `features` a pixel.
    """
    left = crop_features(features, boxes[:, 0], cells, scale=scale).flip(3)
    return torch.cat((left, crop_features(features, boxes[:, 1], cells, scale=scale)))


class Pyramid(nn.Module):
    """The encoder's map at three scales: 1, 2 and 4 times its cells, with C, C / 2 and C / 4 channels.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.coarse = nn.Conv2d(channels, channels, 1)
        self.middle = deconvolutions(channels, half)
        self.fine = deconvolutions(channels, half, quarter)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return [fine, middle, coarse] maps of features [B, C, h, w]."""
        return [self.fine(features), self.middle(features), self.coarse(features)]
