"""The people of page 14: those of the study where they have 3D joints, or Human3.6M."""

import numpy as np
import torch
from torch import Tensor

from pctlib.data.crops import crop_affine, transform_points
from pctlib.data.people import People
from pctlib.paths import resolve
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.features import Features
from pctlib.study.people import Splits, load_splits


def splits_3d(splits: Splits, profile: Profile) -> Splits:
    """Return training and validation people with 3D joints.

    Args:
        splits: of the study.
        profile: names the folder of Human3.6M, if there is one.

    Returns:
        Human3.6M; else the people of the study; else, where these have no 3D joints, procedural ones.

    Raises:
        ValueError: as `load_splits`.
        FileNotFoundError: if the folder of Human3.6M lacks a file.
    """
    if profile.pose3d.h36m:
        return load_splits("h36m", profile, root=str(resolve(profile.pose3d.h36m)))
    if splits.train.keypoints_3d is not None:
        return splits
    return load_splits("procedural", profile)


def lifting_features(
    people: People,
    keypoints_image: np.ndarray,
    labelled: np.ndarray,
    *,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    padding: float,
    mirrored: bool,
) -> Features:
    """Return 2D poses in the place of feature maps, for lifting: input pixels, NaN where not labelled.

    Args:
        people: N people with 3D joints.
        keypoints_image: [N, K, 2] image pixels.
        labelled: bool [N, K].
        skeleton: of the 2D poses.
        input_size: (height, width) of the crop, pixels.
        padding: of the crop.
        mirrored: a second view of each person, mirrored.
    """
    affine = crop_affine(torch.from_numpy(people.boxes_xywh), input_size, padding=padding)
    keypoints = transform_points(affine, torch.from_numpy(np.asarray(keypoints_image, np.float32)))
    keypoints = torch.where(torch.from_numpy(labelled)[..., None], keypoints, torch.nan)
    poses = torch.from_numpy(people.keypoints_3d)
    views = [(keypoints, poses)]
    if mirrored:
        views.append((_mirror(keypoints, skeleton, input_size[1] - 1), _mirror(poses, people.skeleton_3d, 0)))
    maps, joints = (torch.cat(parts) for parts in zip(*views, strict=True))
    visible = torch.from_numpy(people.visible).repeat(len(views), 1)
    return Features(
        maps, maps, visible, affine.repeat(len(views), 1, 1), num_people=len(people), keypoints_3d=joints
    )


def _mirror(points: Tensor, skeleton: Skeleton, last: int) -> Tensor:
    """Return points [N, K, D] at last - x, left and right exchanged."""
    turned = points[:, list(skeleton.flip_permutation)]
    return torch.cat([last - turned[..., :1], turned[..., 1:]], dim=-1)
