"""Every representation as a head on any backbone: one row each, built from the values of a profile.

What all share comes from the profile: input size, width of the Gaussians, widths of the heads. Heatmaps are a
quarter of the input, whatever the backbone's stride.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from pctlib.models.backbones import Backbone
from pctlib.models.representations.base import Representation
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.heatmap_coding import CodingKind
from pctlib.models.representations.integral import IntegralRegression
from pctlib.models.representations.regression import CoordinateRegression, ResidualLikelihoodRegression
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.pages.comparison import codings
from pctlib.study.pages.comparison.codings import HEATMAP_STRIDE, Coding, simcc_sigma
from pctlib.study.pages.comparison.trainings import PCT
from pctlib.study.stages.classifier import build_classifier
from pctlib.study.stages.heatmap import build_backbone
from pctlib.study.stages.tokenizer import build_tokenizer


@dataclass(frozen=True)
class Parts:
    """What a token classifier is built from, besides a profile.

    Attributes:
        tokenizer: for poses in the crops of the profile.
        guide: backbone of a guided tokenizer, else None.
    """

    tokenizer: PoseTokenizer
    guide: Backbone | None = None

    @classmethod
    def untrained(cls, profile: Profile, skeleton: Skeleton) -> "Parts":
        """Return parts of the profile's shapes, to load weights into."""
        guide = build_backbone(profile) if profile.tokenizer.guide_ratio else None
        channels = guide.channels[-1] if guide is not None else 0
        tokenizer = build_tokenizer(profile, num_keypoints=skeleton.num_keypoints, guide_channels=channels)
        return cls(tokenizer, guide)

    def rescaled(self, ratio: float) -> "Parts":
        """Return a copy for poses whose pixels are `ratio` times as many along both axes.

        Raises:
            ValueError: if the ratio is not 1 and the tokenizer takes raw pixels, which it knows by number.
        """
        return Parts(rescale_tokenizer(self.tokenizer, ratio), self.guide)


Build = Callable[[Profile, Backbone, Skeleton, Parts | None], Representation]


class Head(NamedTuple):
    """A row of the table of representations.

    Attributes:
        title: in tables.
        build: (profile, backbone, keypoints, parts) -> untrained, for the last map of the backbone; parts are
            those of tokens.
        coding: (profile, trained tokenizer, if there is one) -> title -> how poses are written and read back
            before anything is learned; heads that write alike name the same.
    """

    title: str
    build: Build
    coding: Callable[[Profile, PoseTokenizer | None], Mapping[str, Coding]]


def build_head(
    name: str, profile: Profile, backbone: Backbone, skeleton: Skeleton, *, parts: Parts | None = None
) -> Representation:
    """Return an untrained representation for the last map of a backbone.

    Args:
        name: a key of `HEADS`.
        profile: input size, Gaussians and widths.
        backbone: gives the map.
        skeleton: the keypoints.
        parts: trained tokenizer and guide, for tokens; are frozen.

    Raises:
        ValueError: if the name is unknown, tokens have no tokenizer, or the sizes do not go together.
    """
    check_head(name)
    return HEADS[name].build(profile, backbone, skeleton, parts)


def check_head(name: str) -> None:
    """Refuse what is no representation.

    Raises:
        ValueError: names those there are.
    """
    if name not in HEADS:
        raise ValueError(f"representation: expected one of {', '.join(HEADS)}, got {name!r}")


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


def _heatmap(
    coding: CodingKind, profile: Profile, backbone: Backbone, skeleton: Skeleton, parts: Parts | None
) -> Representation:
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


def _regression(
    kind: type[CoordinateRegression | ResidualLikelihoodRegression],
    profile: Profile,
    backbone: Backbone,
    skeleton: Skeleton,
    parts: Parts | None,
) -> Representation:
    return kind(backbone.channels[-1], skeleton.flip_permutation, input_size=profile.crop.input_size)


def _integral(
    profile: Profile, backbone: Backbone, skeleton: Skeleton, parts: Parts | None
) -> Representation:
    return IntegralRegression.deconvolution(
        backbone.channels[-1],
        skeleton.flip_permutation,
        input_size=profile.crop.input_size,
        channels=_deconvolutions(profile, backbone),
    )


def _simcc(
    kind: Callable[..., SimCC],
    profile: Profile,
    backbone: Backbone,
    skeleton: Skeleton,
    parts: Parts | None,
) -> Representation:
    sigma = simcc_sigma(profile)
    return kind(
        backbone.channels[-1],
        skeleton.flip_permutation,
        input_size=profile.crop.input_size,
        sigma_xy=(sigma, sigma),
        feature_stride=backbone.strides[-1],
    )


def _tokens(profile: Profile, backbone: Backbone, skeleton: Skeleton, parts: Parts | None) -> Representation:
    if parts is None:
        raise ValueError(f"{PCT}: expected a trained tokenizer, got None")
    return build_classifier(profile, backbone, parts.tokenizer, skeleton, guide=parts.guide)


HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "coordinates": Head(
            "coordinates (DeepPose)", partial(_regression, CoordinateRegression), codings.coordinates
        ),
        "soft_argmax": Head("soft-argmax (integral)", _integral, codings.means),
        "rle": Head(
            "coordinates, RLE", partial(_regression, ResidualLikelihoodRegression), codings.coordinates
        ),
        "heatmap_standard": Head(
            "heatmap, standard", partial(_heatmap, "standard"), partial(codings.heatmaps, "standard")
        ),
        "heatmap_dark": Head("heatmap, DARK", partial(_heatmap, "dark"), partial(codings.heatmaps, "dark")),
        "heatmap_udp": Head("heatmap, UDP", partial(_heatmap, "udp"), partial(codings.heatmaps, "udp")),
        "simcc": Head("SimCC", partial(_simcc, SimCC.linear), codings.simcc),
        "rtmcc": Head("RTMCC", partial(_simcc, RTMCC), codings.simcc),
        PCT: Head(codings.TOKENS, _tokens, codings.tokens),
    }
)
"""Every representation that the study compares, in the order of the tables."""
