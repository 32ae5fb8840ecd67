"""A trained estimator with the crops that it expects."""

from typing import NamedTuple

from pctlib.models.estimator import PoseEstimator


class Trained(NamedTuple):
    """A trained estimator, on the CPU in eval mode, and the crops that it expects.

    Attributes:
        model: estimator.
        input_size: (height, width) of its crops, pixels.
        padding: factor on the box, as in `crop_affine`.
        udp: crops by the unbiased affine of `udp_affine`.
    """

    model: PoseEstimator
    input_size: tuple[int, int]
    padding: float = 1.25
    udp: bool = False
