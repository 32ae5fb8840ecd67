"""A thing to be rasterised, with all that shading needs."""

from dataclasses import dataclass

import numpy as np

from pctlib.data.procedural.camera import Camera
from pctlib.data.procedural.lofts import vertex_normals
from pctlib.data.procedural.people import Person
from pctlib.data.procedural.rasterizer import rasterize
from pctlib.data.procedural.shading import OBJECT
from pctlib.data.procedural.surface import Surface

Array = np.ndarray
SUPERSAMPLE = 2


@dataclass(frozen=True)
class Mesh:
    """Triangles on the screen.

    pixels [V, 3] float32 (x, y, depth in metres), faces [F, 3] int32, normals [V, 3] float32 (world), places
    [V, 3] float32 (where the colour is looked up), regions [F] int32, row [ROW_LENGTH] float32 (its colours).
    """

    pixels: Array
    faces: Array
    normals: Array
    places: Array
    regions: Array
    row: Array

    def points(self, *, supersample: int = SUPERSAMPLE) -> Array:
        """Return (x, y, inverse depth) [V, 3] in cells, `supersample` of which make the width of a pixel."""
        points = np.empty_like(self.pixels)
        points[:, :2] = self.pixels[:, :2] * supersample + (supersample - 1) / 2
        # what is nearer than 5 cm, or behind, is marked as not to be drawn
        points[:, 2] = np.where(self.pixels[:, 2] > 0.05, 1 / np.maximum(self.pixels[:, 2], 0.05), 0)
        return points


def person_mesh(person: Person, camera: Camera, surface: Surface) -> Mesh:
    """Return a person as the camera sees them."""
    return Mesh(
        pixels=camera.project(person.vertices).astype(np.float32),
        faces=surface.faces,
        normals=vertex_normals(person.vertices, surface.faces),
        places=surface.places,
        regions=surface.regions,
        row=person.outfit.as_row(),
    )


def silhouette(mesh: Mesh, *, origin: tuple[float, float], size: tuple[int, int], scale: float) -> Array:
    """Return which cells a thing covers, [h, w] bool, also beyond the frame.

    Args:
        mesh: what is drawn.
        origin: (x, y) pixels of the centre of the first cell.
        size: (h, w) cells.
        scale: cells a pixel.
    """
    points = mesh.points(supersample=1)
    points[:, :2] = (points[:, :2] - np.asarray(origin, np.float32)) * np.float32(scale)
    near, numbers = np.zeros(size, np.float32), np.empty(size, np.int32)
    rasterize(points, mesh.faces, 0, near, numbers)
    return near > 0


def box_mesh(center: Array, size: Array, heading: float, camera: Camera, row: Array) -> Mesh:
    """Return a box that stands on the ground.

    Args:
        center: (x, z) metres, world.
        size: width, height, depth in metres.
        heading: turn about the vertical, radians.
        camera: who sees it.
        row: [ROW_LENGTH] its colours, see `shading`.
    """
    axes = np.array(
        [[np.cos(heading), 0, -np.sin(heading)], [0, 1, 0], [np.sin(heading), 0, np.cos(heading)]]
    )
    local, normals, faces = [], [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, u], corners[:, v] = (-1, 1, 1, -1), (-sign, -sign, sign, sign)
            start = 4 * len(local)
            faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
            local.append(corners)
            normals.append(np.repeat(sign * axes[axis][None], 4, 0))
    places = np.concatenate(local) * np.asarray(size) / 2
    vertices = places @ axes + (center[0], size[1] / 2, center[1])
    return Mesh(
        pixels=camera.project(vertices).astype(np.float32),
        faces=np.array(faces, np.int32),
        normals=np.concatenate(normals).astype(np.float32),
        places=places.astype(np.float32),
        regions=np.full(len(faces), OBJECT, np.int32),
        row=row,
    )
