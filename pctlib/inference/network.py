"""A trained network as a plain function of crops, whichever library runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pctlib.data.images import normalize
from pctlib.models.in_3d import Finder3D
from pctlib.skeletons import Skeleton


@dataclass(frozen=True)
class PoseNetwork:
    """What finds the pose in each of a batch of crops.

    Attributes:
        find: crops uint8 [B, H, W, 3] RGB to keypoints float32 [B, K, 2] (input pixels), scores [B, K].
        skeleton: keypoint set of K keypoints.
        input_size: (H, W) of the crops, pixels.
        padding: factor on the box, as in `crop_affine`.
        udp: crops by the unbiased affine of `udp_affine`.
        solid: what is found in 3D beside it; None where nothing is.
    """

    find: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    skeleton: Skeleton
    input_size: tuple[int, int]
    padding: float = 1.25
    udp: bool = False
    solid: "Solid | None" = None

    def __post_init__(self) -> None:
        if not self.padding > 0:
            raise ValueError(f"padding: expected a factor above 0, got {self.padding}")


@dataclass(frozen=True)
class Solid:
    """What a network finds of people in three dimensions.

    Attributes:
        find: crops as `PoseNetwork.find` takes them, to its keypoints and scores, joints float32 [B, K3, 3]
            and vertices float32 [B, V, 3] or None: millimetres from the pelvis, as in `Found3D`.
        skeleton: of the joints.
        faces: int64 [F, 3] vertices of each triangle; None where there is no surface.
    """

    find: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]]
    skeleton: Skeleton
    faces: np.ndarray | None = None


def torch_network_3d(trained: Any, *, device: torch.device) -> PoseNetwork:
    """Return what finds people in 3D as a network.

    Args:
        trained: its `model` is a `Finder3D`; also has `skeleton`, `input_size`, `padding` and `udp`.
        device: where it runs.
    """
    model: Finder3D = trained.model.to(device).eval()

    def find(crops: np.ndarray) -> tuple[np.ndarray, ...]:
        found = model.find(normalize(torch.from_numpy(crops).to(device).permute(0, 3, 1, 2)))
        return tuple(None if part is None else part.float().cpu().numpy() for part in found)

    faces = None if model.faces is None else model.faces.cpu().numpy()
    solid = Solid(find, model.skeleton_3d, faces)
    size, crop = trained.input_size, (trained.padding, trained.udp)
    return PoseNetwork(lambda crops: find(crops)[:2], trained.skeleton, size, *crop, solid)


def torch_network(
    trained: Any, skeleton: Skeleton, *, device: torch.device, flip_test: bool, compiled: bool = False
) -> PoseNetwork:
    """Return a trained estimator as a network.

    Args:
        trained: has `model`, `input_size`, `padding` and `udp`, as `load_any` returns it.
        skeleton: keypoints that it gives.
        device: where it runs.
        flip_test: merge with the mirrored crops.
        compiled: compile it; the first batch of each size then takes a minute or two.
    """
    model = trained.model.to(device).eval()
    if compiled:
        from pctlib.inference.compile import CompiledEstimator

        model = CompiledEstimator(model)
    K = skeleton.num_keypoints

    @torch.inference_mode()
    def find(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = normalize(torch.from_numpy(crops).to(device).permute(0, 3, 1, 2))
        found = model.predict(images, flip_test=flip_test, joint_scores=True)
        if found.keypoints.shape[1:] != (K, 2):
            shape = tuple(found.keypoints.shape[1:])
            raise ValueError(f"the weights find poses of shape {shape}; {skeleton.name} has {(K, 2)}")
        return found.keypoints.float().cpu().numpy(), found.scores.float().cpu().numpy()

    return PoseNetwork(find, skeleton, trained.input_size, trained.padding, trained.udp)
