"""From patches to network inputs: cropping and augmentation of a whole batch, on its device.

Everything geometric that happens to a sample is one affine, image -> input. All random numbers come from one
CPU generator, so a step can be repeated from its seed alone, on any device.

Source: the top-down pipeline of mmpose 1.x (flip, half body, random box transform), in that order.

Differs: a flipped sample is the mirror image of the input, x -> W - 1 - x, as in the flip test; mirroring the
whole image first, as mmpose does, lies one input pixel beside it.

Long, as the order of draws and changes is one thing.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pctlib.data.crops import (
    compose,
    crop_affine,
    flip_affine,
    invert_affine,
    keypoint_boxes,
    transform_joints_3d,
    transform_points,
    udp_affine,
    warp_images,
)
from pctlib.data.images import normalize
from pctlib.skeletons import H36M, Skeleton

# Half-body transform of mmpose: fewest labelled keypoints, fewest of a half, preference, factor on the box.
_HALF_BODY_MIN, _UPPER_MIN, _LOWER_MIN, _UPPER_PREFERRED, _HALF_BODY_PADDING = 9, 2, 3, 0.7, 1.5
_GREY = (0.299, 0.587, 0.114)  # weights of ITU-R BT.601
_TEXTURE_CELLS = 6  # random colours along each side of an occluder without a picture


@dataclass(frozen=True)
class Augmentation:
    """How strongly samples are varied; the default varies nothing.

    Attributes:
        flip: probability of a mirror image.
        scale: (low, high) factor on the box, above 1 shrinks the person; (1, 1) is none.
        rotation_deg: largest angle.
        rotation_probability: how often a sample is turned at all.
        shift: largest move as a share of the padded box, in x and in y.
        shift_probability: how often a sample is moved at all.
        half_body: probability that the crop shows the upper or the lower body alone.
        color: largest relative change of brightness, contrast and saturation; each channel's own gain changes
            by half of it.
        occluder: probability that a rectangle or ellipse covers a part of the input.
        occluder_size: (low, high) of its two sides, as shares of the shorter side of the input.

    Raises:
        ValueError: if a value is outside its range; names it.
    """

    flip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    rotation_deg: float = 0.0
    rotation_probability: float = 0.6
    shift: float = 0.0
    shift_probability: float = 0.3
    half_body: float = 0.0
    color: float = 0.0
    occluder: float = 0.0
    occluder_size: tuple[float, float] = (0.2, 0.5)

    def __post_init__(self) -> None:
        limits = {"rotation_deg": 180.0, "color": 0.9}
        for name in ("flip", "rotation_probability", "shift_probability", "half_body", "occluder", "shift"):
            limits[name] = 1.0
        for name, high in limits.items():
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"augmentation: {name} must be in 0..{high:g}, got {getattr(self, name)}")
        for name in ("scale", "occluder_size"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"augmentation: {name} must be 0 < low <= high, got {(low, high)}")


class Inputs(NamedTuple):
    """What a network and its loss take.

    images: float32 [B, 3, H, W], normalised; keypoints: [B, K, 2] input pixels, also those outside the input;
    visible: uint8 [B, K] COCO flags; affine: [B, 2, 3] image -> input, mirroring included; keypoints_3d:
    [B, K3, 3] millimetres in the camera frame of the input (turned and mirrored with it), None without 3D
    joints; joints: [B, K3, 2] where these appear, input pixels, None without them or their camera.
    """

    images: Tensor
    keypoints: Tensor
    visible: Tensor
    affine: Tensor
    keypoints_3d: Tensor | None = None
    joints: Tensor | None = None


def make_inputs(
    batch: dict[str, Tensor],
    input_size: tuple[int, int],
    *,
    skeleton: Skeleton,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
    padding: float = 1.25,
    udp: bool = False,
    skeleton_3d: Skeleton = H36M,
) -> Inputs:
    """Cut the network inputs out of a batch of patches.

    Args:
        batch: as made by `pctlib.data.patches.collate`, on any device.
        input_size: (H, W), pixels.
        skeleton: keypoint set of the batch; gives flip pairs and body halves.
        augmentation: what is varied; None for none, as in evaluation.
        generator: CPU generator of all random numbers; needed with `augmentation`.
        padding: factor on the box.
        udp: use the unbiased affine of `udp_affine`.
        skeleton_3d: keypoint set of the 3D joints, if the batch has any.

    Raises:
        ValueError: if the generator is missing, or the keypoints are not those of the skeletons.
    """
    keypoints, visible = batch["keypoints_image"], batch["visible"]
    if keypoints.shape[1] != skeleton.num_keypoints:
        got = f"the batch has {keypoints.shape[1]} keypoints"
        raise ValueError(f"skeleton {skeleton.name} has {skeleton.num_keypoints} keypoints, {got}")
    if augmentation is not None and generator is None:
        raise ValueError("augmentation needs a generator, got None")
    make_affine = udp_affine if udp else crop_affine
    if augmentation is None:
        affine = make_affine(batch["boxes_xywh"], input_size, padding=padding)
        images = _render(batch, affine, input_size)
        joints = _joints_3d(batch, affine, skeleton_3d)
        return Inputs(images, transform_points(affine, keypoints), visible, affine, *joints)

    draws = _Draws.make(len(keypoints), generator, augmentation, keypoints.device)
    boxes, box_padding = _boxes(batch, skeleton, augmentation, draws, padding)
    affine = make_affine(boxes, input_size, padding=box_padding, **_box_transform(augmentation, draws))
    flipped = draws.flip < augmentation.flip  # [B]
    mirrored = compose(flip_affine(input_size, affine), affine)
    affine = torch.where(flipped[:, None, None], mirrored, affine)
    permutation = list(skeleton.flip_permutation)
    keypoints = transform_points(affine, keypoints)
    keypoints = torch.where(flipped[:, None, None], keypoints[:, permutation], keypoints)
    visible = torch.where(flipped[:, None], visible[:, permutation], visible)
    occluders = _occluders(augmentation, draws, input_size)
    hidden = _inside(keypoints[:, None, :, 0], keypoints[:, None, :, 1], occluders)[:, 0]  # [B, K]
    visible = torch.where(hidden & (visible == 2), 1, visible).to(visible.dtype)
    images = _render(batch, affine, input_size, augmentation=augmentation, draws=draws, occluders=occluders)
    return Inputs(images, keypoints, visible, affine, *_joints_3d(batch, affine, skeleton_3d))


def _joints_3d(
    batch: dict[str, Tensor], affine: Tensor, skeleton: Skeleton
) -> tuple[Tensor | None, Tensor | None]:
    """Return the 3D joints [B, K3, 3] of a batch and their pixels [B, K3, 2], as the inputs show them."""
    joints, pixels = batch.get("keypoints_3d"), batch.get("joints_image")
    if joints is None:
        return None, None
    if joints.shape[1] != skeleton.num_keypoints:
        got = f"the batch has {joints.shape[1]} 3D joints"
        raise ValueError(f"skeleton {skeleton.name} has {skeleton.num_keypoints} keypoints, {got}")
    permutation = list(skeleton.flip_permutation)
    if pixels is not None:
        pixels = transform_points(affine, pixels)
        mirrored = torch.linalg.det(affine[:, :, :2]) < 0  # [B]
        pixels = torch.where(mirrored[:, None, None], pixels[:, permutation], pixels)
    return transform_joints_3d(affine, joints, permutation), pixels


class _Draws(NamedTuple):
    """All random numbers of a step; uniform in 0..1 where nothing else is said.

    They are drawn whether needed or not, so a change of one setting leaves the draws of the others alone.
    """

    flip: Tensor  # [B]
    box: Tensor  # [B, 4] truncated normal in -1..1: shift x, shift y, scale, rotation
    box_gate: Tensor  # [B, 2] whether shifted, whether turned
    half_body: Tensor  # [B, 2] whether, and which half
    color: Tensor  # [B, 6] uniform in -1..1: brightness, contrast, saturation, gains of R, G, B
    occluder: Tensor  # [B, 8] whether, centre x y, half sides, angle, form, kind of texture
    donor: Tensor  # [B] whose picture covers
    texture: Tensor  # [B, 3, cells, cells]
    is_occluded: Tensor  # bool [B] on the CPU, so that the device need not be waited for

    @classmethod
    def make(
        cls, B: int, generator: torch.Generator, augmentation: Augmentation, device: torch.device
    ) -> "_Draws":
        uniform = torch.rand(B, 24, generator=generator)
        flip, box, gate, half, color, occluder, donor = uniform.split([1, 4, 2, 2, 6, 8, 1], dim=1)
        texture = torch.rand(B, 3, _TEXTURE_CELLS, _TEXTURE_CELLS, generator=generator)
        covers = (occluder, donor[:, 0], texture)
        draws = (flip[:, 0], _truncated_normal(box), gate, half, 2 * color - 1, *covers)
        is_occluded = occluder[:, 0] < augmentation.occluder
        return cls(*(draw.to(device, non_blocking=True) for draw in draws), is_occluded=is_occluded)


def _truncated_normal(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into normal ones cut at -1 and 1, by the inverse of the distribution."""
    below = 0.5 * math.erfc(1 / math.sqrt(2))  # probability of less than -1
    return math.sqrt(2) * torch.erfinv(2 * (below + uniform * (1 - 2 * below)) - 1)


