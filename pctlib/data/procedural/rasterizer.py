"""A z-buffer rasteriser for triangles, compiled.

Buffers hold the inverse depth (1/metres, 0 is nothing: it is linear on the screen) and the number of the
face. Points are (x, y, inverse depth), x and y in cells of the buffer with cell centres at integers. A front
face turns clockwise on the screen (y down), as faces that are counter-clockwise from outside do. Faces that
reach behind the camera are left out.
"""

import numba
import numpy as np

Array = np.ndarray


@numba.njit(cache=True, error_model="numpy", inline="always")
def _corner(points, i):
    return points[i, 0], points[i, 1], points[i, 2]


@numba.njit(cache=True, error_model="numpy")
def rasterize(points, faces, first_face, inverse_depth, face_numbers):
    """Draw faces [F, 3] of points [V, 3] into two buffers [H, W], the nearest in front.

    Args:
        points: [V, 3] float32 x, y, inverse depth.
        faces: [F, 3] int32.
        first_face: number that the first face gets in the buffer.
        inverse_depth: [H, W] float32, changed.
        face_numbers: [H, W] int32, changed.
    """
    H, W = inverse_depth.shape
    for f in range(len(faces)):
        ax, ay, aw = _corner(points, faces[f, 0])
        bx, by, bw = _corner(points, faces[f, 1])
        cx, cy, cw = _corner(points, faces[f, 2])
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-9 or aw <= 0 or bw <= 0 or cw <= 0:
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx)))), min(W - 1, int(np.floor(max(ax, bx, cx))))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy)))), min(H - 1, int(np.floor(max(ay, by, cy))))
        if left > right or top > bottom:
            continue
        # barycentric weights of b and c, and the inverse depth, are linear in x and y
        ub, vb = (cy - ay) / area, -(cx - ax) / area
        uc, vc = -(by - ay) / area, (bx - ax) / area
        for y in range(top, bottom + 1):
            wb, wc = ub * (left - ax) + vb * (y - ay), uc * (left - ax) + vc * (y - ay)
            for x in range(left, right + 1):
                if wb >= -1e-6 and wc >= -1e-6 and wb + wc <= 1.000001:
                    w = aw + wb * (bw - aw) + wc * (cw - aw)
                    if w > inverse_depth[y, x]:
                        inverse_depth[y, x] = w
                        face_numbers[y, x] = first_face + f
                wb += ub
                wc += uc


@numba.njit(cache=True, error_model="numpy")
def merge(near, faces, inverse_depth, face_numbers):
    """Add one picture to another by depth.

    Args:
        near: [H, W] inverse depth of the picture to be added.
        faces: [H, W] its face numbers.
        inverse_depth: [H, W] of the scene, changed.
        face_numbers: [H, W] of the scene, changed.

    Returns:
        [5] int64: the cells it covers by itself, and the first and last column and the first and last row of
        these.
    """
    H, W = near.shape
    extent = np.zeros(5, np.int64)
    extent[1], extent[2], extent[3], extent[4] = W, -1, H, -1
    for y in range(H):
        for x in range(W):
            if near[y, x] > 0:
                extent[0] += 1
                extent[1], extent[2] = min(extent[1], x), max(extent[2], x)
                extent[3], extent[4] = min(extent[3], y), max(extent[4], y)
                if near[y, x] > inverse_depth[y, x]:
                    inverse_depth[y, x] = near[y, x]
                    face_numbers[y, x] = faces[y, x]
    return extent


@numba.njit(cache=True, error_model="numpy")
def owners_of(face_numbers, owners, count):
    """Return whose face each cell shows, [H, W] int16 (-1 nobody's), and the cells [count] of each owner."""
    H, W = face_numbers.shape
    buffer, cells = np.full((H, W), -1, np.int16), np.zeros(count, np.int64)
    for y in range(H):
        for x in range(W):
            if face_numbers[y, x] >= 0:
                owner = owners[face_numbers[y, x]]
                buffer[y, x] = owner
                cells[owner] += 1
    return buffer, cells


@numba.njit(cache=True, error_model="numpy")
def barycentric(points, faces, face, x, y):
    """Return the perspective-correct weights of the three corners of a face at the cell (x, y)."""
    ax, ay, aw = _corner(points, faces[face, 0])
    bx, by, bw = _corner(points, faces[face, 1])
    cx, cy, cw = _corner(points, faces[face, 2])
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    wb = ((cy - ay) * (x - ax) - (cx - ax) * (y - ay)) / area
    wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
    pa, pb, pc = (1 - wb - wc) * aw, wb * bw, wc * cw
    total = pa + pb + pc
    return pa / total, pb / total, pc / total
