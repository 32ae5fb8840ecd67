"""Colour of every picture element: solid textures at places of the rest body, one light, a sky."""

import dataclasses

import numba
import numpy as np

from pctlib.data.procedural.noise import cell_value, value_noise
from pctlib.data.procedural.outfits import BLOCKS, CHECKS, PRINT, STRIPES, UPRIGHT_STRIPES, Outfit
from pctlib.data.procedural.rasterizer import barycentric
from pctlib.data.procedural.surface import ARM, EYE_WHITE, FOOT, HEAD, LEG, TORSO

Array = np.ndarray
OBJECT = 10  # region of things that are not bodies

# Where each field of an outfit stands in its row of numbers; colours take three places.
_FIELDS = [field.name for field in dataclasses.fields(Outfit)]
_COLORS = 7
_SKIN, _HAIR, _SHIRT, _SHIRT_SECOND, _TROUSERS, _TROUSERS_SECOND, _SHOES = range(0, 3 * _COLORS, 3)
_SHIRT_PATTERN, _TROUSERS_PATTERN, _SCALE, _SLEEVE_END, _SHIRT_END = range(21, 26)
_TROUSERS_END, _SHOE_TOP, _NECKLINE, _HAIR_END, _HAIR_VOLUME = range(26, 31)
_BEARD, _GLASSES, _CAP = range(33, 36)
ROW_LENGTH = 2 * _COLORS + len(_FIELDS)


@numba.njit(cache=True, inline="always")
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


@numba.njit(cache=True)
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


@numba.njit(cache=True)
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


@numba.njit(cache=True)
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


@numba.njit(cache=True)
def shade(face_numbers, points, faces, normals, places, regions, owners, rows, light, background, view):
    """Colour a supersampled picture and average it over each pixel.

    Args:
        face_numbers: [2H, 2W] int32, -1 is background.
        points: [V, 3] float32 as rasterised.
        faces: [F, 3] int32.
        normals: [V, 3] float32, world.
        places: [V, 3] float32, where the colour is looked up.
        regions: [F] int32, region of the body or OBJECT.
        owners: [F] int32, row of `rows`.
        rows: [n, ROW_LENGTH] float32.
        light: [7] float32: direction to the light, its strength, ambient strength, warmth, rim strength.
        background: [H, W, 3] float32, linear light, changed into the picture.
        view: [3] float32, world direction towards the camera.
    """
    H, W, _ = background.shape
    color = np.zeros(3, np.float32)
    for y in range(H):
        for x in range(W):
            hits = 0
            color[:] = 0
            first = face_numbers[2 * y, 2 * x]
            if first >= 0 and _uniform(face_numbers, first, owners, regions, x, y):
                # inside a region one look-up in the middle of the pixel is enough
                _shade_cell(
                    first,
                    2 * x + 0.5,
                    2 * y + 0.5,
                    points,
                    faces,
                    normals,
                    places,
                    regions,
                    owners,
                    rows,
                    light,
                    view,
                    color,
                )
                color *= 4
                hits = 4
            else:
                for s in range(4):
                    u, v = 2 * x + s % 2, 2 * y + s // 2
                    face = face_numbers[v, u]
                    if face >= 0:
                        hits += 1
                        _shade_cell(
                            face,
                            u,
                            v,
                            points,
                            faces,
                            normals,
                            places,
                            regions,
                            owners,
                            rows,
                            light,
                            view,
                            color,
                        )
            if hits > 0:
                for k in range(3):
                    background[y, x, k] = background[y, x, k] * (1 - 0.25 * hits) + 0.25 * color[k]


@numba.njit(cache=True)
def _uniform(face_numbers, first, owners, regions, x, y):
    """Return whether the four cells of a pixel show one region of one body."""
    for s in range(1, 4):
        face = face_numbers[2 * y + s // 2, 2 * x + s % 2]
        if face < 0 or owners[face] != owners[first] or regions[face] != regions[first]:
            return False
    return True


@numba.njit(cache=True)
def _shade_cell(face, u, v, points, faces, normals, places, regions, owners, rows, light, view, color):
    """Add the lit colour of a face at the cell (u, v) to `color` [3]."""
    wa, wb, wc = barycentric(points, faces, face, u, v)
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    x = wa * places[a, 0] + wb * places[b, 0] + wc * places[c, 0]
    y = wa * places[a, 1] + wb * places[b, 1] + wc * places[c, 1]
    z = wa * places[a, 2] + wb * places[b, 2] + wc * places[c, 2]
    row = rows[owners[face]]
    if regions[face] == OBJECT:
        red, green, blue = _object_color(row, x, y, z)
    else:
        red, green, blue = _body_color(regions[face], row, x, y, z)
    # Lambert, a sky that is brighter above, and a rim where the surface turns away
    length = np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-9)
    toward = max((nx * light[0] + ny * light[1] + nz * light[2]) / length, 0.0)
    facing = min(max((nx * view[0] + ny * view[1] + nz * view[2]) / length, 0.0), 1.0)
    ambient = light[4] * (0.72 + 0.28 * ny / length)
    direct = light[3] * toward + light[6] * (1 - facing) ** 3
    color[0] += red * (ambient + direct * (1 + light[5]))
    color[1] += green * (ambient + direct)
    color[2] += blue * (ambient + direct * (1 - light[5]))