def _box_transform(augmentation: Augmentation, draws: _Draws) -> dict[str, Tensor]:
    """Return shift, scale and rotation of the boxes, as `crop_affine` takes them."""
    low, high = augmentation.scale
    moved = draws.box_gate[:, :1] < augmentation.shift_probability  # [B, 1]
    turned = draws.box_gate[:, 1] < augmentation.rotation_probability  # [B]
    return {
        "shift": draws.box[:, :2] * augmentation.shift * moved,
        "scale": (low + high) / 2 + (high - low) / 2 * draws.box[:, 2],
        "rotation_deg": draws.box[:, 3] * augmentation.rotation_deg * turned,
    }


def _boxes(
    batch: dict[str, Tensor], skeleton: Skeleton, augmentation: Augmentation, draws: _Draws, padding: float
) -> tuple[Tensor, Tensor]:
    """Return the boxes [B, 4] and their padding [B]: the whole person, or by chance half of the body."""
    boxes = batch["boxes_xywh"]
    paddings = torch.full_like(boxes[:, 0], padding)
    if augmentation.half_body == 0:
        return boxes, paddings
    labelled = batch["visible"] > 0  # [B, K]
    upper, lower = (torch.zeros_like(labelled[0]) for _ in range(2))
    upper[list(skeleton.upper_body)], lower[list(skeleton.lower_body)] = True, True
    enough_upper = (labelled & upper).sum(1) >= _UPPER_MIN  # [B]
    enough_lower = (labelled & lower).sum(1) >= _LOWER_MIN
    take_upper = enough_upper & (~enough_lower | (draws.half_body[:, 1] < _UPPER_PREFERRED))
    chosen = labelled & torch.where(take_upper[:, None], upper, lower)
    applies = (draws.half_body[:, 0] < augmentation.half_body) & (labelled.sum(1) >= _HALF_BODY_MIN)
    applies &= enough_upper | enough_lower
    half = keypoint_boxes(batch["keypoints_image"], chosen, padding=_HALF_BODY_PADDING)
    half = torch.cat([half[:, :2], half[:, 2:].clamp(min=1)], dim=1)  # keypoints may lie on one line
    return torch.where(applies[:, None], half, boxes), torch.where(applies, 1.0, paddings)


