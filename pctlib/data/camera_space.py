"""From what is found in an image back to millimetres of the camera's frame.

A picture alone does not tell how far away a person is. So each function here takes the depth of the root, and
a table of results says which one it was given: the true one, or `root_depth_from_bones`, which only supposes
that the person is of average size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 12  # of the two fixed-point iterations; each gains at least a digit for the lenses of Human3.6M
_NEAREST, _FARTHEST = 300.0, 100_000.0  # millimetres in which a root is sought


@dataclass(frozen=True)
class Lenses:
    """The cameras of N people, x right, y down, z forward.

    Attributes:
        focal: [N, 2] pixels.
        center: [N, 2] principal point, pixels.
        distortion: [N, 5] three radial, then two tangential terms, as in `Camera` of Human3.6M; 0 for none.
    """

    focal: np.ndarray
    center: np.ndarray
    distortion: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return where points [N, K, 3], camera millimetres, appear: [N, K, 2] image pixels.

        Raises:
            ValueError: if a point is not in front of the camera; names the first row.
        """
        behind = (points[..., 2] <= 0).any(1)
        if behind.any():
            row = int(np.flatnonzero(behind)[0])
            raise ValueError(
                f"row {row}: points must lie in front of the camera, got depth {points[row, :, 2].min():g} mm"
            )
        plane = points[..., :2] / points[..., 2:]  # [N, K, 2] at depth 1
        return self.focal[:, None] * self._distorted(plane) + self.center[:, None]

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return x / z and y / z, [N, K, 2], of what appears at image pixels [N, K, 2]."""
        seen = (pixels - self.center[:, None]) / self.focal[:, None]
        plane = seen
        if self.distortion.any():
            for _ in range(_STEPS):
                plane = plane + (seen - self._distorted(plane))
        return plane

    def select(self, rows: np.ndarray) -> "Lenses":
        """Return the cameras of some rows."""
        return Lenses(self.focal[rows], self.center[rows], self.distortion[rows])

    def _distorted(self, plane: np.ndarray) -> np.ndarray:
        """Return points [N, K, 2] of the plane at depth 1 as the lens bends them."""
        square = (plane**2).sum(-1, keepdims=True)  # r^2
        radial = 1 + sum(self.distortion[:, None, i, None] * square ** (i + 1) for i in range(3))
        swapped = self.distortion[:, None, :2:-1]  # [N, 1, 2]
        return plane * (radial + (plane * swapped).sum(-1, keepdims=True)) + swapped * square


def to_camera(
    pixels: np.ndarray, relative_depth: np.ndarray, lenses: Lenses, *, root_depth: np.ndarray
) -> np.ndarray:
    """Return poses of pixels and depths in the camera's frame.

    Source: Sun et al. 2018, arXiv:1711.08229, section 4.1, which uses the true depth of the root.

    Args:
        pixels: [N, K, 2] image pixels.
        relative_depth: [N, K] millimetres behind the root.
        lenses: of the N images.
        root_depth: [N] millimetres from the camera, true or from `root_depth_from_bones`.

    Returns:
        [N, K, 3] camera millimetres, float64.

    Raises:
        ValueError: if a shape disagrees, or a joint would lie behind the camera; names the row.
    """
    N, K = relative_depth.shape
    if pixels.shape != (N, K, 2) or np.shape(root_depth) != (N,):
        got = f"{pixels.shape}, {relative_depth.shape} and {np.shape(root_depth)}"
        raise ValueError(f"expected pixels [N, K, 2], relative_depth [N, K] and root_depth [N], got {got}")
    depth = np.asarray(root_depth, np.float64)[:, None] + relative_depth  # [N, K]
    behind = (depth <= 0).any(1)
    if behind.any():
        row = int(np.flatnonzero(behind)[0])
        raise ValueError(f"row {row}: a joint lies behind the camera, at depth {depth[row].min():g} mm")
    return np.concatenate([lenses.rays(pixels), np.ones((N, K, 1))], axis=-1) * depth[..., None]


def place(
    poses: np.ndarray, root_pixels: np.ndarray, lenses: Lenses, *, root_depth: np.ndarray
) -> np.ndarray:
    """Return root-relative poses [N, K, 3] in the camera's frame, the root on the ray of its pixel.

    Args:
        poses: [N, K, 3] millimetres relative to the root.
        root_pixels: [N, 2] where the root appears, image pixels.
        lenses: of the N images.
        root_depth: [N] millimetres, as in `to_camera`.
    """
    return poses + to_camera(root_pixels[:, None], np.zeros((len(poses), 1)), lenses, root_depth=root_depth)


def bone_length(poses: np.ndarray, limbs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the mean length [N] of the limbs of poses [N, K, 3], in their unit."""
    first, second = (list(ends) for ends in zip(*limbs, strict=True))
    return np.linalg.norm(poses[:, first] - poses[:, second], axis=-1).mean(1)


def root_depth_from_bones(
    pixels: np.ndarray,
    relative_depth: np.ndarray,
    lenses: Lenses,
    *,
    limbs: Sequence[tuple[int, int]],
    mean_length: float,
) -> np.ndarray:
    """Return the depth of the root at which a person's bones have the average length.

    Differs: none of the papers on Human3.6M needs it, they take the true depth; it is what remains where
    nobody knows that. Found by bisection: bones get longer the farther away the person is thought to be.

    Args:
        pixels: [N, K, 2] image pixels.
        relative_depth: [N, K] millimetres behind the root.
        lenses: of the N images; their focal length decides.
        limbs: pairs of joints.
        mean_length: `bone_length` of the training people, averaged, millimetres.

    Returns:
        [N] millimetres, between 0.3 m (or where the nearest joint would touch the camera) and 100 m.
    """
    rays = np.concatenate([lenses.rays(pixels), np.ones((*relative_depth.shape, 1))], axis=-1)
    low = np.maximum(_NEAREST, 1 - relative_depth.min(1))  # [N]
    high = np.full(len(pixels), _FARTHEST)
    for _ in range(40):
        middle = (low + high) / 2
        depth = middle[:, None] + relative_depth
        longer = bone_length(rays * depth[..., None], limbs) > mean_length
        low, high = np.where(longer, low, middle), np.where(longer, middle, high)
    return (low + high) / 2
