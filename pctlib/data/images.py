"""Reading images as 8-bit RGB, no larger than what will be looked at."""

import os
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pctlib.contents import recognize
from pctlib.data.image_names import nearest_file
from pctlib.io import existing_file

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green, blue over ImageNet, in 0..1."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green, blue over ImageNet, in 0..1."""

MAX_PIXELS_VARIABLE = "PCTLIB_MAX_PIXELS"
"""Environment variable with the largest number of pixels an image may have; Pillow's limit without it."""

ORIENTATIONS = {
    2: "mirror it",
    3: "turn it by 180 degrees",
    4: "mirror it top to bottom",
    5: "mirror it about its diagonal",
    6: "turn it clockwise by 90 degrees",
    7: "mirror it about its other diagonal",
    8: "turn it counter-clockwise by 90 degrees",
}
"""What viewers do with an image of each value of the EXIF tag Orientation; 1: nothing."""

# The same of arrays [H, W, 3]
_TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_TOO_DEEP = "{} bits a value are not supported; save it with 8 or 16"
# What Pillow raises for bytes that are damaged in one way or another.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, TypeError, IndexError)
_ORIENTATION_TAG, _BITS_TAG = 274, 258

if MAX_PIXELS_VARIABLE in os.environ:  # Pillow refuses images of more than twice its number
    Image.MAX_IMAGE_PIXELS = max(int(os.environ[MAX_PIXELS_VARIABLE]) // 2, 1)


def read_photograph(photograph: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    """Return a picture as viewers show it: turned by its orientation tag, transparency on white.

    Differs from `read_image`, which reads pixels as benchmarks annotate them, as stored.

    Args:
        photograph: a file, an image of Pillow, or an array uint8 [H, W, 3] RGB, which is returned as it is.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `read_image`; also if an array is of another type or shape.
    """
    if isinstance(photograph, np.ndarray):
        if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3:
            got = f"{photograph.dtype} {list(photograph.shape)}"
            raise ValueError(f"photograph: expected uint8 [H, W, 3] in RGB, got {got}")
        if 0 in photograph.shape:
            raise ValueError(f"photograph: has no pixels, its shape is {list(photograph.shape)}")
        return photograph
    if isinstance(photograph, Image.Image):
        return _as_shown(photograph, "photograph")
    if not isinstance(photograph, str | Path):
        kind = type(photograph).__name__
        raise ValueError(f"photograph: expected a file, an image of Pillow or an array, got {kind}")
    with _open(photograph) as image:
        return _as_shown(image, str(photograph))


def read_image(file: str | Path, *, min_scale: float = 1.0) -> tuple[np.ndarray, float]:
    """Read an image file, a JPEG at a reduced size if that is enough.

    A JPEG is decoded at 1, 1/2, 1/4 or 1/8 of its size straight from its DCT coefficients: faster than to
    decode all of it and throw pixels away, and free of aliasing. Orientation tags are ignored, as COCO and
    other benchmarks annotate the pixels as they are stored (`orientation` tells). Transparency is dropped,
    and 16-bit grey keeps its upper eight bits.

    Args:
        file: JPEG, PNG or another format known to Pillow; grey, palette, CMYK and RGBA become RGB.
        min_scale: smallest size that still serves, relative to the stored one, above 0.

    Returns:
        uint8 [H, W, 3] RGB, and its scale: 1 / n with n in 1, 2, 4, 8, at least `min_scale` (or 1). A point
        (x, y) of the stored image is at ((x + 0.5) / n - 0.5, (y + 0.5) / n - 0.5): `reduction_affine`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty, no image, damaged, of more than 16 bits a value, or larger than the limit;
            names the file.
    """
    if not min_scale > 0:
        raise ValueError(f"min_scale must be above 0, got {min_scale}")
    with _open(file) as image:
        reduction = _reduce_jpeg(image, min_scale) if image.format == "JPEG" else 1
        _refuse_too_deep(image, str(file))
        try:
            return _to_rgb(image), 1 / reduction
        except _DAMAGED as error:
            raise ValueError(f"{file}: the image is damaged or cut off ({error})") from error


def _refuse_too_deep(image: Image.Image, name: str) -> None:
    if image.mode in ("I", "F") and image.format != "PPM":  # whose mode I is of 16 bits
        raise ValueError(f"{name}: pixels of type {image.mode!r}: {_TOO_DEEP.format(32)}")


def _as_shown(image: Image.Image, name: str) -> np.ndarray:
    """Return the pixels, uint8 [H, W, 3], turned and in front of white."""
    _refuse_too_deep(image, name)
    try:
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            shown = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            pixels = _to_rgb(shown)
        else:
            pixels = _to_rgb(image)
        tag = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DAMAGED as error:
        raise ValueError(f"{name}: the image is damaged or cut off ({error})") from error
    turn = _TURNS.get(tag)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def image_size(file: str | Path) -> tuple[int, int]:
    """Return (height, width) as stored, from the header of the file alone.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty or no image; names the file.
    """
    with _open(file) as image:
        return image.height, image.width


def orientation(file: str | Path) -> int:
    """Return the EXIF tag Orientation of an image file, 1 to 8; 1 where it has none or an unknown one.

    COCO's convention is followed everywhere: annotations are of the pixels as stored, and the tag is not
    looked at. A picture that viewers turn has annotations of another frame if they were made in a viewer.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty or no image; names the file.
    """
    with _open(file) as image:
        try:
            value = image.getexif().get(_ORIENTATION_TAG, 1)
        except _DAMAGED:  # of the tags, not of the pixels
            return 1
    return value if value in ORIENTATIONS else 1


def explain_size(file: str | Path, said: tuple[int, int]) -> str:
    """Return why an image may have another size than its annotations say; empty where no cause is known.

    Args:
        file: an image that can be read.
        said: (height, width) of the annotations.
    """
    tag = orientation(file)
    if tuple(said) != image_size(file)[::-1]:
        return ""
    if tag >= 5:
        return (
            f"its EXIF orientation is {tag} (viewers {ORIENTATIONS[tag]}), and it was annotated as viewers "
            "show it; annotations are of the pixels as stored here, as COCO's are: turn the files "
            "(`exiftran -a`, `mogrify -auto-orient`) or annotate them as stored"
        )
    return "width and height look exchanged, as in CrowdPose's files before March 2021"


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
    path = Path(file)
    if not path.is_file() and (near := nearest_file(path)) is not None:
        raise FileNotFoundError(f"no such file: {path}; nearest in its folder: {near}")
    path = existing_file(file)
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        return Image.open(path)
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ValueError(
            f"{path}: the image has more pixels than the limit of {limit} that guards against files made to "
            f"fill the memory; the environment variable {MAX_PIXELS_VARIABLE} raises it ({error})"
        ) from error
    except _DAMAGED as error:
        if isinstance(error, PermissionError):
            raise
        why = recognize(path) or _tiff_depth(path) or str(error)
        raise ValueError(f"{path}: not an image that can be read ({why})") from error


def _tiff_depth(path: Path) -> str | None:
    """Return what is wrong with the depth of a TIFF that Pillow does not know, told from its tags."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", head, 4)
        (count,) = struct.unpack_from(f"{order}H", head, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, values = struct.unpack_from(f"{order}HHI", head, place)
            if tag == _BITS_TAG:
                short = place + 8 if values <= 2 else struct.unpack_from(f"{order}I", head, place + 8)[0]
                (bits,) = struct.unpack_from(f"{order}H", head, short)
                return _TOO_DEEP.format(bits) if bits > 16 else None
    except struct.error:
        pass
    return None


def _reduce_jpeg(image: Image.Image, min_scale: float) -> int:
    """Have the JPEG decoded at the smallest size that serves, and return how many times smaller that is."""
    wanted = next((n for n in (8, 4, 2) if 1 / n >= min_scale), 1)
    width = image.width
    applied = image.draft(None, (max(width // wanted, 1), max(image.height // wanted, 1)))
    # The second value is the exact extent before it is rounded up to whole pixels.
    return 1 if applied is None else round(width / applied[1][2])


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return the pixels as uint8 [H, W, 3]."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)  # Pillow would clip instead
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))