def _occluders(augmentation: Augmentation, draws: _Draws, input_size: tuple[int, int]) -> Tensor:
    """Return [B, 6] centre x y, half sides (0 where there is none), angle, ellipse or not; input pixels."""
    H, W = input_size
    centre = draws.occluder[:, 1:3] * draws.occluder.new_tensor([W - 1, H - 1])
    low, high = augmentation.occluder_size
    half_sides = (low + (high - low) * draws.occluder[:, 3:5]) * min(H, W) / 2
    half_sides = half_sides * (draws.occluder[:, :1] < augmentation.occluder)
    angle, ellipse = draws.occluder[:, 5:6] * math.pi, draws.occluder[:, 6:7] < 0.5
    return torch.cat([centre, half_sides, angle, ellipse], dim=1)


def _inside(x: Tensor, y: Tensor, occluders: Tensor) -> Tensor:
    """Return which points, x and y broadcast to [B, n, m], lie under the occluder [B, 6] of their sample."""
    cx, cy, a, b, angle, ellipse = (column[:, None, None] for column in occluders.unbind(1))
    cos, sin = torch.cos(angle), torch.sin(angle)
    u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
    u, v = (u / a).abs(), (v / b).abs()  # infinite or NaN without an extent, so never inside
    return torch.where(ellipse > 0, u.square() + v.square(), torch.maximum(u, v)) <= 1


