"""What is known of people's bodies in 3D: parameters of a body model, in the frame of the camera.

A table of people may be selected, split and joined; their bodies are found again by the annotation's id. A
body follows its picture through every crop by the affine that makes the crop, by the one rule that 3D joints
follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pctlib.body_joints import BODY_FLIP, ROTATION_FLIP, BodyJoints, matrices_of, rest_pelvis
from pctlib.body_model import (
    NUM_EXPRESSION,
    NUM_JOINTS,
    NUM_SHAPE,
    BodyModel,
    rotation_matrix,
)
from pctlib.data.crops import in_plane, transform_joints_3d, transform_points
from pctlib.rotations import axis_angle

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])
_SIZES: dict[str, tuple[int, ...]] = {
    "pose": (NUM_JOINTS, 3),
    "shape": (NUM_SHAPE,),
    "expression": (NUM_EXPRESSION,),
    "translation": (3,),
    "focal": (2,),
    "principal_point": (2,),
    "pose_known": (NUM_JOINTS,),
    "shape_known": (),
    "expression_known": (),
}


@dataclass(frozen=True)
class Bodies:
    """Bodies of N people as parameters of a body model, before a pinhole camera: x right, y down, z forward.

    Where a mask says that something is not known, anything may stand, also NaN.

    Attributes:
        annotation_ids: int64 [N], unique: which rows of `People` these are.
        pose: [N, 55, 3] axis-angle vectors, radians; the root in the camera's frame, the hands relative to
            the model's mean hand.
        shape: [N, 10].
        expression: [N, 10].
        translation: [N, 3] metres, such that the posed model is where the person is.
        focal: [N, 2] pixels.
        principal_point: [N, 2] image pixels.
        pose_known: bool [N, 55].
        shape_known: bool [N].
        expression_known: bool [N].
        expression_mirror: [10] sign of each expression coefficient in a mirror image.
        source: where it was read, for messages.

    Raises:
        ValueError: if a shape is another, or a value that is known is not finite; names source, field, row
            and annotation.
    """

    annotation_ids: Tensor
    pose: Tensor
    shape: Tensor
    expression: Tensor
    translation: Tensor
    focal: Tensor
    principal_point: Tensor
    pose_known: Tensor
    shape_known: Tensor
    expression_known: Tensor
    expression_mirror: Tensor = field(default_factory=lambda: torch.ones(NUM_EXPRESSION))
    source: str = ""

    def __post_init__(self) -> None:
        N = len(self.annotation_ids)
        for name, size in _SIZES.items():
            if tuple(getattr(self, name).shape) != (N, *size):
                got = tuple(getattr(self, name).shape)
                raise ValueError(f"{self._name}: {name}: expected shape {(N, *size)}, got {got}")
        if len(self.annotation_ids.unique()) < N:
            raise ValueError(f"{self._name}: annotation_ids: expected each once")
        known = {"pose": self.pose_known, "shape": self.shape_known, "expression": self.expression_known}
        for name in ("pose", "shape", "expression", "translation", "focal", "principal_point"):
            finite = getattr(self, name).isfinite()
            counts = finite | ~known[name][..., None] if name in known else finite
            bad = ~counts.flatten(1).all(1)
            if bad.any():
                row = int(bad.nonzero()[0])
                raise ValueError(f"{self._name}: {name} of {self._row(row)} must be finite numbers")
        if N and not (self.focal > 0).all():
            row = int((self.focal <= 0).any(1).nonzero()[0])
            raise ValueError(f"{self._name}: focal of {self._row(row)} must be above 0")

    def __len__(self) -> int:
        return len(self.annotation_ids)

    @property
    def _name(self) -> str:
        return self.source or "bodies"

    def _row(self, row: int) -> str:
        return f"row {row} (annotation {int(self.annotation_ids[row])})"

    def select(self, rows: Tensor) -> Self:
        """Return the bodies of some rows [n], in that order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ("annotation_ids", *_SIZES)})

    def of(self, annotation_ids: Sequence[int] | np.ndarray) -> Self:
        """Return the bodies of people, one row each, in their order.

        Raises:
            ValueError: if one of them has no body; names the annotation.
        """
        row = {number: i for i, number in enumerate(self.annotation_ids.tolist())}
        unknown = [number for number in np.asarray(annotation_ids).tolist() if number not in row]
        if unknown:
            raise ValueError(f"{self._name}: annotation {unknown[0]} has no body, {len(unknown)} lack one")
        return self.select(torch.tensor([row[number] for number in np.asarray(annotation_ids).tolist()]))

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: t.to(device) for n, t in tensors.items() if isinstance(t, Tensor)})

    def joints(self, body: BodyJoints, *, batch_size: int = 256) -> Tensor:
        """Return all joints [N, 144, 3], metres in the camera's frame; what is not known counts as zero."""
        parts = [self._joints(body, rows) for rows in torch.arange(len(self)).split(batch_size)]
        return torch.cat(parts) if parts else torch.zeros(0, NUM_JOINTS, 3)

    def _joints(self, body: BodyJoints, rows: Tensor) -> Tensor:
        shape = torch.where(self.shape_known[rows, None], self.shape[rows], 0.0)
        expression = torch.where(self.expression_known[rows, None], self.expression[rows], 0.0)
        pose = torch.where(self.pose_known[rows, :, None], self.pose[rows], 0.0)
        posed = body.posed(shape, expression, matrices_of(body, pose), translation=self.translation[rows])
        return posed.all_joints()

    def vertices(self, body: BodyModel, rows: Tensor) -> Tensor:
        """Return the meshes [n, V, 3] of some rows, metres in the camera's frame."""
        part = self.select(rows)
        return body.posed(
            part.shape, part.expression, matrices_of(body, part.pose), translation=part.translation
        ).vertices

    def pixels(self, points: Tensor) -> Tensor:
        """Return where points [N, K, 3], metres in the camera's frame, appear: [N, K, 2] image pixels.

        Also of those outside the picture. Points behind the camera have no place: NaN.
        """
        depth = torch.where(points[..., 2:] > 0, points[..., 2:], torch.nan)
        return self.focal[:, None] * points[..., :2] / depth + self.principal_point[:, None]

    def follow(self, affine: Tensor) -> Self:
        """Return pose and expression as they are in crops, turned and mirrored with the picture.

        Only what does not depend on where the person is follows: `translation`, `focal` and
        `principal_point` stay those of the image.

        Args:
            affine: [N, 2, 3] image -> input, mirroring included.
        """
        turn = torch.eye(3).repeat(len(self), 1, 1).to(affine)
        turn[:, :2, :2] = in_plane(affine)
        mirrored = torch.linalg.det(turn) < 0  # [N]
        sign = _MIRROR.to(affine)
        pose = torch.where(mirrored[:, None, None], self.pose[:, list(ROTATION_FLIP)] * -sign, self.pose)
        flipped = self.pose_known[:, list(ROTATION_FLIP)]
        known = torch.where(mirrored[:, None], flipped, self.pose_known)
        # a mirrored body, seen in a mirror that also turns, is a body that turns
        proper = torch.where(mirrored[:, None, None], turn * sign, turn)
        root = proper @ rotation_matrix(pose[:, 0])
        pose = torch.cat((axis_angle(root)[:, None], pose[:, 1:]), dim=1)
        expression = torch.where(mirrored[:, None], self.expression * self.expression_mirror, self.expression)
        return replace(self, pose=pose, pose_known=known, expression=expression)


