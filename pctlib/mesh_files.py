"""Meshes as files: Wavefront .obj and Stanford .ply, written; .ply read."""

import re
from pathlib import Path

import numpy as np

from pctlib.io import existing_file, write_atomic, write_text

Array = np.ndarray
_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2"},
    **{"ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
_ENDINGS = (".obj", ".ply")


def write_mesh(path: str | Path, vertices: Array, faces: Array) -> Path:
    """Write a mesh as .obj or .ply (binary), by the ending.

    Args:
        path: of the file.
        vertices: [V, 3] any unit.
        faces: [F, 3] numbers of vertices, from 0.

    Raises:
        ValueError: for another ending, a number that is not finite, or a face without its vertex.
    """
    path, vertices, faces = Path(path), np.asarray(vertices), np.asarray(faces)
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(f"{path}: expected a name that ends in {' or '.join(_ENDINGS)}")
    if not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"{path}: expected finite vertices and faces of 0 to {len(vertices) - 1}")
    if path.suffix.lower() == ".obj":
        lines = ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices]
        lines += ["f {} {} {}".format(*(face + 1)) for face in faces]
        return write_text(path, "\n".join(lines) + "\n")
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    data = head.encode() + vertices.astype("<f4").tobytes() + rows.tobytes()
    return write_atomic(path, lambda temporary: temporary.write_bytes(data))


def read_ply_vertices(path: str | Path) -> Array:
    """Return the vertices [V, 3] float64 of a .ply file, text or binary; the rest of it is passed over.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .ply file, its vertices do not come first, or it is cut off; names the file.
    """
    path = existing_file(path)
    content = path.read_bytes()
    match = re.match(rb"ply\r?\n(.*?)end_header\r?\n", content, re.DOTALL)
    if match is None:
        raise ValueError(f"{path}: not a .ply file")
    head = [line.split() for line in match[1].decode("ascii", "replace").splitlines() if line.strip()]
    kind = next((words[1] for words in head if words[0] == "format"), "")
    elements = [i for i, words in enumerate(head) if words[0] == "element"]
    if not elements or head[elements[0]][1] != "vertex":
        raise ValueError(f"{path}: expected vertices as its first element")
    stop = elements[1] if len(elements) > 1 else len(head)
    fields = [(words[2], words[1]) for words in head[elements[0] + 1 : stop] if words[0] == "property"]
    names = [name for name, _ in fields]
    unknown = [kind for _, kind in fields if kind not in _TYPES]
    if unknown or not {"x", "y", "z"} <= set(names):
        raise ValueError(f"{path}: expected plain numbers x, y and z of each vertex, it has {names}")
    count, body = int(head[elements[0]][2]), content[match.end() :]
    return _vertices(path, body, kind, count, fields)


def _vertices(path: Path, body: bytes, kind: str, count: int, fields: list[tuple[str, str]]) -> Array:
    names = [name for name, _ in fields]
    if kind == "ascii":
        rows = [line.split() for line in body.decode("ascii", "replace").splitlines() if line.strip()][:count]
        if len(rows) < count or any(len(row) < len(names) for row in rows):
            raise ValueError(f"{path}: cut off, expected {count} vertices")
        table = np.array([row[: len(names)] for row in rows], np.float64)
        return table[:, [names.index(axis) for axis in "xyz"]]
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(kind)
    if order is None:
        raise ValueError(f"{path}: unknown format '{kind}'")
    dtype = np.dtype([(name, order + _TYPES[number]) for name, number in fields])
    if len(body) < count * dtype.itemsize:
        raise ValueError(f"{path}: cut off, expected {count} vertices")
    rows = np.frombuffer(body, dtype, count)
    return np.stack([rows[axis].astype(np.float64) for axis in "xyz"], axis=1)