def _render(
    batch: dict[str, Tensor],
    affine: Tensor,
    input_size: tuple[int, int],
    *,
    augmentation: Augmentation | None = None,
    draws: _Draws | None = None,
    occluders: Tensor | None = None,
) -> Tensor:
    """Return the normalised pixels [B, 3, H, W] that `affine` cuts out of the image.

    On a CPU two samples are worked on at a time: they stay in its cache, which is up to three times as fast.
    """
    B, patches = len(affine), batch["patch"]
    patch_to_input = compose(affine, invert_affine(batch["affine"]))
    result = affine.new_empty(B, 3, *input_size)
    step = 2 if affine.device.type == "cpu" else B
    for start in range(0, B, step):
        part = slice(start, start + step)
        images = warp_images(patches[part].float(), patch_to_input[part], input_size)
        if draws is not None and draws.is_occluded[part].any():
            images = _cover(images, _textures(patches, draws, part, input_size), occluders[part])
        if augmentation is not None and augmentation.color > 0:
            images = _jitter(images, augmentation.color * draws.color[part])
        result[part] = normalize(images)
    return result


def _cover(images: Tensor, textures: Tensor, occluders: Tensor) -> Tensor:
    """Return images [B, 3, H, W] with the texture where the occluder is."""
    y, x = (torch.arange(n, device=images.device, dtype=images.dtype) for n in images.shape[2:])
    return torch.where(_inside(x, y[:, None], occluders)[:, None], textures, images)


def _textures(patches: Tensor, draws: _Draws, part: slice, input_size: tuple[int, int]) -> Tensor:
    """Return what covers some samples, [b, 3, H, W]: the middle of another patch or random colours."""
    (H, W), B, P = input_size, len(patches), patches.shape[-1]
    colors = F.interpolate(draws.texture[part] * 255, size=(H, W), mode="bilinear", align_corners=False)
    if B == 1 or min(P - H, P - W) < 0:
        return colors
    away = 1 + (draws.donor[part] * (B - 1)).long().clamp(max=B - 2)  # 1..B-1, so never the sample itself
    donors = (torch.arange(B, device=patches.device)[part] + away) % B
    top, left = (P - H) // 2, (P - W) // 2
    pictures = patches[donors, :, top : top + H, left : left + W].float()
    return torch.where(draws.occluder[part, 7, None, None, None] < 0.5, pictures, colors)


def _jitter(images: Tensor, change: Tensor) -> Tensor:
    """Change brightness, then contrast, saturation and channel gains: a 3 x 3 matrix and offset a sample.

    Args:
        images: [B, 3, H, W], 0..255.
        change: [B, 6] relative change of brightness, contrast, saturation; by half, of the R, G, B gains.
    """
    brightness, contrast, saturation = (1 + change[:, i] for i in range(3))  # each [B]
    gains = 1 + change[:, 3:] / 2  # [B, 3]
    grey = images.new_tensor(_GREY).expand(3, 3)  # every row gives the grey value
    mean = (images.mean((2, 3)) @ grey[0]) * brightness  # [B] grey level around which contrast stretches
    identity = torch.eye(3, device=images.device)
    matrix = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * grey  # [B, 3, 3]
    matrix = gains[:, :, None] * matrix * (brightness * contrast)[:, None, None]
    offset = gains * ((1 - contrast) * mean)[:, None]  # [B, 3]; grey stays grey under saturation
    changed = torch.baddbmm(offset[:, :, None], matrix, images.flatten(2))  # [B, 3, H W]
    return changed.view_as(images).clamp(0, 255)
