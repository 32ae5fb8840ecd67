"""What a representation loses before anything is learned: the truth written and read back."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pctlib.data.crops import invert_affine, transform_points
from pctlib.data.people import People
from pctlib.metrics.coco import coco_ap
from pctlib.models.representations.heatmap_coding import HeatmapCoding
from pctlib.models.representations.regression import Regression, RegressionPrediction
from pctlib.models.representations.simcc_coding import SimCCCoding
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.study.pages.comparison.heads import HEATMAP_STRIDE, PCT, TITLES, simcc_sigma
from pctlib.study.poses import load_poses
from pctlib.study.stages.tokenizer import load_tokenizer

Restore = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Keypoints [B, K, 2], input px, and COCO flags [B, K] to keypoints read back and bool [B, K]: written."""

# mean distance from the middle of a unit square to its points, (sqrt 2 + ln(1 + sqrt 2)) / 6
MEAN_IN_SQUARE = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6
_ROWS = 256  # people of one batch


def restorations(
    profile: Profile, tokenizer_dir: str | Path, *, split_ratios: Sequence[float] = (1, 2, 3)
) -> dict[str, Any]:
    """Return `restore` and `expected` of `quantisation_table`, with the tokens of a trained tokenizer.

    A tokenizer with image guidance needs images to write a pose and is left out.

    Raises:
        FileNotFoundError: if the folder holds no trained tokenizer.
    """
    restore = codings(profile, split_ratios=split_ratios)
    tokenizer = load_tokenizer(tokenizer_dir)
    if not tokenizer.guided:
        restore[TITLES[PCT]] = tokens(tokenizer)
    return {"restore": restore, "expected": expected_errors(profile, split_ratios=split_ratios)}


def codings(profile: Profile, *, split_ratios: Sequence[float] = (1, 2, 3)) -> dict[str, Restore]:
    """Return the codings that are not learned, at the sizes of a profile.

    Args:
        profile: input size and width of the Gaussians.
        split_ratios: bins a pixel of SimCC.
    """
    size = profile.crop.input_size
    found = {"coordinates, RLE": _coordinates(Regression((0,), input_size=size))}
    cells = tuple(side // HEATMAP_STRIDE for side in size)
    found[f"soft-argmax, {cells[0]} x {cells[1]}"] = _soft_argmax(size, cells)
    for stride in (HEATMAP_STRIDE, HEATMAP_STRIDE // 2):
        cells = (size[0] // stride, size[1] // stride)
        sigma = profile.heatmap.sigma * HEATMAP_STRIDE / stride
        for kind, title in (("standard", "standard"), ("dark", "DARK"), ("udp", "UDP")):
            found[f"heatmap {cells[0]} x {cells[1]}, {title}"] = _heatmap(
                HeatmapCoding(kind, size, cells, sigma)
            )
    for ratio in split_ratios:
        sigma = simcc_sigma(profile, bins_per_pixel=ratio)
        coding = SimCCCoding(size, (sigma, sigma), ratio, normalized=True)
        found[f"SimCC, RTMCC, {ratio:g} bins a pixel"] = _simcc(coding)
    return found


def expected_errors(profile: Profile, *, split_ratios: Sequence[float] = (1, 2, 3)) -> dict[str, float]:
    """Return the mean error, input pixels, that rounding to a grid gives a joint that may be anywhere.

    For standard heatmaps, whose quarter of a cell finds nothing in a Gaussian around a cell, and for SimCC.
    """
    size = profile.crop.input_size
    found = {}
    for stride in (HEATMAP_STRIDE, HEATMAP_STRIDE // 2):
        found[f"heatmap {size[0] // stride} x {size[1] // stride}, standard"] = MEAN_IN_SQUARE * stride
    return found | {f"SimCC, RTMCC, {ratio:g} bins a pixel": MEAN_IN_SQUARE / ratio for ratio in split_ratios}


def tokens(tokenizer: PoseTokenizer) -> Restore:
    """Return the coding of a trained tokenizer without image guidance."""

    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return tokenizer(keypoints, visible).keypoints, visible > 0

    return restore


@torch.inference_mode()
def quantisation_table(
    people: People,
    profile: Profile,
    restore: Mapping[str, Restore],
    *,
    expected: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return what each coding loses of the true poses of people.

    Args:
        people: N people.
        profile: their crops.
        restore: coding by name.
        expected: mean errors in closed form by name, input pixels.

    Returns:
        One row a coding: "representation", "mean error (px)", "expected (px)", "95 % below (px)", "largest
        (px)" over the joints that can be written, in input pixels; "not written (%)" of the labelled joints;
        "OKS-AP (%)" of the poses read back.
    """
    poses = load_poses(people, profile.model_copy(update={"tokenizer": _unguided(profile)}), training=False)
    keypoints, affine = poses.crops()
    rows = []
    for name, write_and_read in restore.items():
        parts = zip(keypoints.split(_ROWS), poses.visible.split(_ROWS), strict=True)
        found = [write_and_read(*part) for part in parts]
        read, written = (torch.cat(column) for column in zip(*found, strict=True))
        labelled = poses.visible > 0
        error = torch.linalg.vector_norm(read - keypoints, dim=-1)[written & labelled].double().numpy()
        values = {"mean error (px)": error.mean() if len(error) else np.nan}
        values["expected (px)"] = (expected or {}).get(name, np.nan)
        values["95 % below (px)"] = np.quantile(error, 0.95) if len(error) else np.nan
        values["largest (px)"] = error.max() if len(error) else np.nan
        values["not written (%)"] = 100 * float((labelled & ~written).sum() / labelled.sum().clamp(min=1))
        if people.skeleton.sigmas is not None:
            image = transform_points(invert_affine(affine), read).numpy()
            values["OKS-AP (%)"] = 100 * coco_ap(people, image, np.ones(len(people)))["AP"]
        rows.append({"representation": name, **values})
    return pd.DataFrame(rows)


def _unguided(profile: Profile) -> object:
    return profile.tokenizer.model_copy(update={"guide_ratio": 0.0})


def _coordinates(representation: Regression) -> Restore:
    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = representation.encode(keypoints, visible)
        zeros = torch.zeros_like(target.coordinates)
        read = representation.decode(RegressionPrediction(target.coordinates, zeros, zeros[..., 0]))
        return read.keypoints, target.labelled

    return restore


def _soft_argmax(size: tuple[int, int], cells: tuple[int, int]) -> Restore:
    """Return the nearest mean that a map can have: between the middles of its outer cells."""
    last = torch.tensor([side * (1 - 1 / count) for side, count in zip(size, cells, strict=True)]).flip(0)

    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return keypoints.clamp(min=torch.zeros(2), max=last), visible > 0

    return restore


def _heatmap(coding: HeatmapCoding) -> Restore:
    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = coding.encode(keypoints, visible)
        return coding.decode(target.heatmaps).keypoints, target.weights > 0

    return restore


def _simcc(coding: SimCCCoding) -> Restore:
    def restore(keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        target = coding.encode(keypoints, visible)
        return coding.decode(target.x, target.y).keypoints, target.weights > 0

    return restore
