"""AGORA's validation people as OSX reads them: one COCO-like file, and for each person files of JSON.

Source: Patel et al. 2021, "AGORA: Avatars in Geography Optimized for Regression Analysis", arXiv:2104.14643;
the conversion by Moon et al. 2022 (Hand4Whole), arXiv:2011.11534, which OSX uses.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.meshes import TrueMeshes
from pctlib.io import read_json

_NOT_VALID, _NO_MESH = "people that AGORA does not count (is_valid)", "people without a fitted mesh"


def read_agora(annotations: str | Path, *, num_vertices: int) -> TrueMeshes:
    """Read the fitted meshes of the people that AGORA counts.

    Args:
        annotations: `AGORA_validation.json`; paths of its persons (`smplx_verts_path`) are relative to its
            folder.
        num_vertices: of the body model that the meshes must have.

    Returns:
        Meshes in metres, camera frame, named by annotation id; who is not valid or has no mesh is left out
        and counted.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged, an annotation lacks a field, an id is there twice, or a mesh has
            other vertices.
    """
    annotations = Path(annotations)
    values = read_json(annotations)
    persons = values.get("annotations") if isinstance(values, dict) else None
    if not isinstance(persons, list) or not persons:
        raise ValueError(f"{annotations}: annotations: expected a list of persons")
    meshes: dict[str, np.ndarray] = {}
    excluded = {_NOT_VALID: 0, _NO_MESH: 0}
    for number, person in enumerate(persons):
        where = f"{annotations}: annotations[{number}]"
        key = str(_field(person, "id", where))
        if key in meshes:
            raise ValueError(f"{where}.id: {key} is there twice")
        if not _field(person, "is_valid", where):
            excluded[_NOT_VALID] += 1
        elif not person.get("smplx_verts_path"):
            excluded[_NO_MESH] += 1
        else:
            meshes[key] = _mesh(annotations.parent / person["smplx_verts_path"], num_vertices)
    if not meshes:
        raise ValueError(f"{annotations}: no person is valid and has a mesh")
    return TrueMeshes(tuple(meshes), np.stack(list(meshes.values())), excluded)


def _field(person: Any, name: str, where: str) -> Any:
    if not isinstance(person, dict) or name not in person:
        raise ValueError(f"{where}: expected a person with '{name}'")
    return person[name]


def _mesh(path: Path, num_vertices: int) -> np.ndarray:
    """Return the vertices [V, 3] of a JSON file of three numbers each."""
    try:
        vertices = np.asarray(read_json(path), np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a list of vertices, three numbers each ({error})") from error
    if vertices.shape != (num_vertices, 3) or not np.isfinite(vertices).all():
        raise ValueError(
            f"{path}: expected {num_vertices} finite vertices, those of the body model, got shape "
            f"{list(vertices.shape)}"
        )
    return vertices
