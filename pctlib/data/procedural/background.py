"""Places: rooms, streets, fields and studio walls, by one ray a pixel onto floor, walls and sky."""

from dataclasses import dataclass

import numba
import numpy as np

from pctlib.data.procedural.camera import Camera
from pctlib.data.procedural.noise import cell_value, value_noise

Array = np.ndarray
ROOM, OUTDOOR, STUDIO = range(3)
_KINDS, _KIND_SHARE = (ROOM, OUTDOOR, STUDIO), (0.42, 0.38, 0.20)


@dataclass(frozen=True)
class Place:
    """Where people are.

    Args:
        kind: ROOM, OUTDOOR or STUDIO.
        colors: [6, 3] albedo: floor two, wall two, sky (or trim) two.
        numbers: [8] floor pattern and its scale, wall pattern and its scale, the four distances of the walls.
        seed: of the noise.
        light: [7] see `shading.shade`.
    """

    kind: int
    colors: Array
    numbers: Array
    seed: int
    light: Array


def draw_place(rng: np.random.Generator, camera: Camera) -> Place:
    """Draw a place in which `camera` (its position counts) stands inside the walls."""
    kind = int(rng.choice(_KINDS, p=_KIND_SHARE))
    colors = np.stack([_muted(rng) for _ in range(6)])
    colors[1] = colors[0] * rng.uniform(0.5, 1.0) + 0.15 * colors[1]
    colors[3] = colors[2] * rng.uniform(0.6, 1.0) + 0.2 * colors[3]
    if kind == OUTDOOR:
        ground = np.array(
            [
                (0.10, 0.20, 0.05),
                (0.30, 0.27, 0.22),
                (0.18, 0.18, 0.19),
                (0.55, 0.45, 0.28),
                (0.75, 0.77, 0.8),
            ]
        )
        colors[0] = ground[rng.integers(len(ground))] * rng.uniform(0.7, 1.2)
        colors[1] = colors[0] * rng.uniform(0.4, 0.8)
        colors[4:] = np.array([(0.20, 0.38, 0.75), (0.65, 0.74, 0.85)]) * rng.uniform(0.5, 1.1) + rng.normal(
            0, 0.04, 3
        )
    colors = np.clip(colors, 0.01, 1.0)
    reach = np.abs(camera.position[[0, 2]])
    walls = rng.uniform(1.6, 5.0, 4) + np.array([reach[0], reach[0], reach[1], reach[1]]) * rng.choice(
        (0.0, 1.0), p=(0.2, 0.8)
    )
    # a wall must not stand between the camera and the people
    walls = np.maximum(
        walls,
        np.array([camera.position[0], -camera.position[0], camera.position[2], -camera.position[2]]) + 0.4,
    )
    scale, wall_scale = np.exp(rng.uniform(np.log(0.12), np.log(0.9), 2))
    numbers = np.array([rng.integers(5), scale, rng.integers(5), wall_scale, *walls])
    return Place(
        kind, colors.astype(np.float32), numbers, int(rng.integers(1 << 20)), _draw_light(rng, camera)
    )


def _draw_light(rng: np.random.Generator, camera: Camera) -> Array:
    """Return [7] float32: direction (world, from above), strength, ambient, warmth, rim."""
    toward = camera.position / np.linalg.norm(camera.position)
    direction = rng.normal(size=3) * (1, 0.4, 1) + np.array([0, 1.0, 0]) + 0.5 * toward
    direction /= np.linalg.norm(direction)
    share = rng.uniform(0.45, 0.8)
    strength = np.exp(rng.normal(0.1, 0.22))
    values = (share * strength, (1 - share) * strength, rng.normal(0, 0.07), rng.uniform(0, 0.25))
    return np.array([*direction, *values], np.float32)


