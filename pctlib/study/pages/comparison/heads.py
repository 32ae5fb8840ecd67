"""Every representation as a head on any backbone, built from the values of a profile.

What all share comes from the profile: input size, width of the Gaussians, widths of the heads. Heatmaps are a
quarter of the input, whatever the backbone's stride.
"""

import copy
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pctlib.models.backbones import Backbone
from pctlib.models.representations.base import Representation
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap
from pctlib.models.representations.heatmap_coding import CodingKind
from pctlib.models.representations.regression import (
    CoordinateRegression,
    ResidualLikelihoodRegression,
    SoftArgmaxRegression,
)
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.pages.comparison.trainings import PCT
from pctlib.study.stages.classifier import build_classifier

HEATMAP_STRIDE = 4  # input pixels a cell, as published
_SIMCC_SHARE = 3 / 8  # published: Gaussians of 3 pixels where those of heatmaps have 8

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "coordinates": "coordinates (DeepPose)",
        "soft_argmax": "soft-argmax (integral)",
        "rle": "coordinates, RLE",
        "heatmap_standard": "heatmap, standard",
        "heatmap_dark": "heatmap, DARK",
        "heatmap_udp": "heatmap, UDP",
        "simcc": "SimCC",
        "rtmcc": "RTMCC",
        PCT: "tokens (PCT)",
    }
)


def build_head(
    name: str,
    profile: Profile,
    backbone: Backbone,
    skeleton: Skeleton,
    *,
    tokenizer: PoseTokenizer | None = None,
    guide: Backbone | None = None,
) -> Representation:
    """Return an untrained representation for the last map of a backbone.

    Args:
        name: a key of `TITLES`.
        profile: input size, Gaussians and widths.
        backbone: gives the map.
        skeleton: the keypoints.
        tokenizer: trained, for "pct"; is frozen.
        guide: backbone of a guided tokenizer.

    Raises:
        ValueError: if the name is unknown, "pct" has no tokenizer, or the sizes do not go together.
    """
    if name == PCT:
        if tokenizer is None:
            raise ValueError("pct: expected a trained tokenizer, got None")
        return build_classifier(profile, backbone, tokenizer, skeleton, guide=guide)
    if name not in _BUILDERS:
        raise ValueError(f"representation: expected one of {', '.join(TITLES)}, got {name!r}")
    return _BUILDERS[name](profile, backbone, skeleton)


def rescale_tokenizer(tokenizer: PoseTokenizer, ratio: float) -> PoseTokenizer:
    """Return a copy of a tokenizer for poses whose pixels are `ratio` times as many along both axes.

    Raises:
        ValueError: if the ratio is not 1 and the tokenizer takes raw pixels, which it knows by number.
    """
    scaled = copy.deepcopy(tokenizer)
    if ratio == 1:
        return scaled
    if scaled.coordinate_scale == 1 and not scaled.coordinate_center.any():
        raise ValueError(
            f"tokenizer.normalise is false: its poses cannot be scaled by {ratio:g}; give the whole networks "
            "the input size of the profile's crops"
        )
    scaled.coordinate_scale *= ratio
    scaled.coordinate_center *= ratio
    return scaled


def simcc_sigma(profile: Profile, *, bins_per_pixel: float = 2.0) -> float:
    """Return the deviation of SimCC's Gaussians in bins: as narrow beside the heatmaps' as published.

    RTMPose's own rule, the root of a sixteenth of the bins, gives about the same for 256 pixels.
    """
    return profile.heatmap.sigma * HEATMAP_STRIDE * _SIMCC_SHARE * bins_per_pixel


def _deconvolutions(profile: Profile, backbone: Backbone) -> tuple[int, ...]:
    """Return the widths of the transposed convolutions that lead from a backbone to heatmaps."""
    steps = math.log2(backbone.strides[-1] / HEATMAP_STRIDE)
    widths = profile.heatmap.deconv_channels
    if steps != int(steps) or not 0 <= steps <= len(widths):
        raise ValueError(
            f"heatmap.deconv_channels: {len(widths)} widths cannot lead from stride {backbone.strides[-1]} "
            f"to {HEATMAP_STRIDE}"
        )
    return tuple(widths[: int(steps)])


def _heatmap(coding: CodingKind) -> Callable[[Profile, Backbone, Skeleton], Representation]:
    def build(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
        channels = _deconvolutions(profile, backbone)
        return Heatmap.simple_baseline(
            backbone.channels[-1],
            skeleton.flip_permutation,
            input_size=profile.crop.input_size,
            coding=coding,
            sigma=profile.heatmap.sigma,
            feature_stride=backbone.strides[-1],
            channels=channels,
            kernels=[4] * len(channels),
        )

    return build


def _coordinates(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
    return CoordinateRegression(
        backbone.channels[-1], skeleton.flip_permutation, input_size=profile.crop.input_size
    )


def _soft_argmax(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
    channels = _deconvolutions(profile, backbone)
    head = DeconvolutionHead(
        backbone.channels[-1], skeleton.num_keypoints, channels=channels, kernels=[4] * len(channels)
    )
    return SoftArgmaxRegression(head, skeleton.flip_permutation, input_size=profile.crop.input_size)


def _rle(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
    return ResidualLikelihoodRegression(
        backbone.channels[-1], skeleton.flip_permutation, input_size=profile.crop.input_size
    )


def _simcc(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
    sigma = simcc_sigma(profile)
    return SimCC.linear(
        backbone.channels[-1],
        skeleton.flip_permutation,
        input_size=profile.crop.input_size,
        sigma_xy=(sigma, sigma),
        feature_stride=backbone.strides[-1],
    )


def _rtmcc(profile: Profile, backbone: Backbone, skeleton: Skeleton) -> Representation:
    sigma = simcc_sigma(profile)
    return RTMCC(
        backbone.channels[-1],
        skeleton.flip_permutation,
        input_size=profile.crop.input_size,
        sigma_xy=(sigma, sigma),
        feature_stride=backbone.strides[-1],
    )


_BUILDERS: Mapping[str, Callable[[Profile, Backbone, Skeleton], Representation]] = MappingProxyType(
    {
        "coordinates": _coordinates,
        "soft_argmax": _soft_argmax,
        "rle": _rle,
        "heatmap_standard": _heatmap("standard"),
        "heatmap_dark": _heatmap("dark"),
        "heatmap_udp": _heatmap("udp"),
        "simcc": _simcc,
        "rtmcc": _rtmcc,
    }
)
