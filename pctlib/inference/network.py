"""A trained network as a plain function of crops, whichever library runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pctlib.data.images import normalize
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
    """

    find: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    skeleton: Skeleton
    input_size: tuple[int, int]
    padding: float = 1.25
    udp: bool = False

    def __post_init__(self) -> None:
        if not self.padding > 0:
            raise ValueError(f"padding: expected a factor above 0, got {self.padding}")


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
