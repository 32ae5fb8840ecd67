"""The twelve losses of OSX, and where the published root rotation fails, one that does not.

Source: Lin et al. 2023, arXiv:2303.16160, section 3.5, and release.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pctlib.body_model import rotation_matrix
from pctlib.models.osx.joints import FACE, LEFT_HAND, RIGHT_HAND, project, relative_to_parts
from pctlib.models.osx.network import MeshPrediction
from pctlib.models.osx.size import OSXSize
from pctlib.models.vit import PATCH
from pctlib.rotations import axis_angle

RootLoss = Literal["axis-angle", "matrix"]
FaceTargets = Literal["published", "in the box"]


@dataclass(frozen=True)
class JointTarget:
    """One set of B x 137 joints, of a data set's own or of fitted bodies.

    Attributes:
        places: [B, 137, 3] x, y in cells of the body's volume, z in its cells, from each part's root.
        positions: [B, 137, 3] metres, `relative_to_parts`.
        valid: [B, 137] 1 where there is a position, else 0.
        inside: [B, 137] 1 where there also is a place inside the volume.
    """

    places: Tensor
    positions: Tensor
    valid: Tensor
    inside: Tensor


@dataclass(frozen=True)
class MeshTarget:
    """What is known of B people; where a mask is 0 anything, also NaN, may stand.

    Attributes:
        pose: [B, 159] axis-angle, in the order of `MeshPrediction.pose_vector`.
        pose_valid: [B, 159].
        shape: [B, 10].
        shape_valid: [B].
        expression: [B, 10].
        expression_valid: [B].
        own: joints of the data set.
        fitted: joints of the body with these parameters.
        is_3d: [B] whether the data set's own joints have depth.
        box_center: [B, 3, 2] of left hand, right hand, face, cells of the body.
        box_size: [B, 3, 2] cells.
        box_valid: [B, 3].
    """

    pose: Tensor
    pose_valid: Tensor
    shape: Tensor
    shape_valid: Tensor
    expression: Tensor
    expression_valid: Tensor
    own: JointTarget
    fitted: JointTarget
    is_3d: Tensor
    box_center: Tensor
    box_size: Tensor
    box_valid: Tensor


@dataclass(frozen=True)
class LossOptions:
    """Where the losses may differ from the published ones; the defaults are those.

    Attributes:
        root: "axis-angle", as published, or "matrix", which knows no cut (`root_matrix_l1`).
        face_targets: "published": the face's joints in cells of the body, although they are looked for in the
            face's box; "in the box": where the box shows them.
        fitted_weight: of the shape; the release's is 2 for AGORA.
        weigh_all: apply `fitted_weight` also to pose, expression and both 3D terms, as the release does in
            the variant without decoders.
        projection_moves_camera_only: joints take no gradient from their projection, as published for AGORA.
    """

    root: RootLoss = "axis-angle"
    face_targets: FaceTargets = "published"
    fitted_weight: float = 1.0
    weigh_all: bool = False
    projection_moves_camera_only: bool = False


def masked_l1(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean absolute difference over all elements, those that are not valid counted as 0.

    As published: the fewer are valid, the smaller the loss.
    """
    # Mask the error, not the loss: a NaN that does not count would survive in the gradient.
    return torch.where(valid > 0, pred - target, 0.0).abs().mul(valid).mean()


def root_axis_angle_l1(pred: Tensor, target: Tensor) -> Tensor:
    """Return the published distance [B] of rotations [B, 3, 3]: the mean over x, y, z of axis-angle vectors.

    Upright people before a camera are half turns, where the vectors of close rotations may be opposite.
    """
    return (axis_angle(pred) - axis_angle(target)).abs().mean(-1)


def root_matrix_l1(pred: Tensor, target: Tensor) -> Tensor:
    """Return a distance [B] of rotations [B, 3, 3] without a cut, about the published one near no rotation.

    Half the sum of absolute differences of the matrices, over 3: a small rotation vector stands in a matrix
    twice. Differs: the release compares axis-angle vectors.
    """
    return (pred - target).abs().sum((-1, -2)) / 6


def osx_losses(
    prediction: MeshPrediction, joints: Tensor, target: MeshTarget, size: OSXSize, options: LossOptions
) -> dict[str, Tensor]:
    """Return the terms whose sum is minimised, as scalars; a network without boxes has fewer.

    Args:
        prediction: of the network.
        joints: [B, 137, 3] metres, of the predicted body without the camera's translation.
        target: the truth; it is not changed.
        size: of the model.
        options: where the terms differ.
    """
    own, fitted = (_hands_in_boxes(part, prediction.boxes, size) for part in (target.own, target.fitted))
    terms = _parameters(prediction, target, options) | _positions(joints, target, options)
    terms["projection"] = _projection(prediction, joints, own, size, options)
    if prediction.boxes is not None:
        terms |= _boxes(prediction, target)
    return terms | _places(prediction, target, own, fitted, size, options)


def _parameters(prediction: MeshPrediction, target: MeshTarget, options: LossOptions) -> dict[str, Tensor]:
    weight = options.fitted_weight if options.weigh_all else 1.0
    shape = masked_l1(prediction.shape, target.shape, target.shape_valid[:, None])
    expression = masked_l1(prediction.expression, target.expression, target.expression_valid[:, None])
    return {
        "pose": weight * _pose(prediction, target, options.root),
        "shape": options.fitted_weight * shape,
        "expression": weight * expression,
    }


