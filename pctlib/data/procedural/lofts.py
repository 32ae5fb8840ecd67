"""Building blocks of low-poly meshes: rings, lofts through rings, weights along a chain of joints."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Part:
    """A piece of the body.

    Args:
        vertices: [n, 3] metres.
        faces: [m, 3] vertex numbers of the piece, counter-clockwise from outside.
        weights: [n, 55] skinning weights, rows sum to 1.
    """

    vertices: Array
    faces: Array
    weights: Array

    def mirrored(self, joint_mirror: Sequence[int]) -> "Part":
        """Return the piece of the other side: x negated, faces turned, left and right joints exchanged."""
        return Part(self.vertices * (-1, 1, 1), self.faces[:, ::-1], self.weights[:, list(joint_mirror)])


def ring(
    center: Array, u: Array, v: Array, radius_u: float, radius_v: float, *, count: int, power: float = 2.0
) -> Array:
    """Return `count` points [count, 3] on a superellipse around `center`, counter-clockwise about u x v.

    Args:
        center: [3] metres.
        u: [3] unit vector of the first axis.
        v: [3] unit vector of the second axis.
        radius_u: half width along u, metres.
        radius_v: half width along v, metres.
        count: points.
        power: 2 is an ellipse, more is boxier.
    """
    angle = np.arange(count) * (2 * np.pi / count)
    cosine, sine = np.cos(angle), np.sin(angle)
    along_u = radius_u * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    along_v = radius_v * np.sign(sine) * np.abs(sine) ** (2 / power)
    return np.asarray(center) + along_u[:, None] * np.asarray(u) + along_v[:, None] * np.asarray(v)


def loft(
    rings: Array, *, start_tip: Array | None = None, end_tip: Array | None = None
) -> tuple[Array, Array]:
    """Join consecutive rings [n, m, 3] by triangles and close the ends with a fan to a tip point each.

    Returns:
        vertices [n m + 2, 3] (the start and end tip last; without a tip the mean of its ring) and faces.
    """
    n, m, _ = rings.shape
    start = rings[0].mean(0) if start_tip is None else np.asarray(start_tip)
    end = rings[-1].mean(0) if end_tip is None else np.asarray(end_tip)
    j, following = np.arange(m), (np.arange(m) + 1) % m
    faces = []
    for i in range(n - 1):
        a, b, c, d = i * m + j, i * m + following, (i + 1) * m + following, (i + 1) * m + j
        faces += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    last = (n - 1) * m
    faces.append(np.stack([following, j, np.full(m, n * m)], 1))
    faces.append(np.stack([last + j, last + following, np.full(m, n * m + 1)], 1))
    return np.concatenate([rings.reshape(-1, 3), start[None], end[None]]), np.concatenate(faces)


def smoothstep(x: Array) -> Array:
    """Return 0 below 0, 1 above 1, and 3 x^2 - 2 x^3 between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def chain_weights(
    along: Array, joints: Sequence[int], starts: Sequence[float], widths: Sequence[float]
) -> Array:
    """Return weights [n, 55] that pass from joint to joint along a limb.

    Args:
        along: [n] coordinate along the limb.
        joints: k joints, from the trunk outwards.
        starts: k - 1 coordinates where the next joint takes over.
        widths: k - 1 half widths of the passage.
    """
    weights = np.zeros((len(along), 55))
    reached = [np.ones(len(along))]
    for start, width in zip(starts, widths, strict=True):
        reached.append(np.minimum(smoothstep((along - start + width) / (2 * width)), reached[-1]))
    reached.append(np.zeros(len(along)))
    for k, joint in enumerate(joints):
        weights[:, joint] += reached[k] - reached[k + 1]
    return weights


@numba.njit(cache=True, error_model="numpy")
def vertex_normals(vertices, faces):
    """Return unit normals [V, 3] of a mesh, the area-weighted mean of the faces [F, 3] around each vertex."""
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normals[i, 0] += x
            normals[i, 1] += y
            normals[i, 2] += z
    for i in range(len(normals)):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        for k in range(3):
            normals[i, k] /= max(length, 1e-12)
    return normals
