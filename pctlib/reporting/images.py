"""Pictures as data URIs, so that a page is one file."""

import base64
import html
import io
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.figure
import numpy as np
from PIL import Image

from pctlib.io import existing_file

MIME_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
LARGE_BYTES = 300_000  # photographs, not line art: worth a lossy copy in a page
WIDE_PIXELS = 560  # on a phone a wider picture scrolls in its own frame instead of shrinking to nothing
FIGURE_DPI = 160


def image_element(content: bytes, mime: str, *, alt: str, width: int | None = None) -> str:
    """Return an `<img>` element that holds its picture.

    Args:
        content: the encoded picture.
        mime: its media type, such as "image/png".
        alt: the text in place of the picture.
        width: CSS pixels at which it is shown; None for the width of the picture.
    """
    if mime == "image/png" and len(content) > LARGE_BYTES:
        content, mime = _smaller(content), "image/webp"
    if width is None:
        width = _svg_width(content) if mime == "image/svg+xml" else Image.open(io.BytesIO(content)).width
    uri = f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
    size = f' width="{width}"' if width else ""
    wide = ' class="wide"' if (width or 0) > WIDE_PIXELS else ""
    return f'<span class="picture"><img{wide} src="{uri}" alt="{html.escape(alt)}"{size}></span>'


def _svg_width(svg: bytes) -> int | None:
    """Return the width of an SVG that matplotlib wrote, in CSS pixels; None if it states none in points."""
    match = re.search(rb'<svg\b[^>]*?\bwidth="([\d.]+)pt"', svg, re.DOTALL)
    return round(float(match.group(1)) * 96 / 72) if match else None


def _smaller(png: bytes) -> bytes:
    """Return a PNG of photographs as WebP, a tenth of its size."""
    return _webp(Image.open(io.BytesIO(png)), quality=86)


def webp_uri(image: Image.Image | np.ndarray) -> str:
    """Return a small picture, uint8 [H, W, 3] RGB if an array, as a data URI."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return f"data:image/webp;base64,{base64.b64encode(_webp(picture, quality=80)).decode('ascii')}"


def _webp(picture: Image.Image, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def file_element(path: str | Path, *, alt: str) -> str:
    """Return an `<img>` element of a picture file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its ending is not one of a browser's picture formats.
    """
    path = existing_file(path)
    if path.suffix.lower() not in MIME_TYPES:
        raise ValueError(f"{path}: expected a picture ({', '.join(MIME_TYPES)}), got {path.suffix!r}")
    return image_element(path.read_bytes(), MIME_TYPES[path.suffix.lower()], alt=alt)


def figure_element(figure: matplotlib.figure.Figure, *, alt: str) -> str:
    """Return an `<img>` element of a matplotlib figure: SVG for line art, PNG where it shows pictures."""
    buffer, width = io.BytesIO(), round(figure.get_figwidth() * 96)
    if any(axes.images for axes in figure.axes):
        figure.savefig(buffer, format="png", dpi=FIGURE_DPI)
        return image_element(buffer.getvalue(), "image/png", alt=alt, width=width)
    with mpl.rc_context({"svg.hashsalt": "pctlib", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})  # no date: same figure, same bytes
    return image_element(buffer.getvalue(), "image/svg+xml", alt=alt, width=width)
