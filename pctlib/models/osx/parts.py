"""Where joints are and how they turn: OSX's position nets and regressors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.models.backbones import Backbone
from pctlib.models.layers import soft_argmax
from pctlib.models.osx.size import (
    NUM_BODY,
    NUM_BODY_ROTATIONS,
    NUM_FACE,
    NUM_HAND,
    NUM_HAND_ROTATIONS,
    NUM_TOKENS,
    OSXSize,
)
from pctlib.models.vit import PATCH, ViT


def sample_at(features: Tensor, places: Tensor) -> Tensor:
    """Return features [B, J, C] of a map [B, C, h, w] at places [B, J, 2], (x, y) in cells, bilinearly.

    Outside the map they fade to zero within a cell.
    """
    extent = places.new_tensor([features.shape[3] - 1, features.shape[2] - 1])
    grid = (2 * places / extent - 1)[:, :, None]  # [B, J, 1, 2]
    return F.grid_sample(features, grid, align_corners=True).squeeze(-1).mT


class Encoder(ViT):
    """ViTPose's transformer with task tokens put in front of the patches.

    The tokens have no position and pass all blocks together with the patches.

    Args:
        size: of the model.
    """

    def __init__(self, size: OSXSize) -> None:
        super().__init__(size.vit, size.input_size)
        self.task_tokens = nn.Parameter(torch.zeros(1, NUM_TOKENS, size.vit.channels))
        nn.init.trunc_normal_(self.task_tokens, std=0.02)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map [B, C, h, w] and the tokens [B, 31, C] of images [B, 3, H, W], RGB, 0 to 1."""
        patches = self.embed(images)  # [B, h w, C]
        tokens = torch.cat((self.task_tokens.expand(len(images), -1, -1), patches), dim=1)
        tokens, patches = self.encode(tokens).split((NUM_TOKENS, patches.shape[1]), dim=1)
        height, width = images.shape[2] // 16, images.shape[3] // 16
        return patches.mT.unflatten(2, (height, width)), tokens


class BackboneEncoder(Encoder):
    """The encoder behind a convolutional backbone, whose last map takes the place of the patches.

    Differs: the release has a plain ViT. A backbone that has learned poses lets a small model learn in
    minutes what a transformer learns in days.

    Args:
        size: of the model; depth and heads are those of the blocks behind the backbone.
        backbone: its last map has cells of 16 pixels; takes images normalised as ImageNet's.
    """

    def __init__(self, size: OSXSize, backbone: Backbone) -> None:
        if backbone.strides[-1] != PATCH:
            raise ValueError(f"backbone: expected cells of {PATCH} pixels, got {backbone.strides[-1]}")
        super().__init__(size)
        self.backbone = backbone
        self.patch_embed = nn.Conv2d(backbone.channels[-1], size.vit.channels, 1)

    def embed(self, images: Tensor) -> Tensor:
        """Return the backbone's cells as tokens [B, h w, C], row by row, positions added."""
        mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
        cells = self.patch_embed(self.backbone((images - mean) / std)[-1])
        return cells.flatten(2).mT + self.pos_embed[:, 1:] + self.pos_embed[:, :1]


class PositionNet(nn.Module):
    """A volume of logits for each joint, its soft-argmax, and features found at that place.

    Args:
        channels: of the map.
        num_joints: J.
        volume: (D, H, W) cells; H and W are the map's.
        query_width: E, of the features; 0: none.
    """

    def __init__(
        self, channels: int, num_joints: int, volume: Sequence[int], *, query_width: int = 0
    ) -> None:
        super().__init__()
        self.volume = tuple(volume)
        self.conv = nn.Conv2d(channels, num_joints * volume[0], 1)
        self.queries = _pointwise(channels, query_width) if query_width else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities [B, J, D, H, W] and places [B, J, 3], (x, y, z) in cells, of [B, C, H, W]."""
        logits = self.conv(features).unflatten(1, (-1, self.volume[0]))  # [B, J, D, H, W]
        return soft_argmax(logits, 3)

    def query(self, features: Tensor, places: Tensor) -> Tensor:
        """Return features [B, J, E] at the joints' places [B, J, 3], which take no gradient."""
        return sample_at(self.queries(features), places.detach()[..., :2])


