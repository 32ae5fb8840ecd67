"""The pinhole camera with lens distortion of Human3.6M.

Source: Ionescu et al. 2014, "Human3.6M", camera model of the authors' code as in Martinez et al. 2017,
arXiv:1705.03098 (cameras.py).
Differs: OpenCV weights the first tangential terms twice; Human3.6M's own model, which its parameters belong
    to, once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.containers import read_array_pickle

_MM_PER_METRE = 1000.0


@dataclass(frozen=True)
class Camera:
    """One camera; x to the right, y down, z forward in its frame.

    Attributes:
        rotation: [3, 3] world -> camera; its rows are the camera's axes in the world.
        position: [3] millimetres, world.
        focal: [2] pixels.
        center: [2] principal point, pixels.
        radial: [3] distortion by r^2, r^4, r^6.
        tangential: [2] distortion, in the order of Human3.6M's files.
        image_size: (height, width).
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: np.ndarray
    center: np.ndarray
    radial: np.ndarray
    tangential: np.ndarray
    image_size: tuple[int, int]

    def world_to_camera(self, points: np.ndarray) -> np.ndarray:
        """Return points [..., 3], world millimetres, in the camera's frame."""
        return (points - self.position) @ self.rotation.T

    def camera_to_world(self, points: np.ndarray) -> np.ndarray:
        """Return points [..., 3], camera millimetres, in the world's frame."""
        return points @ self.rotation + self.position

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return where points [..., 3] of the camera's frame appear, [..., 2] image pixels.

        Raises:
            ValueError: if a point is not in front of the camera.
        """
        if (points[..., 2] <= 0).any():
            raise ValueError(f"points must lie in front of the camera, got depth {points[..., 2].min():g} mm")
        plane = points[..., :2] / points[..., 2:]  # [..., 2] at depth 1
        square = (plane**2).sum(-1, keepdims=True)  # r^2, [..., 1]
        radial = 1 + self.radial[0] * square + self.radial[1] * square**2 + self.radial[2] * square**3
        swapped = self.tangential[::-1]
        tangential = (plane * swapped).sum(-1, keepdims=True)  # [..., 1]
        distorted = plane * (radial + tangential) + swapped * square
        return self.focal * distorted + self.center


def read_h36m_cameras(path: str | Path) -> dict[tuple[str, str], Camera]:
    """Read cameras.pkl of mmpose's preprocessing; a pickle that asks for more than arrays is refused.

    Args:
        path: pickled dict of (subject, camera), such as ("S1", "54138969"), to R (camera -> world), T
            (metres, world), f, c, k (3 radial), p (2 tangential), w and h.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds what could run, or lacks a parameter; names file, camera,
            parameter.
    """
    cameras = read_array_pickle(path)
    if not isinstance(cameras, dict) or not cameras:
        raise ValueError(f"{path}: expected a dict of cameras, got {type(cameras).__name__}")
    return {key: _camera(values, f"{path}, camera {key}") for key, values in cameras.items()}


def _camera(values: Any, where: str) -> Camera:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a dict of parameters, got {type(values).__name__}")
    arrays = {}
    for name, size in {"R": 9, "T": 3, "f": 2, "c": 2, "k": 3, "p": 2, "w": 1, "h": 1}.items():
        if name not in values:
            raise ValueError(f"{where}: parameter {name} is missing, it has {', '.join(map(str, values))}")
        try:
            arrays[name] = np.asarray(values[name], np.float64).reshape(-1)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: parameter {name} needs {size} numbers ({error})") from error
        if arrays[name].size != size:
            raise ValueError(f"{where}: parameter {name} needs {size} numbers, got {arrays[name].size}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{where}: parameter {name} must be finite, got {arrays[name].tolist()}")
    for name in ("w", "h"):
        if not 1 <= arrays[name][0] < 2**31:
            raise ValueError(f"{where}: parameter {name} must be a size in pixels, got {arrays[name][0]:g}")
    rotation = arrays["R"].reshape(3, 3).T  # stored camera -> world
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
        raise ValueError(f"{where}: R is not a rotation")
    return Camera(
        rotation=rotation,
        position=arrays["T"] * _MM_PER_METRE,
        focal=arrays["f"],
        center=arrays["c"],
        radial=arrays["k"],
        tangential=arrays["p"],
        image_size=(int(arrays["h"][0]), int(arrays["w"][0])),
    )