def _pose(prediction: MeshPrediction, target: MeshTarget, root: RootLoss) -> Tensor:
    """Return the mean over 159 numbers, the root's three compared as `root` says."""
    pose, valid = prediction.pose_vector(), target.pose_valid
    if root == "axis-angle":
        return masked_l1(pose, target.pose, valid)
    known = valid[:, :3].amin(1) > 0  # [B]
    vectors = torch.where(known[:, None], target.pose[:, :3], 0.0)
    error = torch.where(known, root_matrix_l1(prediction.root[:, 0], rotation_matrix(vectors)), 0.0)  # [B]
    others = masked_l1(pose[:, 3:], target.pose[:, 3:], valid[:, 3:])
    return (3 * error.mean() + (pose.shape[1] - 3) * others) / pose.shape[1]


def _positions(joints: Tensor, target: MeshTarget, options: LossOptions) -> dict[str, Tensor]:
    weight = options.fitted_weight if options.weigh_all else 1.0
    positions, own, fitted = relative_to_parts(joints), target.own, target.fitted
    known = own.valid[..., None] * target.is_3d[:, None, None]
    return {
        "joints_3d": weight * masked_l1(positions, own.positions, known),
        "fitted_joints_3d": weight * masked_l1(positions, fitted.positions, fitted.valid[..., None]),
    }


def _boxes(prediction: MeshPrediction, target: MeshTarget) -> dict[str, Tensor]:
    terms = {}
    for part, name in enumerate(("left_hand_box", "right_hand_box", "face_box")):
        known = target.box_valid[:, part, None]
        center = masked_l1(prediction.box_center[:, part], target.box_center[:, part], known)
        terms[name] = center + masked_l1(prediction.box_size[:, part], target.box_size[:, part], known)
    return terms


def _projection(
    prediction: MeshPrediction, joints: Tensor, own: JointTarget, size: OSXSize, options: LossOptions
) -> Tensor:
    """Compare where the virtual camera sees the joints; hands in their boxes, they and the face aligned."""
    source = joints.detach() if options.projection_moves_camera_only else joints
    seen = project(source, prediction.camera, size.input_size)  # [B, 137, 2]
    wanted, inside = own.places[..., :2], own.inside[..., None]
    parts = [seen[:, : LEFT_HAND.start]]
    for number, part in enumerate((LEFT_HAND, RIGHT_HAND, FACE)):
        points = seen[:, part]
        if part is not FACE and prediction.boxes is not None:
            points = _in_box(points, prediction.boxes[:, number], size.hand_cells)
        # where a part is, its box or the body says; here only its form counts
        known = inside[:, part] > 0  # [B, J, 1]
        residual = torch.where(known, wanted[:, part] - points, 0.0).sum(1, keepdim=True)
        parts.append(points + residual / known.sum(1, keepdim=True).clamp(min=1))
    return masked_l1(torch.cat(parts, dim=1), wanted, inside)


def _places(
    prediction: MeshPrediction,
    target: MeshTarget,
    own: JointTarget,
    fitted: JointTarget,
    size: OSXSize,
    options: LossOptions,
) -> dict[str, Tensor]:
    """Compare the joints' places in the volumes, those of them that the network has."""
    found = [part for part in (prediction.body_places, prediction.hand_places) if part is not None]
    if not found:
        return {}
    placed = torch.cat([part.flatten(1, -2) for part in found], dim=1)  # [B, 25 or 65, 3]
    J = slice(0, placed.shape[1])
    depth = torch.ones_like(placed[:1, :1]).expand(len(placed), 1, 3).clone()
    depth[..., 2] = target.is_3d[:, None]
    terms = {
        "places": masked_l1(placed, own.places[:, J], own.inside[:, J, None] * depth),
        "fitted_places": masked_l1(placed, fitted.places[:, J], fitted.inside[:, J, None].expand_as(placed)),
    }
    if prediction.face_places is not None:
        places, inside = target.own.places[:, FACE], target.own.inside[:, FACE]
        if options.face_targets == "in the box":
            places, inside = _volume_in_box(places, inside, prediction.boxes[:, 2], size.face_cells, size)
        terms["face_places"] = masked_l1(prediction.face_places, places, inside[..., None] * depth)
    return terms


def _hands_in_boxes(target: JointTarget, boxes: Tensor | None, size: OSXSize) -> JointTarget:
    """Return the target with the hands' places in cells of the predicted boxes."""
    if boxes is None:
        return target
    places, inside = target.places.clone(), target.inside.clone()
    for number, part in enumerate((LEFT_HAND, RIGHT_HAND)):
        places[:, part], inside[:, part] = _volume_in_box(
            places[:, part], inside[:, part], boxes[:, number], size.hand_cells, size
        )
    return replace(target, places=places, inside=inside)


def _volume_in_box(
    places: Tensor, inside: Tensor, box: Tensor, cells: int, size: OSXSize
) -> tuple[Tensor, Tensor]:
    """Return places [B, J, 3] in a volume of `cells` over a box [B, 4], and which of them are inside."""
    points = _in_box(places[..., :2], box, cells)
    depth = places[..., 2:] * (cells / size.body_depth)
    shown = ((points >= 0) & (points < cells)).all(-1)
    return torch.cat((points, depth), dim=-1), inside * shown


def _in_box(points: Tensor, box: Tensor, cells: int) -> Tensor:
    """Return points [B, J, 2], cells of the body, in cells of a box [B, 4], pixels, with `cells` a side."""
    low, high = (box / PATCH)[:, None].chunk(2, dim=-1)  # [B, 1, 2]
    return (points - low) * (cells / (high - low))
