"""Poses as the tokenizer sees them: keypoints of a crop, in tensors that live on the device."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pctlib.data.crops import crop_affine, flip_keypoints, invert_affine, transform_points
from pctlib.data.people import People
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.skeletons import H36M, Skeleton
from pctlib.study.crops import Crops
from pctlib.study.people import Splits


@dataclass
class Poses:
    """Poses of N people in the image and in 3D, and how to crop them.

    Attributes:
        people: the table they come from.
        keypoints: [N, K, D] image pixels, or root-relative camera millimetres in 3D.
        visible: [N, K] COCO flags.
        boxes_xywh: [N, 4] image pixels.
        input_size: (height, width) of the network input; unused in 3D.
        padding: factor on the box of a crop; unused in 3D.
        images: the same people as images, where image guidance needs them.
    """

    people: People
    keypoints: Tensor
    visible: Tensor
    boxes_xywh: Tensor
    input_size: tuple[int, int]
    padding: float
    images: Crops | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def num_dims(self) -> int:
        """D."""
        return self.keypoints.shape[-1]

    @property
    def skeleton(self) -> Skeleton:
        """The keypoint set of the poses."""
        return H36M if self.num_dims == 3 else self.people.skeleton

    @property
    def flip_permutation(self) -> tuple[int, ...]:
        """Left and right exchanged."""
        return self.skeleton.flip_permutation

    def to(self, device: torch.device) -> "Poses":
        """Return the same poses with their tensors on a device."""
        keypoints, visible, boxes = (t.to(device) for t in (self.keypoints, self.visible, self.boxes_xywh))
        return replace(self, keypoints=keypoints, visible=visible, boxes_xywh=boxes)

    def crops(self) -> tuple[Tensor, Tensor]:
        """Return keypoints [N, K, D] as the network sees them without augmentation, and affines [N, 2, 3]."""
        affine = crop_affine(self.boxes_xywh, self.input_size, padding=self.padding)
        return (self.keypoints if self.num_dims == 3 else transform_points(affine, self.keypoints)), affine

    def to_image(self, keypoints: Tensor) -> np.ndarray:
        """Return crop keypoints [N, K, 2] of `crops` in image pixels."""
        return transform_points(invert_affine(self.crops()[1]), keypoints).cpu().numpy()


def load_poses(people: People, profile: Profile, *, training: bool, num_dims: int = 2) -> Poses:
    """Return the poses of people in tensors; with their images if the profile's tokenizer is guided.

    Args:
        people: N people.
        profile: network input, padding, and whether image guidance is on.
        training: use the padding of training, not that of evaluation.
        num_dims: 2 for keypoints in the image; 3 for the Human3.6M joints relative to the pelvis.

    Raises:
        ValueError: if there is nobody, `num_dims` is 3 and the data set has no 3D joints, or image guidance
            is on and there are no images or `num_dims` is 3.
    """
    where = people.source or "people"
    if len(people) == 0:
        raise ValueError(f"{where}: the data set is empty, there is no pose to learn")
    guided = profile.tokenizer.guide_ratio > 0
    images = Crops(people, profile, training=training) if guided else None
    people = people if images is None else images.people
    padding = profile.crop.padding if training else profile.crop.evaluation_padding
    place = {"input_size": profile.crop.input_size, "padding": padding, "images": images}
    boxes = torch.from_numpy(people.boxes_xywh)
    if num_dims == 2:
        keypoints, visible = torch.from_numpy(people.keypoints_image), torch.from_numpy(people.visible)
        return Poses(people, keypoints, visible, boxes, **place)
    if guided:
        raise ValueError(
            "num_dims: image guidance looks features up at 2D keypoints; set guide_ratio to 0 for 3D"
        )
    if people.keypoints_3d is None:
        raise ValueError(f"{where}: num_dims is 3 but the data set has no 3D joints")
    joints = torch.from_numpy(people.keypoints_3d)
    joints = joints - joints[:, H36M.index("pelvis"), None]
    visible = torch.full(joints.shape[:2], 2, dtype=torch.uint8)
    return Poses(people, joints, visible, boxes, **place)


def load_both(splits: Splits, profile: Profile, *, num_dims: int = 2) -> tuple[Poses, Poses]:
    """Return the poses of training and validation people; arguments and errors as in `load_poses`."""
    train = load_poses(splits.train, profile, training=True, num_dims=num_dims)
    return train, load_poses(splits.val, profile, training=False, num_dims=num_dims)


def augment_poses(
    poses: Poses, indices: Tensor, augmentation: AugmentationProfile, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return randomly moved poses: keypoints [B, K, D] of the network input and COCO flags [B, K].

    3D poses undergo what an image can show (mirroring, turns in its plane), and, as no image is there, turns
    about the vertical of the camera and scaling besides.

    Args:
        poses: all poses.
        indices: [B] which.
        augmentation: probabilities and ranges; colour, half-body and occluders do not concern poses.
        generator: CPU generator; draws depend on B alone.
    """
    B, device = len(indices), poses.keypoints.device
    flip, angle, turned, scale, shift_x, shift_y, moved = torch.rand(7, B, generator=generator).to(device)
    angle = augmentation.rotation_deg * (2 * angle - 1) * (turned < augmentation.rotation_probability)
    scale = 1 + augmentation.scale * (2 * scale - 1)
    shift = augmentation.shift * (2 * torch.stack([shift_x, shift_y], dim=1) - 1)
    shift = shift * (moved < augmentation.shift_probability).unsqueeze(1)
    keypoints, visible = poses.keypoints[indices], poses.visible[indices]
    permutation = list(poses.flip_permutation)
    if poses.num_dims == 3:
        vertical = augmentation.vertical_deg * (2 * torch.rand(B, generator=generator).to(device) - 1)
        keypoints = _turn(keypoints, torch.deg2rad(vertical), axes=(0, 2)) * scale[:, None, None]
        keypoints = _turn(keypoints, torch.deg2rad(angle), axes=(0, 1))
        mirrored = keypoints[:, permutation] * keypoints.new_tensor([-1, 1, 1])
    else:
        affine = crop_affine(
            poses.boxes_xywh[indices],
            poses.input_size,
            padding=poses.padding,
            rotation_deg=angle,
            scale=scale,
            shift=shift,
        )
        keypoints = transform_points(affine, keypoints)
        mirrored = flip_keypoints(keypoints, poses.flip_permutation, poses.input_size[1])
    flipped = flip < augmentation.flip  # [B]
    keypoints = torch.where(flipped[:, None, None], mirrored, keypoints)
    return keypoints, torch.where(flipped[:, None], visible[:, permutation], visible)


def _turn(points: Tensor, angle: Tensor, *, axes: tuple[int, int]) -> Tensor:
    """Turn points [B, K, 3] by angles [B] in radians, from the second of two axes to the first."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    first, second = axes
    turned = list(points.unbind(-1))
    turned[first], turned[second] = (
        cos * points[..., first] + sin * points[..., second],
        cos * points[..., second] - sin * points[..., first],
    )
    return torch.stack(turned, dim=-1)
