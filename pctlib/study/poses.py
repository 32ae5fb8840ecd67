"""Poses as the tokenizer sees them: keypoints of a crop, in tensors that live on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pctlib.data.crops import crop_affine, flip_keypoints, invert_affine, transform_points
from pctlib.data.people import People
from pctlib.profiles import AugmentationProfile, CropProfile
from pctlib.skeletons import H36M, Skeleton


@dataclass
class Poses:
    """Poses of N people in the image and in 3D, and how to crop them.

    Attributes:
        people: the table they come from.
        keypoints: [N, K, D] image pixels, or root-relative camera millimetres in 3D.
        visible: [N, K] COCO flags.
        boxes_xywh: [N, 4] image pixels.
        crop: network input; unused in 3D.
    """

    people: People
    keypoints: Tensor
    visible: Tensor
    boxes_xywh: Tensor
    crop: CropProfile

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
        moved = [t.to(device) for t in (self.keypoints, self.visible, self.boxes_xywh)]
        return Poses(self.people, *moved, self.crop)

    def crops(self) -> tuple[Tensor, Tensor]:
        """Return keypoints [N, K, D] as the network sees them without augmentation, and affines [N, 2, 3]."""
        affine = crop_affine(self.boxes_xywh, self.crop.input_size, padding=self.crop.padding)
        return (self.keypoints if self.num_dims == 3 else transform_points(affine, self.keypoints)), affine

    def to_image(self, keypoints: Tensor) -> np.ndarray:
        """Return crop keypoints [N, K, 2] of `crops` in image pixels."""
        return transform_points(invert_affine(self.crops()[1]), keypoints).cpu().numpy()


def load_poses(people: People, crop: CropProfile, *, num_dims: int = 2) -> Poses:
    """Return the poses of people in tensors.

    Args:
        people: N people.
        crop: network input and padding.
        num_dims: 2 for keypoints in the image; 3 for the Human3.6M joints relative to the pelvis.

    Raises:
        ValueError: if `num_dims` is 3 and the data set has no 3D joints, or there is nobody.
    """
    if len(people) == 0:
        raise ValueError(f"{people.source or 'people'}: the data set is empty, there is no pose to learn")
    boxes = torch.from_numpy(people.boxes_xywh)
    if num_dims == 2:
        keypoints, visible = torch.from_numpy(people.keypoints_image), torch.from_numpy(people.visible)
        return Poses(people, keypoints, visible, boxes, crop)
    if people.keypoints_3d is None:
        raise ValueError(f"{people.source or 'people'}: num_dims is 3 but the data set has no 3D joints")
    joints = torch.from_numpy(people.keypoints_3d)
    joints = joints - joints[:, H36M.index("pelvis"), None]
    return Poses(people, joints, torch.full(joints.shape[:2], 2, dtype=torch.uint8), boxes, crop)


def augment_poses(
    poses: Poses, indices: Tensor, augmentation: AugmentationProfile, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return randomly moved poses: keypoints [B, K, D] of the network input and COCO flags [B, K].

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
        keypoints = _turn_about_y(keypoints, torch.deg2rad(angle)) * scale[:, None, None]
        mirrored = keypoints[:, permutation] * keypoints.new_tensor([-1, 1, 1])
    else:
        affine = crop_affine(
            poses.boxes_xywh[indices],
            poses.crop.input_size,
            padding=poses.crop.padding,
            rotation_deg=angle,
            scale=scale,
            shift=shift,
        )
        keypoints = transform_points(affine, keypoints)
        mirrored = flip_keypoints(keypoints, poses.flip_permutation, poses.crop.input_width)
    flipped = flip < augmentation.flip  # [B]
    keypoints = torch.where(flipped[:, None, None], mirrored, keypoints)
    return keypoints, torch.where(flipped[:, None], visible[:, permutation], visible)


def _turn_about_y(points: Tensor, angle: Tensor) -> Tensor:
    """Turn points [B, K, 3] about the vertical axis of the camera by angles [B] in radians."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x, y, z = points.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)
