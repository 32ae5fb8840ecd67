"""Rotations in three forms, six numbers, matrix, axis-angle, with finite gradients everywhere.

A network gives six numbers, which no rotation cuts in two; the body model and the data sets speak
axis-angle, in which rotations by about pi lie at a cut: two that are close may have opposite vectors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """Return rotation matrices [..., 3, 3] of six numbers each, [..., 6].

    The six are a 3 x 2 matrix, row by row; its two columns are made orthonormal one after the other, and the
    third is their cross product.

    Source: Zhou et al. 2019, arXiv:1812.07035, section 4.2; layout of OSX's release.
    Differs: the release's cross product names no axis, and takes the wrong one for exactly 3 rotations.
    """
    first, second = numbers[..., 0::2], numbers[..., 1::2]  # [..., 3]
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), dim=-1)


def rotation_to_6d(matrices: Tensor) -> Tensor:
    """Return the six numbers [..., 6] of rotation matrices [..., 3, 3]; `rotation_from_6d` undoes it."""
    return matrices[..., :2].flatten(-2)


def axis_angle(matrices: Tensor) -> Tensor:
    """Return axis-angle vectors [..., 3], of length 0 to pi, of rotation matrices [..., 3, 3].

    By way of the unit quaternion, read from the row of its outer product that divides by the largest number;
    so angles near pi are as exact as others.
    """
    v, w = quaternion(matrices).split((3, 1), dim=-1)
    sign = torch.where(w < 0, -1.0, 1.0)  # the other quaternion of the same rotation turns by more than pi
    v, w = sign * v, sign * w
    # The square root has no finite gradient at 0, where the factor tends to 2.
    sine = v.square().sum(-1, keepdim=True).clamp(min=1e-14).sqrt()
    return 2 * torch.atan2(sine, w) / sine * v


def quaternion(matrices: Tensor) -> Tensor:
    """Return unit quaternions (x, y, z, w) [..., 4] of rotation matrices [..., 3, 3]; the sign is free."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrices.unbind(-2))
    outer = torch.stack(  # 4 q q^T
        (
            *(1 + a - e - i, b + d, c + g, h - f),
            *(b + d, 1 - a + e - i, f + h, c - g),
            *(c + g, f + h, 1 - a - e + i, d - b),
            *(h - f, c - g, d - b, 1 + a + e + i),
        ),
        dim=-1,
    ).unflatten(-1, (4, 4))
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None]  # [..., 1]
    row = outer.take_along_dim(largest[..., None], dim=-2).squeeze(-2)  # [..., 4]
    return F.normalize(row, dim=-1)


def mirrored_axis_angle(vectors: Tensor) -> Tensor:
    """Return the rotations [..., 3] seen in a mirror that exchanges left and right (x to -x)."""
    return vectors * vectors.new_tensor((1.0, -1.0, -1.0))


def geodesic_deg(first: Tensor, second: Tensor) -> Tensor:
    """Return the angle [...] in degrees between rotation matrices [..., 3, 3], exact near 0 and pi."""
    v, w = quaternion(first.mT @ second).split((3, 1), dim=-1)
    return torch.rad2deg(2 * torch.atan2(v.norm(dim=-1), w[..., 0].abs()))