def render_place(place: Place, camera: Camera, shadow: Array, face_numbers: Array) -> Array:
    """Return the picture of an empty place, [H, W, 3] float32 linear light.

    Args:
        place: what is there.
        camera: who sees it.
        shadow: [H / 2, W / 2] float32, share of the light that people take from the floor.
        face_numbers: [2H, 2W] int32; pixels none of whose four cells is -1 stay black, as they are covered.
    """
    x, y = camera.principal_point
    to_world = camera.rotation.T
    across, down = to_world[:, 0] / camera.focal, to_world[:, 1] / camera.focal
    corner = to_world[:, 2] - x * across - y * down
    out = np.zeros((*camera.image_size, 3), np.float32)
    rays = np.stack([camera.position, corner, across, down])
    _cast(place.kind, place.colors, place.numbers, place.seed, rays, shadow, face_numbers, out)
    return out * np.float32(0.35 + 0.45 * (place.light[3] + place.light[4]))


@numba.njit(cache=True, error_model="numpy")
def _pattern(kind, scale, u, v, seed):
    """Return a share 0..1 of the second colour: mottled, tiles, planks, stripes or checks."""
    i, j = int(np.floor(u / scale)), int(np.floor(v / scale))
    if kind == 1:
        grout = max(abs(u / scale - i - 0.5), abs(v / scale - j - 0.5)) > 0.47
        return 1.0 if grout else 0.35 * cell_value(i, j, seed)
    fine = value_noise(9 * u / scale, 9 * v / scale, seed)
    if kind == 0:
        return 0.6 * value_noise(2 * u / scale, 2 * v / scale, seed + 1) + 0.4 * fine
    if kind == 2:
        return (
            0.55 * cell_value(i, int(np.floor(v / (6 * scale) + 3.7 * cell_value(i, 5, seed))), seed)
            + 0.3 * fine
        )
    if kind == 3:
        return 0.85 * (i % 2) + 0.1 * fine
    return 0.85 * ((i + j) % 2) + 0.1 * fine


@numba.njit(cache=True, error_model="numpy")
def _sky(colors, seed, dx, dy, dz, out):
    """Paint sky with clouds above a line of houses or trees."""
    azimuth = np.arctan2(dx, dz)
    rise = dy / np.sqrt(dx * dx + dz * dz)
    cell = int(np.floor(azimuth * 9))
    top = (
        0.05 + 0.5 * cell_value(cell, 1, seed) ** 2
        if seed % 3
        else 0.06 + 0.2 * value_noise(azimuth * 12, 0.5, seed)
    )
    if rise < top:
        share = (
            cell_value(int(np.floor(azimuth * 60)), int(np.floor(rise * 40)), seed + 2) if seed % 3 else 0.0
        )
        share = share if share > 0.55 else 0.25 * value_noise(azimuth * 40, rise * 40, seed)
        for k in range(3):
            base = colors[2, k] * (0.5 + 0.5 * cell_value(cell, 3, seed))
            out[k] = base + share * (colors[3, k] - base)
        return
    cloud = max(0.0, value_noise(4 * azimuth, 10 * rise, seed) - 0.45) * 1.2
    height = min(1.0, max(0.0, 1.6 * rise))
    for k in range(3):
        blue = colors[5, k] + height * (colors[4, k] - colors[5, k])
        out[k] = blue + cloud * (0.9 - blue)


@numba.njit(cache=True, error_model="numpy")
def _wall(colors, numbers, seed, along, height, face, out):
    """Paint a wall with skirting board, pictures, windows or doors."""
    share = _pattern(int(numbers[2]), numbers[3], along, height, seed + face)
    first, second = 2, 3
    cell = int(np.floor(along / 1.3))
    u = along / 1.3 - cell
    low, high = 0.7 + 0.8 * cell_value(cell, face, seed), 1.6 + 0.8 * cell_value(cell, face + 9, seed)
    if cell_value(cell, face + 4, seed) < 0.55 and abs(u - 0.5) < 0.32 and low < height < high:
        frame = abs(u - 0.5) > 0.29 or height < low + 0.05 or height > high - 0.05
        share = 0.0 if frame else value_noise(6 * u + cell, 4 * height, seed + cell)
        first, second = (4, 5) if cell_value(cell, face + 7, seed) < 0.5 else (5, 0)
    elif height < 0.1:
        first, second, share = 4, 4, 0.0
    shade = 0.75 + 0.1 * face
    for k in range(3):
        out[k] = shade * (colors[first, k] + share * (colors[second, k] - colors[first, k]))


