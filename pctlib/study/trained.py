"""A trained estimator with the crops that it expects."""

from typing import NamedTuple

from pctlib.models.estimator import PoseEstimator
from pctlib.skeletons import Skeleton


class Trained(NamedTuple):
    """A trained estimator, on the CPU in eval mode, and the crops that it expects.

    Attributes:
        model: estimator.
        input_size: (height, width) of its crops, pixels.
        padding: factor on the box, as in `crop_affine`.
        udp: crops by the unbiased affine of `udp_affine`.
        skeleton: keypoints that it gives, where weights or user say so; else None.
    """

    model: PoseEstimator
    input_size: tuple[int, int]
    padding: float = 1.25
    udp: bool = False
    skeleton: Skeleton | None = None
