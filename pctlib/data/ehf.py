"""EHF: a hundred frames of one person, each with the SMPL-X mesh that was registered to a scan.

Source: Pavlakos et al. 2019, "Expressive Body Capture: 3D Hands, Face, and Body from a Single Image",
arXiv:1904.05866, section 4.1; its one camera as the release gives it.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pctlib.data.meshes import TrueMeshes
from pctlib.mesh_files import read_ply_vertices

_MESH = "_align"  # behind the number of a frame: 01_align.ply
_WORLD_TO_CAMERA = (-2.98747896, 0.01172457, -0.05704687)  # rotation vector of the camera


def read_ehf(root: str | Path, *, num_vertices: int) -> TrueMeshes:
    """Read the registered meshes, turned into the camera's frame.

    Args:
        root: has `01_align.ply` and so on.
        num_vertices: of the body model that the meshes must have.

    Returns:
        Meshes in metres, named by the number of their frame; where their origin is does not matter, as every
        measure aligns.

    Raises:
        FileNotFoundError: if there is no mesh.
        ValueError: if a file is damaged, has another number of vertices, or one that is not finite.
    """
    root = Path(root)
    files = sorted(root.glob(f"*{_MESH}.ply"))
    if not files:
        raise FileNotFoundError(f"EHF: expected {root / f'01{_MESH}.ply'} and so on, found none")
    turn = Rotation.from_rotvec(_WORLD_TO_CAMERA).as_matrix()
    meshes = []
    for file in files:
        vertices = read_ply_vertices(file)
        if vertices.shape != (num_vertices, 3) or not np.isfinite(vertices).all():
            raise ValueError(
                f"{file}: expected {num_vertices} finite vertices, those of the body model, got "
                f"{len(vertices)}"
            )
        meshes.append(vertices @ turn.T)
    return TrueMeshes(tuple(file.stem.removesuffix(_MESH) for file in files), np.stack(meshes))
