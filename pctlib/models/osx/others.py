"""What OSX is compared with: one pooled feature, and networks of their own for hands and face."""

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from pctlib.body_joints import BodyJoints
from pctlib.models.osx.body import posed_body
from pctlib.models.osx.joints import project
from pctlib.models.osx.network import MeshPrediction, camera_translation, mirrored, start_linear
from pctlib.models.osx.size import NUM_BODY_ROTATIONS, NUM_HAND_ROTATIONS, OSXSize
from pctlib.models.osx.targets import true_boxes
from pctlib.models.vit import PATCH
from pctlib.rotations import rotation_from_6d

PART_INPUT = 64  # pixels, side of the pictures of hands and face
ENLARGED = 2  # how much larger a picture the parts are cut from than the body's input
_SIZES = {
    "root": 6,
    "body": 6 * NUM_BODY_ROTATIONS,
    "left": 6 * NUM_HAND_ROTATIONS,
    "right": 6 * NUM_HAND_ROTATIONS,
    "jaw": 6,
    "shape": 10,
    "expression": 10,
    "camera": 3,
}


class GlobalRegressor(nn.Module):
    """All parameters from the mean of the encoder's map, without tokens, places or boxes.

    Source: in the manner of Kanazawa et al. 2018 (HMR), arXiv:1712.06584, without its iterations.

    Args:
        size: of the model; that of boxes, volumes and decoders plays no part.
        encoder: gives map and tokens; the tokens are not read.
    """

    def __init__(self, size: OSXSize, encoder: nn.Module) -> None:
        super().__init__()
        self.size, self.encoder = size, encoder
        C = size.vit.channels
        self.hidden = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU())
        self.parameters_of = nn.ModuleDict({name: nn.Linear(4 * C, n) for name, n in _SIZES.items()})

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> MeshPrediction:
        """Return the prediction for images [B, 3, H, W], RGB, 0 to 1; `boxes` play no part."""
        features, _ = self.encoder(images)
        hidden = self.hidden(features.mean((2, 3)))
        found = {name: layer(hidden) for name, layer in self.parameters_of.items()}
        turns = {name: rotation_from_6d(found[name].unflatten(1, (-1, 6))) for name in list(_SIZES)[:5]}
        return MeshPrediction(
            root=turns["root"],
            body=turns["body"],
            left_hand=turns["left"],
            right_hand=turns["right"],
            jaw=turns["jaw"],
            shape=found["shape"],
            expression=found["expression"],
            camera=camera_translation(found["camera"], self.size.input_size),
        )

    def start_at(self, mean: Tensor) -> None:
        """Begin near a mean pose [53, 6]; as `OSX.start_at`."""
        for name, part in zip(list(_SIZES)[:5], mean.split((1, 21, 15, 15, 1)), strict=True):
            start_linear(self.parameters_of[name], part)


class PartNet(nn.Module):
    """Numbers from one small picture: the mean of a network's map, and one linear layer.

    Args:
        backbone: images to feature maps.
        outputs: how many numbers.
    """

    def __init__(self, backbone: nn.Module, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.out = nn.Linear(backbone.channels[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, outputs] of images [B, 3, h, w]."""
        return self.out(self.backbone(images)[-1].mean((2, 3)))


class SeparateCrops(nn.Module):
    """The design that OSX replaces: one network for the body, then one for hands and one for the face.

    Hands and face are cut out of the picture, larger than the body's network sees it, where the body's mesh
    has them; each network has a backbone of its own; what they find is put together.

    Source: in the manner of Choutas et al. 2020 (ExPose), arXiv:2008.09062.

    Args:
        body: finds the body; what it says of hands and face is not used.
        hands: network of both hands, left ones mirrored, to 90 numbers.
        face: network of expression and jaw, to 16 numbers.
        joints: of the body model, to find the parts.
    """

    def __init__(self, body: nn.Module, hands: PartNet, face: PartNet, joints: BodyJoints) -> None:
        super().__init__()
        self.body, self.hands, self.face, self.joints = body, hands, face, joints
        self.size = body.size

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> MeshPrediction:
        """Return the prediction.

        Args:
            images: [B, 3, 2 H, 2 W] RGB, 0 to 1, twice as large as the body's input.
            boxes: [B, 3, 4] as of `OSX`, pixels of the body's input; None: where the body's mesh has its
                parts.
        """
        found = self.body(nn.functional.interpolate(images, tuple(self.size.input_size)))
        if boxes is None:
            boxes = self.find_parts(found)
        left = cut_parts(images, boxes[:, 0]).flip(3)
        hands = torch.cat((left, cut_parts(images, boxes[:, 1])))
        left, right = rotation_from_6d(self.hands(hands).unflatten(1, (-1, 6))).chunk(2)
        face = self.face(cut_parts(images, boxes[:, 2]))
        return MeshPrediction(
            root=found.root,
            body=found.body,
            left_hand=mirrored(left),
            right_hand=right,
            jaw=rotation_from_6d(face[:, None, 10:]),
            shape=found.shape,
            expression=face[:, :10],
            camera=found.camera,
            body_places=found.body_places,
        )

    def start_at(self, mean: Tensor) -> None:
        """Begin near a mean pose [53, 6]; as `OSX.start_at`."""
        self.body.start_at(mean)
        start_linear(self.hands.out, mean[37:52])
        start_linear(self.face.out, torch.cat((mean.new_zeros(10), mean[52])))

    @torch.no_grad()
    def find_parts(self, found: MeshPrediction) -> Tensor:
        """Return the boxes [B, 3, 4] of hands and face of the predicted mesh, pixels of the body's input."""
        joints = posed_body(self.joints, found).all_joints()
        return true_boxes(project(joints, found.camera, self.size.input_size) * PATCH)


def cut_parts(images: Tensor, boxes: Tensor) -> Tensor:
    """Return one part of each image, [B, 3, 64, 64].

    Args:
        images: [B, 3, 2 H, 2 W].
        boxes: [B, 4] pixels of an image of half the size.
    """
    rows = torch.arange(len(boxes), device=boxes.device, dtype=images.dtype)[:, None]
    rois = torch.cat((rows, boxes.to(images.dtype)), dim=1)
    return roi_align(images, rois, (PART_INPUT, PART_INPUT), spatial_scale=ENLARGED, aligned=True)
