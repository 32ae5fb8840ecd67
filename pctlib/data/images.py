"""Reading images as 8-bit RGB, no larger than what will be looked at."""

import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pctlib.io import existing_file

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green, blue over ImageNet, in 0..1."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green, blue over ImageNet, in 0..1."""

# What Pillow raises for bytes that are damaged in one way or another.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(file: str | Path, *, min_scale: float = 1.0) -> tuple[np.ndarray, float]:
    """Read an image file, a JPEG at a reduced size if that is enough.

    A JPEG is decoded at 1, 1/2, 1/4 or 1/8 of its size straight from its DCT coefficients: faster than to
    decode all of it and throw pixels away, and free of aliasing. Orientation tags are ignored, as COCO and
    other benchmarks annotate the pixels as they are stored. Transparency is dropped, and 16-bit grey keeps
    its upper eight bits.

    Args:
        file: JPEG, PNG or another format known to Pillow; grey, palette, CMYK and RGBA become RGB.
        min_scale: smallest size that still serves, relative to the stored one, above 0.

    Returns:
        uint8 [H, W, 3] RGB, and its scale: 1 / n with n in 1, 2, 4, 8, at least `min_scale` (or 1). A point
        (x, y) of the stored image is at ((x + 0.5) / n - 0.5, (y + 0.5) / n - 0.5): `reduction_affine`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty, no image, or damaged; names the file.
    """
    if not min_scale > 0:
        raise ValueError(f"min_scale must be above 0, got {min_scale}")
    with _open(file) as image:
        reduction = _reduce_jpeg(image, min_scale) if image.format == "JPEG" else 1
        try:
            return _to_rgb(image), 1 / reduction
        except _DAMAGED as error:
            raise ValueError(f"{file}: the image is damaged or cut off ({error})") from error


def image_size(file: str | Path) -> tuple[int, int]:
    """Return (height, width) as stored, from the header of the file alone.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty or no image; names the file.
    """
    with _open(file) as image:
        return image.height, image.width


def reduction_affine(scale: float) -> Tensor:
    """Return [2, 3] stored pixels -> pixels of the image that `read_image` returned with this scale.

    A reduced pixel covers n x n stored ones, so its centre lies between theirs.
    """
    offset = (scale - 1) / 2
    return torch.tensor([[scale, 0.0, offset], [0.0, scale, offset]])


def normalize(images: Tensor) -> Tensor:
    """Return float32 images with the mean and standard deviation of ImageNet taken out.

    Args:
        images: [B, 3, H, W] RGB, 0..255, uint8 or float.
    """
    mean, std = (
        images.new_tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return images * (1 / (255 * std)) - mean / std


def denormalize(images: Tensor) -> Tensor:
    """Return uint8 RGB [B, 3, H, W], 0..255, from images made by `normalize`."""
    mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    return ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def _open(file: str | Path) -> Image.Image:
    """Return the image with its header read, or raise an error that names the file."""
    path = existing_file(file)
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        return Image.open(path)
    except _DAMAGED as error:
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{path}: not an image that can be read ({error})") from error


def _reduce_jpeg(image: Image.Image, min_scale: float) -> int:
    """Have the JPEG decoded at the smallest size that serves, and return how many times smaller that is."""
    wanted = next((n for n in (8, 4, 2) if 1 / n >= min_scale), 1)
    width = image.width
    applied = image.draft(None, (max(width // wanted, 1), max(image.height // wanted, 1)))
    # The second value is the exact extent before it is rounded up to whole pixels.
    return 1 if applied is None else round(width / applied[1][2])


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return the pixels as uint8 [H, W, 3]."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)  # Pillow would clip instead
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of type {image.mode!r} are neither 8 nor 16 bits wide")
    return np.array(image.convert("RGB"))