@numba.njit(cache=True, error_model="numpy")
def _cast(kind, colors, numbers, seed, rays, shadow, face_numbers, out):
    """Cast a ray through each pixel; `rays` [4, 3]: eye, direction at pixel (0, 0), its steps in x and y."""
    H, W, _ = out.shape
    ex, ey, ez = rays[0, 0], rays[0, 1], rays[0, 2]
    color = np.zeros(3)
    pattern = int(numbers[0]) if kind == ROOM or seed % 4 == 0 else 0
    for y in range(H):
        for x in range(W):
            above = min(face_numbers[2 * y, 2 * x], face_numbers[2 * y, 2 * x + 1])
            if min(above, min(face_numbers[2 * y + 1, 2 * x], face_numbers[2 * y + 1, 2 * x + 1])) >= 0:
                continue
            dx = rays[1, 0] + x * rays[2, 0] + y * rays[3, 0]
            dy = rays[1, 1] + x * rays[2, 1] + y * rays[3, 1]
            dz = rays[1, 2] + x * rays[2, 2] + y * rays[3, 2]
            dark = shadow[y // 2, x // 2]
            ground = -ey / dy if dy < -1e-6 else 1e9
            tx = ((numbers[4] if dx > 0 else -numbers[5]) - ex) / dx if abs(dx) > 1e-9 else 1e9
            tz = ((numbers[6] if dz > 0 else -numbers[7]) - ez) / dz if abs(dz) > 1e-9 else 1e9
            wall = min(tx, tz) if kind == ROOM else 1e3
            if ground < wall and kind != STUDIO:
                share = _pattern(pattern, numbers[1], ex + ground * dx, ez + ground * dz, seed)
                fade = np.exp(-ground / 25.0) if kind == OUTDOOR else 1.0
                dim, haze = (1 - 0.6 * dark) * fade, (1 - fade) * 0.5
                for k in range(3):
                    floor = colors[0, k] + share * (colors[1, k] - colors[0, k])
                    out[y, x, k] = dim * floor + haze * (colors[0, k] + colors[5, k])
                continue
            if kind == ROOM:
                along = ez + tx * dz if tx < tz else ex + tz * dx
                face = (0 if dx > 0 else 1) if tx < tz else (2 if dz > 0 else 3)
                _wall(colors, numbers, seed, along, ey + wall * dy, face, color)
            elif kind == OUTDOOR:
                _sky(colors, seed, dx, dy, dz, color)
            else:
                _studio(colors, numbers, seed, x / W, y / H, color)
            dim = 1 - 0.4 * dark if kind == STUDIO else 1.0
            for k in range(3):
                out[y, x, k] = dim * color[k]


@numba.njit(cache=True, error_model="numpy")
def _studio(colors, numbers, seed, u, v, out):
    """Paint a blurred backdrop: a gradient with large soft and small hard shapes, in picture coordinates."""
    share = 0.7 * value_noise(3 * u / numbers[3], 3 * v / numbers[3], seed) + 0.3 * v
    if numbers[2] >= 3:
        share = 0.5 * share + 0.5 * _pattern(
            int(numbers[2]), 0.5 * numbers[3], u + 0.4 * v, v - 0.4 * u, seed
        )
    for k in range(3):
        out[k] = colors[2, k] + share * (colors[4, k] - colors[2, k])
    for shape in range(seed % 9):
        cx, cy = cell_value(shape, 1, seed), cell_value(shape, 2, seed)
        rx, ry = 0.03 + 0.2 * cell_value(shape, 3, seed), 0.03 + 0.2 * cell_value(shape, 4, seed)
        du, dv = abs(u - cx) / rx, abs(v - cy) / ry
        if (du * du + dv * dv if shape % 2 else max(du, dv)) < 1:
            mix = 0.35 + 0.5 * cell_value(shape, 5, seed)
            for k in range(3):
                out[k] += mix * (colors[(shape % 3) + 3, k] - out[k])


def _muted(rng: np.random.Generator) -> Array:
    """Return an albedo [3], mostly of low saturation."""
    grey = rng.uniform(0.05, 0.85)
    return grey * (1 + rng.normal(0, 0.16, 3)) * rng.uniform(0.7, 1.1)
