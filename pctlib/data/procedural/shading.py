"""Colour of every picture element: solid textures at places of the rest body, one light, a sky."""

import dataclasses

import numba
import numpy as np

from pctlib.data.procedural.noise import cell_value, value_noise
from pctlib.data.procedural.outfits import BLOCKS, CHECKS, PRINT, STRIPES, UPRIGHT_STRIPES, Outfit
from pctlib.data.procedural.rasterizer import barycentric
from pctlib.data.procedural.surface import ARM, EYE_WHITE, FOOT, HEAD, LEG, TORSO

Array = np.ndarray
_compiled = numba.njit(cache=True, error_model="numpy")
OBJECT = 10  # region of things that are not bodies

# Where each field of an outfit stands in its row of numbers; colours take three places.
_FIELDS = [field.name for field in dataclasses.fields(Outfit)]
_COLORS = 7
_SKIN, _HAIR, _SHIRT, _SHIRT_SECOND, _TROUSERS, _TROUSERS_SECOND, _SHOES = range(0, 3 * _COLORS, 3)
_SHIRT_PATTERN, _TROUSERS_PATTERN, _SCALE, _SLEEVE_END, _SHIRT_END = range(21, 26)
_TROUSERS_END, _SHOE_TOP, _NECKLINE, _HAIR_END, _HAIR_VOLUME = range(26, 31)
_BEARD, _GLASSES, _CAP = range(33, 36)
ROW_LENGTH = 2 * _COLORS + len(_FIELDS)


@_compiled
def _patterned(row, first, second, pattern, across, x, y, z):
    """Return the colour of cloth; `across` is the coordinate that stripes divide."""
    scale = row[_SCALE]
    other = False
    if pattern == STRIPES:
        other = int(np.floor(across / scale)) % 2 == 0
    elif pattern == UPRIGHT_STRIPES:
        other = int(np.floor(x / (0.6 * scale) + 0.5)) % 2 == 0
    elif pattern == CHECKS:
        other = (int(np.floor(x / scale + 0.5)) + int(np.floor(y / scale))) % 2 == 0
    elif pattern == BLOCKS:
        other = y > 1.24
    elif pattern == PRINT:
        other = z > 0 and x * x + (y - 1.25) ** 2 < 0.075**2
    at = second if other else first
    return row[at], row[at + 1], row[at + 2]


@_compiled
def _head_color(row, x, y, z):
    """Return the colour of the head at a place of the embedded body."""
    side = abs(x)
    r, g, b = row[_SKIN], row[_SKIN + 1], row[_SKIN + 2]
    front = z > 0.045
    if row[_CAP] > 0 and y > 1.655 + 0.15 * z:
        return row[_SHIRT_SECOND], row[_SHIRT_SECOND + 1], row[_SHIRT_SECOND + 2]
    is_hair = y > 1.612 + 0.70 * z and side < 0.079
    is_hair |= row[_HAIR_END] > 0.1 and z < -0.005 and y > 1.58 - row[_HAIR_END]
    brow = front and abs(side - 0.034) < 0.017 and abs(y - 1.641 + 6 * (side - 0.034) ** 2) < 0.0045
    lips = front and side < 0.025 and abs(y - 1.553) < 0.0065 - 4 * side * side
    beard = row[_BEARD] > 0 and y < 1.568 and z > 0.0 and y < 1.60 - 0.2 * z
    if (
        row[_GLASSES] > 0
        and z > 0.0
        and abs(y - 1.618) < (0.013 if front and abs(side - 0.034) < 0.024 else 0.003)
    ):
        return 0.02, 0.02, 0.025
    if lips:
        return 0.85 * r, 0.48 * g, 0.48 * b
    if (is_hair and row[_HAIR_VOLUME] > 0) or brow or beard:
        return row[_HAIR], row[_HAIR + 1], row[_HAIR + 2]
    if front and ((side - 0.032) / 0.02) ** 2 + ((y - 1.618) / 0.012) ** 2 < 1:
        return 0.72 * r, 0.68 * g, 0.68 * b
    if front and abs(y - 1.575) < 0.004 and side < 0.012:
        return 0.55 * r, 0.5 * g, 0.5 * b
    return r, g, b


@_compiled
def _body_color(region, row, x, y, z):
    """Return the albedo of a body at a place (metres) of the embedded body in T pose."""
    side = abs(x)
    if region == HEAD:
        return _head_color(row, x, y, z)
    if region == EYE_WHITE:
        distance = (side - 0.032) ** 2 + (y - 1.618) ** 2
        return (0.03, 0.02, 0.02) if distance < 0.0065**2 else (0.72, 0.72, 0.72)
    if region == FOOT or (region == LEG and y < row[_SHOE_TOP]):
        if y < 0.014:
            return 0.12, 0.12, 0.12
        return row[_SHOES], row[_SHOES + 1], row[_SHOES + 2]
    if region == ARM:
        if side < row[_SLEEVE_END]:
            return _patterned(row, _SHIRT, _SHIRT_SECOND, row[_SHIRT_PATTERN], side, side, y, z)
        return row[_SKIN], row[_SKIN + 1], row[_SKIN + 2]
    if region == TORSO:
        if (
            row[_HAIR_END] > 0.1
            and z < -0.045
            and y > 1.58 - row[_HAIR_END]
            and side < 0.1
            and row[_HAIR_VOLUME] > 0
        ):
            return row[_HAIR], row[_HAIR + 1], row[_HAIR + 2]
        if y > row[_NECKLINE] - (0.6 * max(z, 0.0) + 0.02 if z > 0 else 0.0):
            return row[_SKIN], row[_SKIN + 1], row[_SKIN + 2]
    if y > row[_SHIRT_END]:
        return _patterned(row, _SHIRT, _SHIRT_SECOND, row[_SHIRT_PATTERN], y, x, y, z)
    if region == LEG and y < row[_TROUSERS_END]:
        return row[_SKIN], row[_SKIN + 1], row[_SKIN + 2]
    return _patterned(row, _TROUSERS, _TROUSERS_SECOND, row[_TROUSERS_PATTERN], y, x, y, z)


