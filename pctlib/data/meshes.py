"""Meshes that predictions are measured against, and predicted ones, by the names of their people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pctlib.data.containers import read_npz

Array = np.ndarray
_TALL, _SMALL = 10.0, 0.1  # a person is between 0.1 and 10 m in the largest direction


@dataclass(frozen=True)
class TrueMeshes:
    """N meshes of V vertices in metres, camera frame, each with the name of its person.

    Attributes:
        names: N of them, such as the number of a frame or an annotation id.
        vertices: [N, V, 3].
        excluded: what was left out and why -> how many.
    """

    names: tuple[str, ...]
    vertices: Array
    excluded: Mapping[str, int] = field(default_factory=dict)


def read_predicted_meshes(path: str | Path, truth: TrueMeshes) -> Array:
    """Read predicted meshes, and put them in the order of the true ones.

    Args:
        path: npz with `vertices` [N, V, 3] in metres, camera frame, and `names` [N], texts or integers: those
            of the true meshes, in any order. Meshes of others are left out.
        truth: the true meshes.

    Returns:
        [N, V, 3] float64.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, a mesh has other vertices, is not finite or not in metres, or a name is
            missing or there twice.
    """
    values = read_npz(path, ("vertices", "names"))
    vertices, names = values["vertices"], [str(name) for name in values["names"].tolist()]
    shape = truth.vertices.shape[1:]
    if vertices.ndim != 3 or vertices.shape[1:] != shape:
        raise ValueError(f"{path}: vertices need shape [N, {shape[0]}, 3], got {list(vertices.shape)}")
    if len(names) != len(vertices):
        raise ValueError(f"{path}: has {len(vertices)} vertices but {len(names)} names")
    rows = {name: row for row, name in enumerate(names)}
    if len(rows) < len(names):
        raise ValueError(f"{path}: names: {len(names) - len(rows)} are there twice")
    missing = [name for name in truth.names if name not in rows]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(truth.names)} people have no mesh, the first is '{missing[0]}'"
        )
    chosen = vertices[[rows[name] for name in truth.names]].astype(np.float64)
    _check(chosen, truth.names, str(path))
    return chosen


def _check(vertices: Array, names: tuple[str, ...], source: str) -> None:
    """Refuse meshes [N, V, 3] that are not finite or no people in metres; names the first."""
    bad = np.flatnonzero(~np.isfinite(vertices).all((1, 2)))
    if len(bad):
        raise ValueError(f"{source}: vertices of '{names[bad[0]]}' are not finite")
    sizes = np.ptp(vertices, axis=1).max(1)
    bad = np.flatnonzero((sizes > _TALL) | (sizes < _SMALL))
    if len(bad):
        hint = ", which look like millimetres" if sizes[bad[0]] > _TALL else ""
        raise ValueError(
            f"{source}: expected metres, the mesh of '{names[bad[0]]}' measures {sizes[bad[0]]:.4g}{hint}"
        )
