"""Noise without a generator: a value for each integer cell, smooth between cells."""

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", inline="always")
def cell_value(i, j, seed):
    """Return a fixed pseudo-random number in 0..1 for the cell (i, j)."""
    h = (i * 374761393 + j * 668265263 + seed * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@numba.njit(cache=True, error_model="numpy")
def value_noise(x, y, seed):
    """Return smooth noise in 0..1 at (x, y), of unit cell size."""
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    low = cell_value(i, j, seed) * (1 - u) + cell_value(i + 1, j, seed) * u
    high = cell_value(i, j + 1, seed) * (1 - u) + cell_value(i + 1, j + 1, seed) * u
    return low * (1 - v) + high * v
