"""What a representation is taught and says, in the space that it names: pixels, millimetres, or both."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pctlib.data.crops import invert_affine, transform_joints_3d, transform_points
from pctlib.data.people import People
from pctlib.inference.predict import to_image
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.study.predictions import Predictions, judge
from pctlib.study.predictions_3d import ROOT, Predictions3D, judge_3d, pixels_to_millimetres

_LABELLED = 2


class Truth(Protocol):
    """What is known of a batch of people: `Inputs`, or features with their people.

    keypoints [B, K, 2] and joints [B, K3, 2], input pixels; visible [B, K] COCO flags; keypoints_3d
    [B, K3, 3] millimetres, camera frame of the input; the last two None where nobody knows them.
    """

    keypoints: Tensor
    visible: Tensor
    keypoints_3d: Tensor | None
    joints: Tensor | None


def target_of(head: Representation, truth: Truth, **options: Any) -> Any:
    """Return the target of a representation, from the poses in its space.

    A 3D pose is relative to the pelvis, in millimetres of the camera's frame, turned and mirrored as the
    input is; so a token of it means the same pose wherever a person stands. PCT's paper does not say which
    coordinates its 3D tokens are made from: this is a choice of the study.

    Args:
        head: the representation.
        truth: of a batch.
        options: further arguments of `encode`, such as the images that guide.

    Raises:
        ValueError: if 3D joints are wanted and missing.
    """
    if head.space == "input":
        return head.encode(truth.keypoints, truth.visible, **options)
    if truth.keypoints_3d is None:
        raise ValueError(f"{type(head).__name__}: needs 3D joints, the data set has none")
    relative = truth.keypoints_3d - truth.keypoints_3d[:, ROOT, None]
    flags = torch.full_like(relative[..., 0], _LABELLED, dtype=torch.uint8)
    if head.space == "camera":
        return head.encode(relative, flags, **options)
    if truth.joints is None:
        raise ValueError(f"{type(head).__name__}: needs the camera, the data set has none")
    return head.encode(torch.cat([truth.joints, relative[..., 2:]], dim=-1), flags, **options)


def join(parts: Sequence[Keypoints]) -> Keypoints:
    """Return the poses of several batches as one."""
    return Keypoints(torch.cat([p.keypoints for p in parts]), torch.cat([p.scores for p in parts]))


def to_people(
    head: Representation,
    found: Keypoints,
    affine: Tensor,
    people: People,
    *,
    root_depth: np.ndarray | None = None,
) -> Predictions | Predictions3D:
    """Return the poses that a representation says of the crops of people, out of the crops.

    Args:
        head: the representation.
        found: of N people, as `decode` gives them.
        affine: [N, 2, 3] image -> input of the crops.
        people: the N people.
        root_depth: [N] millimetres, for what is said in pixels and depths; None: the true one.

    Returns:
        Image pixels from a representation in 2D, else millimetres from the root in the camera's frame.
    """
    scores = found.scores.float().cpu().numpy()
    if head.space == "input":
        return Predictions(to_image(found.keypoints, affine), scores)
    if head.space == "camera":
        flip = people.skeleton_3d.flip_permutation
        poses = transform_joints_3d(invert_affine(affine), found.keypoints.float(), flip).cpu().numpy()
    else:
        poses = pixels_to_millimetres(people, *out_of_crops(found, affine), root_depth=root_depth)
    return Predictions3D(poses - poses[:, ROOT, None], scores)


def out_of_crops(found: Keypoints, affine: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return image pixels [N, K, 2] and depths [N, K] of poses found in pixels of crops and depths."""
    keypoints = found.keypoints.float()
    pixels = transform_points(invert_affine(affine), keypoints[..., :2])
    return pixels.cpu().numpy(), keypoints[..., 2].cpu().numpy()


def judge_any(people: People, found: Predictions | Predictions3D) -> dict[str, float]:
    """Return the metrics of predictions, in pixels or in millimetres."""
    return judge_3d(people, found) if isinstance(found, Predictions3D) else judge(people, found)
