"""From what OSX finds to a posed body, and back from a body to OSX's order of joints."""

import torch
from torch import Tensor

from pctlib.body_joints import BodyJoints
from pctlib.body_model import BodyModel, BodyOutput, rotation_matrix
from pctlib.models.osx.joints import OSX_JOINTS
from pctlib.models.osx.network import MeshPrediction
from pctlib.rotations import axis_angle

_LEFT_HAND, _RIGHT_HAND = slice(25, 40), slice(40, 55)


def posed_body(body: BodyModel, prediction: MeshPrediction) -> BodyOutput:
    """Return the predicted bodies, metres, before the camera's translation."""
    rotations = joint_rotations(body, prediction.rotations())
    return body.posed(prediction.shape, prediction.expression, rotations)


def predicted_joints(body: BodyJoints, prediction: MeshPrediction) -> Tensor:
    """Return OSX's joints [B, 137, 3] of the predicted bodies, metres, without the camera's translation."""
    return posed_body(body, prediction).all_joints()[:, list(OSX_JOINTS)]


def joint_rotations(body: BodyModel, rotations: Tensor) -> Tensor:
    """Return the rotations of all 55 joints [B, 55, 3, 3] of the 53 that OSX finds.

    Args:
        body: its mean hand is added to the hands, as vectors, where it has one.
        rotations: [B, 53, 3, 3] root, 21 of the body, left hand, right hand, jaw; the eyes look ahead.
    """
    body_part, left, right, jaw = rotations.split((22, 15, 15, 1), dim=1)
    eyes = torch.eye(3).to(rotations).expand(len(rotations), 2, 3, 3)
    if body.bends_hands:
        left, right = _bent(left, body.left_hand_mean), _bent(right, body.right_hand_mean)
    return torch.cat((body_part, jaw, eyes, left, right), dim=1)


def _bent(hand: Tensor, mean: Tensor) -> Tensor:
    """Return the rotations of a hand [B, 15, 3, 3] to whose vectors the mean hand [45] is added."""
    return rotation_matrix(axis_angle(hand) + mean.view(-1, 3))


def osx_order(vectors: Tensor) -> Tensor:
    """Return the 53 joints [B, 53, ...] that OSX finds, in its order, of 55 [B, 55, ...]."""
    parts = (vectors[:, :22], vectors[:, _LEFT_HAND], vectors[:, _RIGHT_HAND], vectors[:, 22:23])
    return torch.cat(parts, dim=1)
