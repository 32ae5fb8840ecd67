"""The worst place of an occluding patch: it slides over the crop, and each person keeps the worst error."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from pctlib.data.images import normalize

PUBLISHED_INPUT, PUBLISHED_STRIDE, PUBLISHED_PATCHES = 224, 10, (40, 80)  # pixels
_TEXTURE_CELLS = 6  # random colours along each side of the patch


class WorstPlace(NamedTuple):
    """What a sliding patch does to N people.

    Attributes:
        errors: [N, E] at the place that is worst by the first error.
        corners: [N, 2] (y, x) of that place, input pixels.
        mean: [N, E] over all places.
    """

    errors: Tensor
    corners: Tensor
    mean: Tensor


def patch_corners(input_size: tuple[int, int], *, patch: int, stride: int) -> list[tuple[int, int]]:
    """Return the upper left corners (y, x) of all places of a square patch that lie inside the input.

    Raises:
        ValueError: if the patch is larger than the input, or a size is not positive.
    """
    if not 0 < patch <= min(input_size) or stride < 1:
        expected = f"a patch of 1 to {min(input_size)} px and a stride above 0"
        raise ValueError(f"expected {expected}, got {patch}, {stride}")
    rows, columns = (range(0, side - patch + 1, stride) for side in input_size)
    return [(y, x) for y in rows for x in columns]


def scaled_patch(patch: int, input_size: tuple[int, int]) -> int:
    """Return the side of a published patch, of an input of 224 pixels, on an input of another height."""
    return max(1, round(patch * input_size[0] / PUBLISHED_INPUT))


def patch_texture(patch: int, *, seed: int = 0) -> Tensor:
    """Return a normalised texture [3, patch, patch] of smooth random colours.

    Differs: the published patches show pictures of a data set of textures.
    """
    generator = torch.Generator().manual_seed(seed)
    colors = 255 * torch.rand(1, 3, _TEXTURE_CELLS, _TEXTURE_CELLS, generator=generator)
    return normalize(F.interpolate(colors, size=(patch, patch), mode="bilinear", align_corners=False))[0]


def worst_place(
    images: Tensor,
    errors_of: Callable[[Tensor], Mapping[str, Tensor]],
    *,
    patch: int,
    stride: int,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, WorstPlace]:
    """Slide a patch over crops and return each method's errors where it hurts most, person by person.

    Whatever a model says of images, 2D or 3D, `errors_of` measures it; several methods share one pass.

    Source: Zhang et al. 2023 (3DNBF), arXiv:2308.10123, 3DPW-AdvOcc: patches of 40 and 80 px on crops of
    224 px with a stride of 10 px; the place is the one with the largest MPJPE, at which other errors are
    measured too.

    Args:
        images: [N, 3, H, W], normalised.
        errors_of: images [N, 3, H, W] -> method -> errors [N, E] of these people; the first decides.
        patch: side in input pixels.
        stride: of its places, input pixels.
        seed: of its texture.
        progress: show a progress bar.

    Raises:
        ValueError: as `patch_corners`, or if an error is not finite.
    """
    texture = patch_texture(patch, seed=seed).to(images)
    corners = patch_corners(tuple(images.shape[-2:]), patch=patch, stride=stride)
    found: dict[str, list[Tensor]] = {}
    for y, x in tqdm(corners, unit="place", desc=f"patch of {patch} px", disable=not progress):
        covered = images.clone()
        covered[..., y : y + patch, x : x + patch] = texture
        for method, errors in errors_of(covered).items():
            if not errors.isfinite().all():
                raise ValueError(f"{method}: an error is not finite with the patch at {(y, x)}")
            found.setdefault(method, []).append(errors.reshape(len(images), -1))
    return {method: _worst(torch.stack(errors), torch.tensor(corners)) for method, errors in found.items()}


def _worst(errors: Tensor, corners: Tensor) -> WorstPlace:
    """Return the worst of errors [places, N, E] by the first one."""
    place = errors[..., 0].argmax(0)  # [N]
    rows = torch.arange(errors.shape[1])
    return WorstPlace(errors[place, rows], corners[place.cpu()], errors.mean(0))
