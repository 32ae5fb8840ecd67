"""Top-down crop geometry: a crop is one affine matrix, image -> network input.

Centre and size of a box exist only in here. Everything is batched and runs on the device of its arguments.

Source: the conventions of mmpose 1.x (`TopdownAffine`, `GetBBoxCenterScale`); UDP after Huang et al. 2020,
arXiv:1911.07524.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_affine(
    boxes_xywh: Tensor,
    input_size: tuple[int, int],
    *,
    padding: float | Tensor = 1.25,
    rotation_deg: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    fix_aspect: bool = True,
) -> Tensor:
    """Return the affine that maps the middle of each box to (W / 2, H / 2) and its width to the input width.

    Args:
        boxes_xywh: [B, 4] x, y, width, height, image pixels.
        input_size: (H, W) of the network input, pixels.
        padding: the box is enlarged by this factor first; a number or [B].
        rotation_deg: [B]; a positive angle turns the picture counter-clockwise as seen on a screen.
        scale: [B] further factor on the box: above 1 the person gets smaller.
        shift: [B, 2] (x, y) move of the box in widths and heights of the padded box, before `scale`.
        fix_aspect: enlarge the shorter side to the aspect ratio of the input, so that nothing is stretched;
            if False the box fills the input and each side is stretched by itself.

    Returns:
        [B, 2, 3] image pixels -> input pixels.

    Raises:
        ValueError: if an argument has another shape than stated, or a box has no extent.
    """
    centre, size = _centre_and_size(boxes_xywh, input_size, padding, scale, shift, fix_aspect)
    output = _output_size(input_size, size)  # [2] (W, H)
    factors = output / size  # [B, 2]
    if fix_aspect:
        factors = factors[:, :1].expand(-1, 2)  # the height follows from the width
    angle = (
        torch.zeros_like(size[:, 0])
        if rotation_deg is None
        else -_per_box("rotation_deg", rotation_deg, size)
    )
    return _affine(centre, factors, angle, output / 2)


def udp_affine(
    boxes_xywh: Tensor,
    input_size: tuple[int, int],
    *,
    padding: float | Tensor = 1.25,
    rotation_deg: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    fix_aspect: bool = True,
) -> Tensor:
    """Return the unbiased (UDP) affine: the box spans W - 1 by H - 1, from pixel centre to pixel centre.

    Arguments, result and errors as in `crop_affine`, but a positive angle turns the picture clockwise: the
    published code of the two conventions disagrees, and it only matters when both are compared.
    """
    centre, size = _centre_and_size(boxes_xywh, input_size, padding, scale, shift, fix_aspect)
    span = _output_size(input_size, size) - 1  # [2]
    angle = (
        torch.zeros_like(size[:, 0]) if rotation_deg is None else _per_box("rotation_deg", rotation_deg, size)
    )
    return _affine(centre, span / size, angle, span / 2)


def flip_affine(input_size: tuple[int, int], like: Tensor) -> Tensor:
    """Return [2, 3] the mirror image of a network input, x -> W - 1 - x, with type and device of `like`."""
    return like.new_tensor([[-1.0, 0.0, input_size[1] - 1.0], [0.0, 1.0, 0.0]])


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the affine that applies `inner` first and `outer` to its result.

    Args:
        outer: [..., 2, 3].
        inner: [..., 2, 3], broadcast with `outer`.

    Returns:
        [..., 2, 3].
    """
    linear = outer[..., :2] @ inner[..., :2]
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return torch.cat([linear, offset], dim=-1)


def invert_affine(affine: Tensor) -> Tensor:
    """Return the inverse map.

    Args:
        affine: [B, 2, 3].

    Returns:
        [B, 2, 3] such that `compose(invert_affine(a), a)` changes nothing.

    Raises:
        ValueError: if a matrix cannot be inverted; names the first one.
    """
    a, b, c, d = (affine[:, i, j] for i in (0, 1) for j in (0, 1))  # each [B]
    determinant = a * d - b * c
    first = _first(~(determinant.abs() > 0))
    if first is not None:
        raise ValueError(f"affine {first} of {len(affine)} cannot be inverted: {affine[first].tolist()}")
    linear = torch.stack([d, -b, -c, a], dim=-1).reshape(-1, 2, 2) / determinant[:, None, None]
    return torch.cat([linear, -linear @ affine[:, :, 2:]], dim=-1)