@_compiled
def _object_color(row, x, y, z):
    """Return the albedo of a thing: colours at 0, 3, pattern at 6 (plain, planks, checks, mottled)."""
    pattern, scale, seed = int(row[6]), row[7], int(row[8])
    share = 0.0
    if pattern == 1:
        plank = int(np.floor(x / scale))
        share = 0.6 * cell_value(plank, 7, seed) + 0.4 * value_noise(6 * x / scale, y / scale, seed)
    elif pattern == 2:
        share = 1.0 * ((int(np.floor(x / scale)) + int(np.floor(y / scale)) + int(np.floor(z / scale))) % 2)
    elif pattern == 3:
        share = value_noise(2 * (x + z) / scale, 2 * y / scale, seed)
    return (
        row[0] + share * (row[3] - row[0]),
        row[1] + share * (row[4] - row[1]),
        row[2] + share * (row[5] - row[2]),
    )


@_compiled
def shade(face_numbers, vertices, faces, rows, light, picture):
    """Colour a supersampled picture and average it over each pixel.

    Args:
        face_numbers: [2H, 2W] int32, -1 is background.
        vertices: [V, 9] float32: x, y, inverse depth as rasterised; normal, world; place, where the colour is
            looked up.
        faces: [F, 5] int32: three vertices, region of the body or OBJECT, row of `rows`.
        rows: [n, ROW_LENGTH] float32.
        light: [10] float32: direction to the light, its strength, ambient strength, warmth, rim strength,
            direction to the camera; directions in the world.
        picture: [H, W, 3] float32, linear light: the background, changed into the picture.
    """
    H, W, _ = picture.shape
    color = np.zeros(3, np.float32)
    for y in range(H):
        for x in range(W):
            hits, cells = 0, 4
            first = face_numbers[2 * y, 2 * x]
            if first >= 0 and _uniform(face_numbers, first, faces, x, y):
                cells = 1  # inside a region one look-up in the middle of the pixel is enough
            for k in range(3):
                color[k] = 0
            for s in range(cells):
                u, v = 2 * x + s % 2, 2 * y + s // 2
                face = face_numbers[v, u]
                if face >= 0:
                    middle = 0.5 if cells == 1 else 0.0
                    _add_lit_color(color, face, u + middle, v + middle, vertices, faces, rows, light)
                    hits += 1
            share = hits / cells
            for k in range(3):
                picture[y, x, k] = picture[y, x, k] * (1 - share) + color[k] / cells


@_compiled
def _uniform(face_numbers, first, faces, x, y):
    """Return whether the four cells of a pixel show one region of one body."""
    for s in range(1, 4):
        face = face_numbers[2 * y + s // 2, 2 * x + s % 2]
        if face < 0 or faces[face, 3] != faces[first, 3] or faces[face, 4] != faces[first, 4]:
            return False
    return True


@_compiled
def _add_lit_color(color, face, u, v, vertices, faces, rows, light):
    """Add the lit colour of a face at the cell (u, v) to `color` [3]."""
    wa, wb, wc = barycentric(vertices, faces, face, u, v)
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    nx = wa * vertices[a, 3] + wb * vertices[b, 3] + wc * vertices[c, 3]
    ny = wa * vertices[a, 4] + wb * vertices[b, 4] + wc * vertices[c, 4]
    nz = wa * vertices[a, 5] + wb * vertices[b, 5] + wc * vertices[c, 5]
    x = wa * vertices[a, 6] + wb * vertices[b, 6] + wc * vertices[c, 6]
    y = wa * vertices[a, 7] + wb * vertices[b, 7] + wc * vertices[c, 7]
    z = wa * vertices[a, 8] + wb * vertices[b, 8] + wc * vertices[c, 8]
    region, row = faces[face, 3], rows[faces[face, 4]]
    if region == OBJECT:
        red, green, blue = _object_color(row, x, y, z)
    else:
        red, green, blue = _body_color(region, row, x, y, z)
    # Lambert, a sky that is brighter above, and a rim where the surface turns away
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    toward = max((nx * light[0] + ny * light[1] + nz * light[2]) / length, 0.0)
    away = 1 - min(max((nx * light[7] + ny * light[8] + nz * light[9]) / length, 0.0), 1.0)
    ambient = light[4] * (0.72 + 0.28 * ny / length)
    direct = light[3] * toward + light[6] * away * away * away
    color[0] += red * (ambient + direct * (1 + light[5]))
    color[1] += green * (ambient + direct)
    color[2] += blue * (ambient + direct * (1 - light[5]))
