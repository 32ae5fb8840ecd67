"""Joints of a body model without the rest of its mesh."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES, NUM_JOINTS, BodyModel, rotation_matrix
from pctlib.skeletons import COCO_WHOLEBODY

_LEFT_HAND, _RIGHT_HAND = slice(25, 40), slice(40, 55)
_FACE_NAMES = tuple(f"face_{i}" for i in (*range(17, 68), *range(17)))  # inner landmarks, then the outline


def _flip(names: Sequence[str], start: int = 0) -> tuple[int, ...]:
    """Return where each of `names` is found in a mirror image; the first of them has the number `start`."""
    face = COCO_WHOLEBODY.keypoint_names
    mirrored = []
    for name in names:
        side, _, rest = name.partition("_")
        if name in face and name.startswith("face_"):
            mirrored.append(face[COCO_WHOLEBODY.flip_permutation[face.index(name)]])
        else:
            other = {"left": "right", "right": "left"}.get(side)
            mirrored.append(f"{other}_{rest}" if other else name)
    return tuple(start + names.index(name) for name in mirrored)


# Where each of a body model's 55 rotations and 144 joints is found in a mirror image
ROTATION_FLIP = _flip(JOINT_NAMES)
BODY_FLIP = (*ROTATION_FLIP, *_flip(NAMED_VERTICES, 55), *_flip(_FACE_NAMES, 76))


class BodyJoints(BodyModel):
    """A body model with only the vertices that its 144 joints are taken from.

    Where the joints are at rest is a linear function of shape and expression; it is computed once. A loss of
    joints then skins a fraction of the mesh, and never multiplies the correctives of a large one in full.
    `BodyOutput.vertices` are the vertices kept.

    Args:
        body: whose joints; it is not changed.
    """

    def __init__(self, body: BodyModel) -> None:
        nn.Module.__init__(self)
        self.parents, self._levels, self.bends_hands = body.parents, body._levels, body.bends_hands
        triangles = [body.landmark_faces, body.contour_faces]
        faces = torch.cat([part.flatten() for part in triangles if part is not None])
        kept = torch.cat((body.named_vertex_ids, body.faces[faces].flatten())).unique()  # [V']
        number = torch.zeros(len(body.template), dtype=torch.long)
        number[kept] = torch.arange(len(kept))
        for name in ("template", "shape_dirs", "expression_dirs", "weights"):
            self._keep(name, getattr(body, name)[kept])
        self._keep("pose_dirs", None if body.pose_dirs is None else body.pose_dirs[:, kept])
        self._keep_index("faces", number[body.faces])  # faces that lost a vertex are never looked at
        self._keep_index("named_vertex_ids", number[body.named_vertex_ids])
        for name in ("landmark_weights", "contour_weights", "left_hand_mean", "right_hand_mean"):
            self._keep(name, getattr(body, name))
        for name in ("landmark_faces", "contour_faces"):
            self._keep_index(name, getattr(body, name))
        directions = torch.cat((body.shape_dirs, body.expression_dirs), dim=2)  # [V, 3, 20]
        self._keep("rest_template", body.joint_regressor @ body.template)  # [55, 3]
        self._keep("rest_dirs", torch.einsum("jv,vdn->jdn", body.joint_regressor, directions))  # [55, 3, 20]

    def _rest_joints(self, shaped: Tensor, shape: Tensor, expression: Tensor) -> Tensor:
        coefficients = torch.cat((shape, expression), dim=1)  # [B, 20]
        return self.rest_template + torch.einsum("jdn,bn->bjd", self.rest_dirs, coefficients)


def rest_pelvis(body: BodyModel, shape: Tensor, expression: Tensor) -> Tensor:
    """Return where the pelvis of a shaped body [B, 3] is before posing, metres: the root turns about it."""
    shaped = body.template + torch.einsum("vds,bs->bvd", body.shape_dirs, shape)
    shaped = shaped + torch.einsum("vde,be->bvd", body.expression_dirs, expression)
    return body._rest_joints(shaped, shape, expression)[:, 0]


def matrices_of(body: BodyModel, pose: Tensor) -> Tensor:
    """Return the rotations [B, 55, 3, 3] of axis-angle vectors [B, 55, 3] relative to the mean hand."""
    mean = pose.new_zeros(NUM_JOINTS, 3)
    mean[_LEFT_HAND], mean[_RIGHT_HAND] = body.left_hand_mean.view(-1, 3), body.right_hand_mean.view(-1, 3)
    return rotation_matrix(pose + mean)
