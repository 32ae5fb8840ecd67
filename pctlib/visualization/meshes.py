"""Meshes on paper: over their picture, from the side and from above, and how far each vertex is off."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from pctlib.data.procedural.rasterizer import rasterize
from pctlib.visualization.style import STYLE, new_figure, show_image

Array = np.ndarray
TRUE_COLOR, FOUND_COLOR = "#8a8e96", "#0072b2"
COLUMNS = ("picture", "mesh over it", "distance", "from the side", "from above")
_SIDE = 220  # pixels of a view
_FAR = 100.0  # metres, from where views are seen: hardly any perspective
_FARTHEST = 300.0  # millimetres, end of the scale of distances


@dataclass(frozen=True)
class MeshRow:
    """One person.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        pixels: [V, 3] where the found mesh is in `image`: x, y in pixels, depth in metres, above 0.
        found: [V, 3] millimetres about the pelvis, x right, y down, z away.
        truth: [V, 3] likewise.
        label: why this person is shown.
    """

    image: Array
    pixels: Array
    found: Array
    truth: Array
    label: str = ""

    @property
    def distances(self) -> Array:
        """Return how far each vertex [V] is off, millimetres."""
        return np.linalg.norm(self.found - self.truth, axis=-1)


def draw_mesh(
    pixels: Array, faces: Array, colors: Array, *, size: tuple[int, int], background: Array | None = None
) -> Array:
    """Return uint8 [H, W, 3]: a mesh with light from the front, over a picture or on white.

    Args:
        pixels: [V, 3] x, y in pixels, depth in metres, above 0.
        faces: [F, 3].
        colors: [3] of all, or [V, 3] of each vertex, 0 to 1.
        size: (H, W).
        background: uint8 [H, W, 3].
    """
    image = np.full((*size, 3), 255, np.uint8) if background is None else background.copy()
    inverse = np.zeros(size, np.float32)
    numbers = np.full(size, -1, np.int32)
    points = pixels.astype(np.float32).copy()
    points[:, 2] = 1 / points[:, 2]
    rasterize(points, faces.astype(np.int32), 0, inverse, numbers)
    shown = numbers >= 0
    if not shown.any():
        return image
    used = faces[numbers[shown]]  # [n, 3]
    corners = pixels[used]
    scale = np.ptp(pixels[:, 1]) / max(1e-6, np.ptp(pixels[:, 2]))  # depth in pixels, roughly
    corners = corners * [1, 1, min(scale, np.ptp(pixels[:, 1]) * 2)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    color = np.asarray(colors, float)
    color = np.broadcast_to(color, (len(used), 3)) if color.ndim == 1 else color[used].mean(1)
    lit = color * (0.35 + 0.65 * facing[:, None])
    image[shown] = (255 * np.clip(lit, 0, 1)).astype(np.uint8)
    return image


def view(points: Array, *, axes: tuple[int, int, int], reach: float, side: int = _SIDE) -> Array:
    """Return points [V, 3] in millimetres as pixels of a square view, depth in metres.

    Args:
        points: about the middle.
        axes: which run right, down and away; -1 - i for axis i turned round.
        reach: millimetres from the middle to the border.
        side: pixels.
    """
    columns = [points[:, a] if a >= 0 else -points[:, -1 - a] for a in axes]
    scale = side / (2 * reach)
    right, down, away = columns
    return np.stack([side / 2 + scale * right, side / 2 + scale * down, _FAR + away / 1000], axis=1)


# axes that run right, down, away; the handedness is kept, so that fronts stay fronts
_VIEWS = {"front": (0, 1, 2), "side": (-3, 1, 0), "above": (0, 2, -2)}


@mpl.rc_context(STYLE)
def mesh_gallery(rows: Sequence[MeshRow], faces: Array) -> Figure:
    """Show people: the picture, the mesh over it, distances in colours, truth and found from side and above.

    Args:
        rows: one person each.
        faces: [F, 3] of all meshes.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("rows: expected at least one person, got none")
    cell = 9.0 / len(COLUMNS)
    figure, axes = new_figure(len(rows), len(COLUMNS), size=(len(rows) * cell * 1.15 + 0.6, 9.0))
    scale = ScalarMappable(Normalize(0, _FARTHEST), "viridis")
    for index, row in enumerate(rows):
        places = axes[index * len(COLUMNS) : (index + 1) * len(COLUMNS)]
        for place, picture in zip(places, _pictures(row, faces, scale), strict=True):
            show_image(place, picture)
        places[0].set_title(row.label, fontsize=8, fontweight="normal", loc="left", pad=3)
        if index == 0:
            for place, title in zip(places[1:], COLUMNS[1:], strict=True):
                place.set_title(title, fontsize=8, fontweight="normal", loc="left", pad=3)
    bar = figure.colorbar(scale, ax=axes, orientation="horizontal", shrink=0.4, aspect=40, pad=0.02)
    bar.set_label("distance of the vertex from the truth, pelvis on pelvis (mm)", fontsize=8)
    return figure


def _pictures(row: MeshRow, faces: Array, scale: ScalarMappable) -> list[Array]:
    found, true = (np.array(mpl.colors.to_rgb(color)) for color in (FOUND_COLOR, TRUE_COLOR))
    reach = 1.1 * max(np.abs(row.found).max(), np.abs(row.truth).max())
    size = row.image.shape[:2]
    over = draw_mesh(row.pixels, faces, found, size=size, background=row.image)
    colored = scale.to_rgba(row.distances)[:, :3]
    front = view(row.found, axes=_VIEWS["front"], reach=reach)
    pictures = [row.image, over, draw_mesh(front, faces, colored, size=(_SIDE, _SIDE))]
    for name in ("side", "above"):
        pictures.append(both_meshes(row, faces, name, reach, (true, found)))
    return pictures


def both_meshes(row: MeshRow, faces: Array, name: str, reach: float, colors: Sequence[Array]) -> Array:
    """Return truth and found mesh in one view, uint8 [220, 220, 3]: half of each where both are."""
    size, pictures = (_SIDE, _SIDE), []
    for mesh, color in zip((row.truth, row.found), colors, strict=True):
        pictures.append(draw_mesh(view(mesh, axes=_VIEWS[name], reach=reach), faces, color, size=size))
    blank = [(picture == 255).all(-1, keepdims=True) for picture in pictures]
    mixed = (pictures[0].astype(int) + pictures[1]) // 2
    return np.where(blank[0], pictures[1], np.where(blank[1], pictures[0], mixed)).astype(np.uint8)


def png(picture: Array) -> bytes:
    """Return uint8 [H, W, 3] as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
