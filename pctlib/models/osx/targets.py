"""What the losses of OSX compare with, from a body's parameters and where its joints are in the crop."""

import torch
from torch import Tensor

from pctlib.models.osx.body import osx_order
from pctlib.models.osx.joints import FACE, LEFT_HAND, OSX_JOINTS, RIGHT_HAND, relative_to_parts
from pctlib.models.osx.size import FACE_MARGIN, HAND_MARGIN, OSXSize
from pctlib.models.osx.terms import JointTarget, MeshTarget
from pctlib.models.vit import PATCH

BODY_EXTENT, PART_EXTENT = 2.0, 0.3  # metres that the volumes of body, and of hands and face, are deep
_LARGEST_SHAPE = 3.0  # a fit with a larger coefficient is not trusted
_LEFT_WRIST, _RIGHT_WRIST = 20, 21  # of the 144 joints


def mesh_target(
    pose: Tensor,
    shape: Tensor,
    expression: Tensor,
    joints: Tensor,
    pixels: Tensor,
    size: OSXSize,
    *,
    pose_known: Tensor | None = None,
    shape_known: Tensor | None = None,
    expression_known: Tensor | None = None,
) -> MeshTarget:
    """Return the target of B people whose bodies are known, as their crops show them.

    Joints outside the crop have positions, but no place in the volume. Data set and fit agree: both joint
    targets are the same.

    Args:
        pose: [B, 55, 3] axis-angle, the root in the frame of the crop.
        shape: [B, 10]; where a coefficient exceeds 3 all become 0, as in the release.
        expression: [B, 10].
        joints: [B, 144, 3] metres, turned and mirrored with the crop; any origin.
        pixels: [B, 144, 2] where they appear in the input, NaN where nowhere.
        size: of the model.
        pose_known: bool [B, 55]; None: all are.
        shape_known: bool [B]; None: all are.
        expression_known: bool [B]; None: all are.
    """
    B = len(pose)
    everyone = pose.new_ones(B)
    own = joint_target(joints, pixels, size)
    boxes = _part_boxes(pixels)  # [B, 3, 4] pixels
    low, high = boxes.split(2, dim=-1)
    center, extent = (low + high) / (2 * PATCH), (high - low) / PATCH
    limit = center.new_tensor((size.grid[1], size.grid[0]))
    shown = ((center >= 0) & (center < limit)).all(-1)
    known = pose_known if pose_known is not None else torch.ones_like(pose[..., 0], dtype=torch.bool)
    trusted = (shape.abs() <= _LARGEST_SHAPE).all(1, keepdim=True)
    return MeshTarget(
        pose=osx_order(pose).flatten(1),
        pose_valid=osx_order(known[..., None].expand(-1, -1, 3)).flatten(1).to(pose),
        shape=torch.where(trusted, shape, 0.0),
        shape_valid=everyone if shape_known is None else shape_known.to(pose),
        expression=expression,
        expression_valid=everyone if expression_known is None else expression_known.to(pose),
        own=own,
        fitted=own,
        is_3d=everyone,
        box_center=center,
        box_size=extent,
        box_valid=shown.to(pose),
    )


def joint_target(joints: Tensor, pixels: Tensor, size: OSXSize) -> JointTarget:
    """Return places and positions of OSX's 137 joints; arguments as of `mesh_target`."""
    positions = relative_to_parts(joints[:, list(OSX_JOINTS)])
    extent = positions.new_full((positions.shape[1],), BODY_EXTENT)
    for part in (LEFT_HAND, RIGHT_HAND, FACE):
        extent[part] = PART_EXTENT
    depth = (positions[..., 2] / extent + 0.5) * size.body_depth
    cells = pixels[:, list(OSX_JOINTS)] / PATCH
    places = torch.cat((cells, depth[..., None]), dim=-1)  # [B, 137, 3]
    limit = places.new_tensor((size.grid[1], size.grid[0], size.body_depth))
    inside = ((places >= 0) & (places < limit)).all(-1)  # never where a place is NaN
    ones = torch.ones_like(depth)
    return JointTarget(places, positions, valid=ones, inside=inside.to(ones))


def true_boxes(pixels: Tensor) -> Tensor:
    """Return the boxes [B, 3, 4] of left hand, right hand and face as the network takes them, pixels.

    Args:
        pixels: [B, 144, 2] of the joints in the input.
    """
    margin = pixels.new_tensor((HAND_MARGIN, HAND_MARGIN, FACE_MARGIN))
    low, high = _part_boxes(pixels).split(2, dim=-1)
    half = (high - low).amax(-1, keepdim=True) * margin[:, None] / 2
    center = (low + high) / 2
    return torch.cat((center - half, center + half), dim=-1)


def _part_boxes(pixels: Tensor) -> Tensor:
    """Return the bounds [B, 3, 4] of left hand and right hand, wrists included, and face."""
    chosen = pixels[:, list(OSX_JOINTS)]
    parts = (
        torch.cat((chosen[:, LEFT_HAND], pixels[:, _LEFT_WRIST, None]), dim=1),
        torch.cat((chosen[:, RIGHT_HAND], pixels[:, _RIGHT_WRIST, None]), dim=1),
        pixels[:, 76:],
    )
    return torch.stack([torch.cat((part.amin(1), part.amax(1)), dim=-1) for part in parts], dim=1)
