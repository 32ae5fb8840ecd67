"""The perspective camera: pinhole, pixel centres at integers, x right, y down, z forward."""

from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        rotation: [3, 3] world -> camera.
        position: [3] metres, world (y up, ground at 0).
        focal: pixels.
        principal_point: (x, y) pixels.
        image_size: (height, width).
    """

    rotation: Array
    position: Array
    focal: float
    principal_point: tuple[float, float]
    image_size: tuple[int, int]

    def to_camera(self, points: Array) -> Array:
        """Return world points [..., 3] in the camera frame, metres."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Array) -> Array:
        """Return world points [..., 3] as (x, y, depth) [..., 3]: pixels, pixels, metres."""
        in_camera = self.to_camera(points)
        depth = in_camera[..., 2:]
        return np.concatenate([self.focal * in_camera[..., :2] / depth + self.principal_point, depth], -1)

    def shifted(self, offset: Array) -> "Camera":
        """Return the camera whose pictures are moved by `offset` (x, y) pixels, as if cut elsewhere."""
        x, y = self.principal_point
        return replace(self, principal_point=(float(x + offset[0]), float(y + offset[1])))


def look_at(position: Array, target: Array, *, roll: float) -> Array:
    """Return the rotation [3, 3] world -> camera of a camera at `position` that looks at `target`.

    Args:
        position: [3] metres, world.
        target: [3] metres, world.
        roll: about the line of sight, radians.
    """
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    return np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])


def draw_camera(rng: np.random.Generator, vertices: Array, *, image_size: tuple[int, int]) -> Camera:
    """Draw a camera that has the whole body in the picture: from any side, near or far, wide or long lens.

    Args:
        rng: where every draw comes from.
        vertices: [V, 3] metres, world.
        image_size: (height, width) pixels.
    """
    low, high = vertices.min(0), vertices.max(0)
    target = (low + high) / 2
    distance = np.exp(rng.uniform(np.log(2.2), np.log(9.0)))
    elevation = np.deg2rad(np.clip(rng.gamma(1.6, 9.0) - 6, -8, 55))
    azimuth, roll = rng.uniform(-np.pi, np.pi), np.deg2rad(np.clip(rng.normal(0, 3.5), -12, 12))
    horizontal = np.array([np.sin(azimuth), 0, np.cos(azimuth)])
    position = target + distance * (
        np.cos(elevation) * horizontal + np.sin(elevation) * np.array([0, 1.0, 0])
    )
    position[1] = max(position[1], 0.25)
    height, width = image_size
    fill = rng.beta(4.0, 1.8) * 0.6 + 0.36  # share of the frame the body fills
    unit = Camera(look_at(position, target, roll=roll), position, 1.0, (0.0, 0.0), image_size)
    flat = unit.project(vertices)[:, :2]
    corner, size = flat.min(0), np.ptp(flat, axis=0)
    focal = fill * min(width / size[0], height / size[1])
    slack = np.array([width, height]) - focal * size
    place = (
        slack * rng.beta(2.5, 2.5, size=2) - 0.5
    )  # of the upper left corner of the body; pixel centres at integers
    x, y = place - focal * corner
    return replace(unit, focal=float(focal), principal_point=(float(x), float(y)))