def before_camera(
    body: BodyModel,
    root_pose: Tensor,
    shape: Tensor,
    expression: Tensor,
    translation: Tensor,
    *,
    rotation: Tensor,
    offset: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return root pose and translation [N, 3] in the camera's frame, of those in the world's.

    A body model turns about its pelvis, which is not its origin; so the translation depends on the shape.

    Args:
        body: whose parameters.
        root_pose: [N, 3] axis-angle.
        shape: [N, 10].
        expression: [N, 10].
        translation: [N, 3] metres.
        rotation: [N, 3, 3] world -> camera.
        offset: [N, 3] metres: a point of the world is at `rotation @ point + offset` before the camera.
    """
    pelvis = rest_pelvis(body, shape, expression)  # [N, 3]
    root = axis_angle(rotation @ rotation_matrix(root_pose))
    moved = (rotation @ (pelvis + translation)[..., None])[..., 0] + offset - pelvis
    return root, moved


def joints_in_crop(bodies: Bodies, joints: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Return joints as crops show them: relative to the pelvis [N, 144, 3] metres, and [N, 144, 2] pixels.

    Args:
        bodies: of the N people; gives the cameras.
        joints: [N, 144, 3] metres in the camera's frame, `Bodies.joints`.
        affine: [N, 2, 3] image -> input, mirroring included.
    """
    pixels = transform_points(affine, bodies.pixels(joints))
    mirrored = torch.linalg.det(affine[:, :, :2]) < 0  # [N]
    pixels = torch.where(mirrored[:, None, None], pixels[:, list(BODY_FLIP)], pixels)
    return transform_joints_3d(affine, joints - joints[:, :1], BODY_FLIP), pixels
