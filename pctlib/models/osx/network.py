"""OSX: an encoder with task tokens, then body, hands and face regressed from one map of features."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.deformable import DeformableDecoder
from pctlib.models.osx.parts import (
    BodyRegressor,
    Encoder,
    FaceRegressor,
    HandRegressor,
    PositionNet,
    TokenFaceRegressor,
)
from pctlib.models.osx.regions import BoxNet, Pyramid, crop_features, crop_hands, deconvolutions, square_boxes
from pctlib.models.osx.size import (
    BODY_TOKENS,
    CAMERA_EXTENT,
    CAMERA_TOKEN,
    EXPRESSION_TOKEN,
    FACE_MARGIN,
    FOCAL_LENGTH,
    HAND_MARGIN,
    HAND_TOKENS,
    JAW_TOKEN,
    NUM_BODY,
    NUM_FACE,
    NUM_HAND,
    NUM_HAND_ROTATIONS,
    SHAPE_TOKEN,
    OSXSize,
    Variant,
)
from pctlib.models.vit import PATCH
from pctlib.rotations import axis_angle, rotation_from_6d

_START = 0.1  # of the weights drawn, where a network starts at a mean pose


@dataclass(frozen=True)
class MeshPrediction:
    """What a network says of B people.

    Attributes:
        root: [B, 1, 3, 3] rotation of the body in the camera's frame.
        body: [B, 21, 3, 3] joints 1 to 21.
        left_hand: [B, 15, 3, 3], relative to the model's mean hand.
        right_hand: [B, 15, 3, 3].
        jaw: [B, 1, 3, 3].
        shape: [B, 10].
        expression: [B, 10].
        camera: [B, 3] metres from the virtual camera to the body's origin.
        body_places: [B, 25, 3] joints in cells of the body's volume; None where nothing places them.
        hand_places: [B, 2, 20, 3] joints of left and right hand in cells of their boxes.
        face_places: [B, 72, 3] joints in cells of the face's box.
        box_center: [B, 3, 2] of left hand, right hand and face, cells of the body.
        box_size: [B, 3, 2], as the box net gives it.
        boxes: [B, 3, 4], (x1, y1, x2, y2) pixels of the input: where features were taken.
    """

    root: Tensor
    body: Tensor
    left_hand: Tensor
    right_hand: Tensor
    jaw: Tensor
    shape: Tensor
    expression: Tensor
    camera: Tensor
    body_places: Tensor | None = None
    hand_places: Tensor | None = None
    face_places: Tensor | None = None
    box_center: Tensor | None = None
    box_size: Tensor | None = None
    boxes: Tensor | None = None

    def rotations(self) -> Tensor:
        """Return the 53 rotations [B, 53, 3, 3]: root, body, left hand, right hand, jaw."""
        return torch.cat((self.root, self.body, self.left_hand, self.right_hand, self.jaw), dim=1)

    def pose_vector(self) -> Tensor:
        """Return the 53 rotations as axis-angle vectors, [B, 159]."""
        return axis_angle(self.rotations()).flatten(1)


class OSX(nn.Module):
    """The whole body of one person from a crop.

    Source: Lin et al. 2023, arXiv:2303.16160, section 3, and release.
    Differs: the release's variants are chosen by files of code; the rotations are correct for every batch
    size.

    Args:
        size: widths, depths, volumes.
        variant: "full"; "wo_face_decoder": expression and jaw from a token each; "wo_decoder": also the
            hands' features straight from one crop; "tokens", a variant of ours: no crops, each hand from a
            token.
        encoder: gives map and tokens in place of the published `Encoder`.
    """

    def __init__(self, size: OSXSize, variant: Variant = "full", *, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.size, self.variant = size, variant
        C = size.vit.channels
        self.encoder = Encoder(size) if encoder is None else encoder
        self.body_position = PositionNet(C, NUM_BODY, size.body_volume)
        self.body_regressor = BodyRegressor(size)
        if variant == "tokens":
            self.hand_regressor: nn.Module = nn.Linear(C, 6 * NUM_HAND_ROTATIONS)
        else:
            self.box_net = BoxNet(size)
            self._add_hands(from_map=variant == "wo_decoder")
        if variant == "full":
            self.face_pyramid = Pyramid(C)
            cells = (size.face_cells,) * 3
            self.face_position = PositionNet(C // 2, NUM_FACE, cells, query_width=size.decoder.width)
            self.face_decoder = DeformableDecoder(size.decoder, (C // 4, C // 2, C), NUM_FACE)
            self.face_regressor: nn.Module = FaceRegressor(size)
        else:
            self.face_regressor = TokenFaceRegressor(C)

    def _add_hands(self, *, from_map: bool) -> None:
        size, C = self.size, self.size.vit.channels
        cells = (size.hand_cells,) * 3
        if from_map:
            self.hand_upsample = deconvolutions(C, C // 2, C // 4)
            self.hand_channels = nn.Conv2d(C // 4, C, 1)
            self.hand_position = PositionNet(C, NUM_HAND, cells)
            self.hand_regressor = HandRegressor(C, size.regressor_width, from_map=True)
            return
        self.hand_pyramid = Pyramid(C)
        self.hand_position = PositionNet(C // 2, NUM_HAND, cells, query_width=size.decoder.width)
        self.hand_decoder = DeformableDecoder(size.decoder, (C // 4, C // 2, C), NUM_HAND)
        self.hand_regressor = HandRegressor(size.decoder.width, size.regressor_width)

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> MeshPrediction:
        """Return the prediction for crops.

        Args:
            images: [B, 3, H, W] RGB, 0 to 1; another size than the input's is brought to it by taking the
                nearest pixel, as published: of a crop of twice the size every second.
            boxes: [B, 3, 4], (x1, y1, x2, y2) pixels of the input, of left hand, right hand and face, margins
                included, in place of the predicted ones.

        Raises:
            ValueError: if images or boxes have another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images: expected [B, 3, H, W], got {tuple(images.shape)}")
        if boxes is not None and tuple(boxes.shape) != (len(images), 3, 4):
            raise ValueError(f"boxes: expected {(len(images), 3, 4)}, got {tuple(boxes.shape)}")
        if tuple(images.shape[2:]) != tuple(self.size.input_size):
            images = F.interpolate(images, tuple(self.size.input_size))
        features, tokens = self.encoder(images)
        volume, places = self.body_position(features)
        root, body, shape, camera = self.body_regressor(
            tokens[:, BODY_TOKENS], tokens[:, SHAPE_TOKEN], tokens[:, CAMERA_TOKEN], places
        )
        found: dict[str, Tensor] = {"body_places": places}
        if self.variant != "tokens":
            found["box_center"], found["box_size"] = self.box_net(features, volume)
            found["boxes"] = self._boxes(found["box_center"], found["box_size"]) if boxes is None else boxes
        hands, hand_places = self._hands(features, tokens, found.get("boxes"))
        expression, jaw, face_places = self._face(features, tokens, found.get("boxes"))
        left, right = rotation_from_6d(hands.unflatten(1, (-1, 6))).chunk(2)  # [B, 15, 3, 3]
        return MeshPrediction(
            root=rotation_from_6d(root[:, None]),
            body=rotation_from_6d(body.unflatten(1, (-1, 6))),
            left_hand=mirrored(left),
            right_hand=right,
            jaw=rotation_from_6d(jaw[:, None]),
            shape=shape,
            expression=expression,
            camera=camera_translation(camera, self.size.input_size),
            hand_places=hand_places,
            face_places=face_places,
            **found,
        )

    def start_at(self, mean: Tensor) -> None:
        """Let an untrained network begin near a mean pose, in place; as HMR does, and OSX's release not.

        Six numbers near 0 are rotations of any angle; a short training would spend itself on leaving those.

        Args:
            mean: [53, 6] of the rotations, in the order of `MeshPrediction.rotations`.
        """
        root, body, _, hands, jaw = mean.split((1, 21, 15, 15, 1))
        tokens = self.variant == "tokens"
        start_linear(self.body_regressor.root, root)
        start_linear(self.body_regressor.body, body)
        start_linear(self.hand_regressor if tokens else self.hand_regressor.pose, hands)
        start_linear(self.face_regressor.jaw, jaw)

    def _boxes(self, center: Tensor, size: Tensor) -> Tensor:
        margin = center.new_tensor([HAND_MARGIN, HAND_MARGIN, FACE_MARGIN])
        return square_boxes(center.detach(), size.detach(), margin, cell=PATCH)

    def _hands(self, features: Tensor, tokens: Tensor, boxes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return six numbers a rotation [2 B, 90], left hands, mirrored, first, and places [B, 2, 20, 3]."""
        cells = self.size.hand_cells
        if self.variant == "tokens":
            return self.hand_regressor(tokens[:, HAND_TOKENS].transpose(0, 1).flatten(0, 1)), None
        if self.variant == "wo_decoder":
            crop = crop_hands(self.hand_upsample(features), boxes, cells, scale=4 / PATCH)
            crop = self.hand_channels(crop)
            _, places = self.hand_position(crop)
            numbers = self.hand_regressor(crop, places)
        else:
            crops = [
                crop_hands(level, boxes, cells * scale // 2, scale=scale / PATCH)
                for level, scale in zip(self.hand_pyramid(features), (4, 2, 1), strict=True)
            ]
            _, places = self.hand_position(crops[1])
            queries = self.hand_position.query(crops[1], places)
            queries = self.hand_decoder(queries, crops, places[..., :2] / cells)
            numbers = self.hand_regressor(queries, places)
        left, right = places.chunk(2)  # [B, 20, 3]
        left = torch.cat((cells - 1 - left[..., :1], left[..., 1:]), dim=-1)
        return numbers, torch.stack((left, right), dim=1)

    def _face(
        self, features: Tensor, tokens: Tensor, boxes: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return expression [B, 10], jaw [B, 6] and places [B, 72, 3]."""
        if self.variant != "full":
            return *self.face_regressor(tokens[:, EXPRESSION_TOKEN], tokens[:, JAW_TOKEN]), None
        cells = self.size.face_cells
        crops = [
            crop_features(level, boxes[:, 2], cells * scale // 2, scale=scale / PATCH)
            for level, scale in zip(self.face_pyramid(features), (4, 2, 1), strict=True)
        ]
        _, places = self.face_position(crops[1])
        queries = self.face_position.query(crops[1], places)
        queries = self.face_decoder(queries, crops, places[..., :2] / cells)
        return *self.face_regressor(crops[2], queries, places), places


@torch.no_grad()
def start_linear(layer: nn.Linear, numbers: Tensor) -> None:
    """Let a layer give `numbers`, of any shape, and hardly anything else at first."""
    layer.weight.mul_(_START)
    layer.bias.copy_(numbers.flatten())


def mirrored(rotations: Tensor) -> Tensor:
    """Return rotation matrices [..., 3, 3] seen in a mirror that exchanges left and right (x to -x)."""
    sign = rotations.new_tensor((-1.0, 1.0, 1.0))
    return sign[:, None] * rotations * sign


def camera_translation(numbers: Tensor, input_size: tuple[int, int]) -> Tensor:
    """Return metres from the virtual camera to the body [B, 3] of the regressor's numbers [B, 3].

    x and y as they are; the depth is a share, by a sigmoid, of the depth at which `CAMERA_EXTENT` fills the
    geometric mean of the input's sides.
    """
    farthest = FOCAL_LENGTH * CAMERA_EXTENT / math.sqrt(input_size[0] * input_size[1])
    return torch.cat((numbers[:, :2], farthest * numbers[:, 2:].sigmoid()), dim=1)
