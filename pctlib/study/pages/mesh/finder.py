"""A network of meshes as what finds people in photographs: pixels, joints and surface."""

import torch
from torch import Tensor, nn

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.models.in_3d import Found3D
from pctlib.models.osx.body import posed_body
from pctlib.models.osx.joints import project
from pctlib.models.vit import PATCH
from pctlib.profiles.pages import MeshProfile
from pctlib.skeletons import SMPL, Skeleton
from pctlib.study.pages.mesh.networks import Body, osx_size

# Eyes are on the surface, as annotators see them, not in the middle of the eyeball: the later name counts
_JOINTS = {name: number for number, name in enumerate((*JOINT_NAMES, *NAMED_VERTICES))}
_OTHER_NAMES = {"left_hand": "left_middle1", "right_hand": "right_middle1"}  # SMPL's hands are no joint here
_MILLIMETRES = 1000.0


class MeshFinder(nn.Module):
    """Find meshes in images, with the keypoints and joints that they imply.

    Scores are 1: no network of this page says how sure it is.

    Args:
        network: takes images and boxes, gives a `MeshPrediction`.
        body: the body model.
        skeleton: keypoints in the picture.
        section: of the profile; sizes.
        enlarged: how many times as large as the network's own size its images are.
    """

    skeleton_3d = SMPL

    def __init__(
        self, network: nn.Module, body: Body, skeleton: Skeleton, *, section: MeshProfile, enlarged: int
    ) -> None:
        super().__init__()
        self.network, self.body = network, body.model
        self.size, self.enlarged = osx_size(section).input_size, enlarged
        self.seen, self.joints = (_numbers(s) for s in (skeleton, self.skeleton_3d))

    @property
    def faces(self) -> Tensor:
        """Return the triangles of the surface."""
        return self.body.faces

    @torch.inference_mode()
    def find(self, images: Tensor) -> Found3D:
        """Return the people in images [B, 3, H, W], as `pctlib.models.in_3d.Finder3D`."""
        mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
        found = self.network((images * std + mean).clamp(0, 1), None)
        posed = posed_body(self.body, found)
        joints = posed.all_joints()  # [B, 144, 3] metres
        pixels = project(joints[:, self.seen], found.camera, self.size) * PATCH * self.enlarged
        pelvis = joints[:, :1]
        return Found3D(
            pixels,
            pixels.new_ones(pixels.shape[:2]),
            _MILLIMETRES * (joints[:, self.joints] - pelvis),
            _MILLIMETRES * (posed.vertices - pelvis),
        )


def _numbers(skeleton: Skeleton) -> list[int]:
    """Return which joints of a body model are the keypoints of a set.

    Raises:
        ValueError: if one is no joint of a body model.
    """
    names = [_OTHER_NAMES.get(name, name) for name in skeleton.keypoint_names]
    strange = [name for name in names if name not in _JOINTS]
    if strange:
        raise ValueError(f"keypoints {skeleton.name}: no joints of a body: {', '.join(strange[:5])}")
    return [_JOINTS[name] for name in names]