def _pointwise(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU())


class BodyRegressor(nn.Module):
    """Root and body rotations from the body's tokens and joints; shape and camera from a token each.

    Args:
        size: of the model.
    """

    def __init__(self, size: OSXSize) -> None:
        super().__init__()
        C, width = size.vit.channels, size.regressor_width
        self.joint = nn.Linear(C, width)
        self.root = nn.Linear(NUM_BODY * (width + 3), 6)
        self.body = nn.Linear(NUM_BODY * (width + 3), 6 * NUM_BODY_ROTATIONS)
        self.shape, self.camera = nn.Linear(C, 10), nn.Linear(C, 3)

    def forward(
        self, tokens: Tensor, shape_token: Tensor, camera_token: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return root [B, 6], body [B, 126], both six numbers a joint, shape [B, 10] and camera [B, 3].

        Args:
            tokens: [B, 25, C] of the body.
            shape_token: [B, C].
            camera_token: [B, C].
            places: [B, 25, 3] of the joints, cells; take no gradient.
        """
        joints = torch.cat((self.joint(tokens), places.detach()), dim=2).flatten(1)
        return self.root(joints), self.body(joints), self.shape(shape_token), self.camera(camera_token)


class HandRegressor(nn.Module):
    """Fifteen rotations from the features and places of a hand's joints.

    Args:
        channels: of a joint's features, or of the map where there is no decoder.
        width: of a joint's features before the last layer.
        from_map: take features of a map at the joints, instead of a decoder's queries.
    """

    def __init__(self, channels: int, width: int, *, from_map: bool = False) -> None:
        super().__init__()
        self.joint = _pointwise(channels, width) if from_map else nn.Linear(channels, width)
        self.pose = nn.Linear(NUM_HAND * (width + 3), 6 * NUM_HAND_ROTATIONS)
        self.from_map = from_map

    def forward(self, features: Tensor, places: Tensor) -> Tensor:
        """Return six numbers a rotation, [B, 90].

        Args:
            features: [B, 20, C] of the joints, or the map [B, C, h, w].
            places: [B, 20, 3] cells; take no gradient.
        """
        places = places.detach()
        joints = self.joint(features)
        if self.from_map:
            joints = sample_at(joints, places[..., :2])
        return self.pose(torch.cat((joints, places), dim=2).flatten(1))


class FaceRegressor(nn.Module):
    """Expression and jaw from the crop's mean and the decoder's queries.

    Args:
        size: of the model.
    """

    def __init__(self, size: OSXSize) -> None:
        super().__init__()
        width = size.regressor_width
        self.crop, self.joint = nn.Linear(size.vit.channels, width), nn.Linear(size.decoder.width, width)
        self.expression = nn.Linear(width + NUM_FACE * (width + 3), 10)
        self.jaw = nn.Linear(width + NUM_FACE * (width + 3), 6)

    def forward(self, coarsest: Tensor, queries: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return expression [B, 10] and jaw, six numbers [B, 6].

        Args:
            coarsest: [B, C, h, w] crop of the face.
            queries: [B, 72, E] of the decoder.
            places: [B, 72, 3] cells; take no gradient.
        """
        joints = torch.cat((self.joint(queries), places.detach()), dim=2).flatten(1)
        features = torch.cat((self.crop(coarsest.mean((2, 3))), joints), dim=1)
        return self.expression(features), self.jaw(features)


class TokenFaceRegressor(nn.Module):
    """Expression and jaw, each from a token of its own.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expression, self.jaw = nn.Linear(channels, 10), nn.Linear(channels, 6)

    def forward(self, expression_token: Tensor, jaw_token: Tensor) -> tuple[Tensor, Tensor]:
        """Return expression [B, 10] and jaw, six numbers [B, 6], of two tokens [B, C]."""
        return self.expression(expression_token), self.jaw(jaw_token)
