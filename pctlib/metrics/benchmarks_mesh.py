"""Benchmarks of whole-body meshes: from true and predicted meshes to the rows of the papers' tables."""

from dataclasses import replace

import numpy as np

from pctlib.data.meshes import TrueMeshes
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.mesh import MeshParts, mean_errors, mesh_errors


def evaluate_ehf(truth: TrueMeshes, vertices: np.ndarray, parts: MeshParts) -> Evaluation:
    """Score meshes on EHF as OSX does: MPVPE and PA-MPVPE of all, hands and face, and joints.

    Args:
        truth: of `read_ehf`.
        vertices: [N, V, 3] metres, in its order.
        parts: of the mesh; without `body_joints` the body's joints are left out.
    """
    return _evaluation("EHF (mm)", truth, vertices, parts)


def evaluate_agora(truth: TrueMeshes, vertices: np.ndarray, parts: MeshParts) -> Evaluation:
    """Score meshes on AGORA's validation people as OSX does: as EHF, without joints.

    AGORA's server measures otherwise: other vertices of the body, another root, and people who are missed;
    see `pctlib.metrics.mesh.agora_scores`.
    """
    without = replace(parts, body_joints=None, left_hand_joints=None, right_hand_joints=None)
    return _evaluation("AGORA, validation as OSX measures it (mm)", truth, vertices, without)


def _evaluation(protocol: str, truth: TrueMeshes, vertices: np.ndarray, parts: MeshParts) -> Evaluation:
    errors = mean_errors(mesh_errors(vertices, truth.vertices, parts))
    left_out = {what: count for what, count in truth.excluded.items() if count}
    return Evaluation(protocol, {"all people": errors}, {"people": len(truth.names)} | left_out)
