"""How each representation writes a pose and reads it back before anything is learned, with closed forms."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pctlib.models.representations.heatmap_coding import CodingKind, HeatmapCoding
from pctlib.models.representations.regression import Regression, RegressionPrediction
from pctlib.models.representations.simcc_coding import SimCCCoding
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile

HEATMAP_STRIDE = 4  # input pixels a cell, as published
SPLIT_RATIOS = (1, 2, 3)  # bins a pixel of SimCC
_SIMCC_SHARE = 3 / 8  # published: Gaussians of 3 pixels where those of heatmaps have 8
TOKENS = "tokens (PCT)"
_NAMES: dict[CodingKind, str] = {"standard": "standard", "dark": "DARK", "udp": "UDP"}

# mean distance from the middle of a unit square to its points, (sqrt 2 + ln(1 + sqrt 2)) / 6
MEAN_IN_SQUARE = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6

Restore = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Keypoints [B, K, 2], input px, and COCO flags [B, K] to keypoints read back and bool [B, K]: written."""


class Coding(NamedTuple):
    """A way to write poses.

    Attributes:
        restore: writes and reads back.
        expected: mean error, input pixels, that rounding to a grid gives a joint that may be anywhere; NaN
            where there is no closed form.
    """

    restore: Restore
    expected: float = math.nan


def simcc_sigma(profile: Profile, *, bins_per_pixel: float = 2.0) -> float:
    """Return the deviation of SimCC's Gaussians in bins: as narrow beside the heatmaps' as published.

    RTMPose's own rule, the root of a sixteenth of the bins, gives about the same for 256 pixels.
    """
    return profile.heatmap.sigma * HEATMAP_STRIDE * _SIMCC_SHARE * bins_per_pixel


def coordinates(profile: Profile, tokenizer: PoseTokenizer | None = None) -> dict[str, Coding]:
    """Return the coding of coordinates, whatever learns them."""
    representation = Regression((0,), input_size=profile.crop.input_size)

    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = representation.encode(keypoints, visible)
        zeros = torch.zeros_like(target.coordinates)
        read = representation.decode(RegressionPrediction(target.coordinates, zeros, zeros[..., 0]))
        return read.keypoints, target.labelled

    return {"coordinates, RLE": Coding(restore)}


def means(profile: Profile, tokenizer: PoseTokenizer | None = None) -> dict[str, Coding]:
    """Return the nearest mean that a map can have: between the middles of its outer cells."""
    size = profile.crop.input_size
    cells = tuple(side // HEATMAP_STRIDE for side in size)
    last = torch.tensor([side * (1 - 1 / count) for side, count in zip(size, cells, strict=True)]).flip(0)

    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return keypoints.clamp(min=torch.zeros(2), max=last), visible > 0

    return {f"soft-argmax, {cells[0]} x {cells[1]}": Coding(restore)}


def heatmaps(kind: CodingKind, profile: Profile, tokenizer: PoseTokenizer | None = None) -> dict[str, Coding]:
    """Return the heatmaps of a kind: of a quarter and of half the input.

    The quarter of a cell of standard heatmaps finds nothing in a Gaussian around a cell.
    """
    found, size = {}, profile.crop.input_size
    for stride in (HEATMAP_STRIDE, HEATMAP_STRIDE // 2):
        cells = (size[0] // stride, size[1] // stride)
        coding = HeatmapCoding(kind, size, cells, profile.heatmap.sigma * HEATMAP_STRIDE / stride)
        expected = MEAN_IN_SQUARE * stride if kind == "standard" else math.nan
        found[f"heatmap {cells[0]} x {cells[1]}, {_NAMES[kind]}"] = Coding(_heatmap(coding), expected)
    return found


def _heatmap(coding: HeatmapCoding) -> Restore:
    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = coding.encode(keypoints, visible)
        return coding.decode(target.heatmaps).keypoints, target.weights > 0

    return restore


def simcc(profile: Profile, tokenizer: PoseTokenizer | None = None) -> dict[str, Coding]:
    """Return the bins along both axes, one coding for each of `SPLIT_RATIOS`."""
    found = {}
    for ratio in SPLIT_RATIOS:
        sigma = simcc_sigma(profile, bins_per_pixel=ratio)
        coding = SimCCCoding(profile.crop.input_size, (sigma, sigma), ratio, normalized=True)
        found[f"SimCC, RTMCC, {ratio:g} bins a pixel"] = Coding(_bins(coding), MEAN_IN_SQUARE / ratio)
    return found


def _bins(coding: SimCCCoding) -> Restore:
    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = coding.encode(keypoints, visible)
        return coding.decode(target.x, target.y).keypoints, target.weights > 0

    return restore


def tokens(profile: Profile, tokenizer: PoseTokenizer | None = None) -> dict[str, Coding]:
    """Return the coding of a trained tokenizer; none of a guided one, which needs images to write a pose."""
    if tokenizer is None or tokenizer.guided:
        return {}

    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return tokenizer(keypoints, visible).keypoints, visible > 0

    return {TOKENS: Coding(restore)}