def transform_points(affine: Tensor, points: Tensor) -> Tensor:
    """Return the points where the affine maps them.

    Args:
        affine: [B, 2, 3] from the space of `points` to another.
        points: [B, K, 2] (x, y).

    Returns:
        [B, K, 2] in the other space.
    """
    return points @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]


def in_plane(affine: Tensor) -> Tensor:
    """Return the turn, and mirroring where there is one, that an affine [B, 2, 3] contains: [B, 2, 2].

    Scale and shift change where and how large a person appears, not the pose in the camera's frame; a turn
    and a mirroring of the picture change the pose. The affine must not stretch the picture.
    """
    linear = affine[:, :, :2]
    return linear / torch.linalg.det(linear).abs().sqrt()[:, None, None]


def transform_joints_3d(affine: Tensor, joints: Tensor, flip_permutation: Sequence[int]) -> Tensor:
    """Return 3D joints as they are in the picture that the affine makes: turned and mirrored with it.

    This is the one rule by which a 3D pose follows a crop, whatever the crop was made of; the inverse affine
    takes a prediction back.

    Args:
        affine: [B, 2, 3] image -> input, mirroring included.
        joints: [B, K, 3] millimetres, camera frame (x right, y down) or relative to a joint in it.
        flip_permutation: K indices, `Skeleton.flip_permutation`; left and right change places in a mirror.

    Returns:
        [B, K, 3] millimetres; depth stays as it is.
    """
    turn = in_plane(affine).to(joints)  # [B, 2, 2]
    moved = torch.cat([joints[..., :2] @ turn.transpose(1, 2), joints[..., 2:]], dim=-1)
    mirrored = torch.linalg.det(turn) < 0  # [B]
    return torch.where(mirrored[:, None, None], moved[:, list(flip_permutation)], moved)


def flip_keypoints(keypoints: Tensor, flip_permutation: tuple[int, ...], width: int) -> Tensor:
    """Return keypoints as they are in the mirror image: x' = width - 1 - x, left and right exchanged.

    Args:
        keypoints: [B, K, D] pixels, x first.
        flip_permutation: K indices, `Skeleton.flip_permutation`.
        width: of the image or input the keypoints are in, pixels.
    """
    mirrored = keypoints[:, list(flip_permutation)].clone()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def keypoint_boxes(keypoints: Tensor, chosen: Tensor, *, padding: float = 1.0) -> Tensor:
    """Return the box of chosen keypoints, centred on their mean as the half-body augmentation wants it.

    Args:
        keypoints: [B, K, 2] pixels.
        chosen: bool [B, K]; at least one a row, else the box is empty (all 0).
        padding: factor on the extent of the keypoints.

    Returns:
        [B, 4] x, y, width, height; the middle of the box is the mean of the keypoints, not the middle of
        their extent.
    """
    mask = chosen.unsqueeze(-1)  # [B, K, 1]
    count = mask.sum(1).clamp(min=1)  # [B, 1]
    mean = torch.where(mask, keypoints, 0.0).sum(1) / count  # [B, 2]
    low = torch.where(mask, keypoints, torch.inf).amin(1)  # [B, 2]
    high = torch.where(mask, keypoints, -torch.inf).amax(1)
    size = ((high - low) * padding).clamp(min=0)
    return torch.cat([mean - size / 2, size], dim=-1)


def warp_images(images: Tensor, affine: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample each image into the space its affine leads to: bilinear, zero outside the image.

    Args:
        images: [B, 3, Hs, Ws] float, any range.
        affine: [B, 2, 3] source pixels -> input pixels.
        size: (H, W) of the result, pixels.

    Returns:
        [B, 3, H, W] in the range of `images`.

    Raises:
        ValueError: if an affine cannot be inverted.
    """
    H, W = size
    source_size = images.new_tensor([images.shape[3], images.shape[2]])
    inverse = invert_affine(affine.to(images))
    # grid_sample wants -1..1 from edge to edge of the image; fold that into the matrix, not into every pixel.
    inverse = inverse * (2 / source_size)[:, None]
    inverse[:, :, 2] += 1 / source_size - 1
    x = torch.arange(W, dtype=images.dtype, device=images.device)
    y = torch.arange(H, dtype=images.dtype, device=images.device)
    column, row, offset = (inverse[:, None, None, :, i] for i in range(3))  # each [B, 1, 1, 2]
    grid = column * x[:, None] + (row * y[:, None, None] + offset)  # [B, H, W, 2]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _affine(centre: Tensor, factors: Tensor, angle_deg: Tensor, target: Tensor) -> Tensor:
    """Return [B, 2, 3]: move `centre` [B, 2] to 0, turn by `angle_deg` [B], stretch, move to `target` [2]."""
    cos, sin = torch.cos(torch.deg2rad(angle_deg)), torch.sin(torch.deg2rad(angle_deg))
    rotation = torch.stack([cos, -sin, sin, cos], dim=-1).reshape(-1, 2, 2)
    linear = factors[:, :, None] * rotation  # [B, 2, 2]
    offset = target[:, None] - linear @ centre[:, :, None]  # [B, 2, 1]
    return torch.cat([linear, offset], dim=-1)


def _centre_and_size(
    boxes_xywh: Tensor,
    input_size: tuple[int, int],
    padding: float | Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    fix_aspect: bool,
) -> tuple[Tensor, Tensor]:
    """Return centre [B, 2] and size [B, 2] (width, height) of what fills the input, image pixels."""
    if boxes_xywh.ndim != 2 or boxes_xywh.shape[1] != 4:
        raise ValueError(f"boxes_xywh needs shape [B, 4], got {list(boxes_xywh.shape)}")
    first = _first(~(boxes_xywh[:, 2:] > 0).all(1))
    if first is not None:
        raise ValueError(f"box {first} of {len(boxes_xywh)} has no extent: {boxes_xywh[first].tolist()}")
    factor = (
        padding if isinstance(padding, int | float) else _per_box("padding", padding, boxes_xywh)[:, None]
    )
    centre, size = boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2, boxes_xywh[:, 2:] * factor
    if shift is not None:
        if shift.shape != size.shape:
            raise ValueError(f"shift needs shape {list(size.shape)}, got {list(shift.shape)}")
        centre = centre + shift.to(size) * size
    if scale is not None:
        size = size * _per_box("scale", scale, size)[:, None]
    if fix_aspect:
        aspect = input_size[1] / input_size[0]
        width = torch.maximum(size[:, 0], size[:, 1] * aspect)
        size = torch.stack([width, width / aspect], dim=-1)
    return centre, size


def _first(bad: Tensor) -> int | None:
    """Return the first row that is bad, None if there is none, or on an accelerator.

    To look would make the CPU wait for the device at every step; and readers have checked what comes there.
    """
    return int(bad.nonzero()[0]) if bad.device.type == "cpu" and bad.any() else None


def _output_size(input_size: tuple[int, int], like: Tensor) -> Tensor:
    """Return (W, H) as a tensor [2] with type and device of `like`."""
    return like.new_tensor([input_size[1], input_size[0]])


def _per_box(name: str, value: Tensor, boxes: Tensor) -> Tensor:
    """Return `value` with type and device of `boxes`, or raise if it is not [B]."""
    if value.shape != boxes.shape[:1]:
        raise ValueError(f"{name} needs shape {list(boxes.shape[:1])}, got {list(value.shape)}")
    return value.to(boxes)
