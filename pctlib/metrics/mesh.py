"""Errors of whole-body meshes, in millimetres: EHF as OSX measures it, AGORA's server, UBody.

Source: Lin et al. 2023 (OSX), arXiv:2303.16160, section 4, and release; Patel et al. 2021 (AGORA),
arXiv:2104.14643, section 5, and toolkit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pctlib.metrics.mpjpe import procrustes_align

Array = np.ndarray
_PELVIS, _NECK, _LEFT_WRIST, _RIGHT_WRIST = 0, 12, 20, 21  # rows of an SMPL-X joint regressor
_MM = 1000.0
_SMALLEST_IOU = 0.1  # below it a detection of AGORA matches nobody
_AGORA_JOINTS = 24  # projected joints whose bounds AGORA matches by
_AGORA_BODY, _AGORA_LEFT, _AGORA_RIGHT = slice(0, 22), [20, *range(25, 40)], [21, *range(40, 55)]
_AGORA_FACE = slice(76, 127)


@dataclass(frozen=True)
class MeshParts:
    """Which vertices are hands and face, and where joints are: what a protocol knows of a mesh of V vertices.

    Attributes:
        joint_regressor: [55, V] of the model file.
        left_hand: ids of the left hand's vertices.
        right_hand: ids.
        face: ids.
        body_joints: [14, V] regressor of the joints that papers report, or None.
        left_hand_joints: [J, V] regressor of the left hand's joints, tips included, or None.
        right_hand_joints: [J, V], or None.
        body: ids of the vertices that AGORA's server counts as body, or None.
    """

    joint_regressor: Array
    left_hand: Array
    right_hand: Array
    face: Array
    body_joints: Array | None = None
    left_hand_joints: Array | None = None
    right_hand_joints: Array | None = None
    body: Array | None = None

    def __post_init__(self) -> None:
        V = self.joint_regressor.shape[1]
        for name in ("left_hand", "right_hand", "face", "body"):
            ids = getattr(self, name)
            if ids is not None and (len(ids) == 0 or min(ids) < 0 or max(ids) >= V):
                raise ValueError(f"{name}: expected vertex ids 0 to {V - 1}, got {np.asarray(ids)[:8]}")


def vertex_errors(vertices: Array, truth: Array) -> Array:
    """Return the distance of each vertex [..., V] in millimetres of meshes [..., V, 3] in metres."""
    return _MM * np.linalg.norm(np.asarray(vertices, np.float64) - truth, axis=-1)


def mesh_errors(vertices: Array, truth: Array, parts: MeshParts) -> dict[str, Array]:
    """Return the errors of each mesh as OSX reports them, millimetres [N].

    MPVPE moves the prediction so that a joint coincides: the pelvis for all vertices, each wrist for its
    hand (hands are the mean of both), the neck for the face. PA aligns the part's own vertices, or joints,
    by scale, rotation without reflection and translation.

    Args:
        vertices: [N, V, 3] metres.
        truth: [N, V, 3] metres, same frame.
        parts: of the mesh.

    Returns:
        "MPVPE all", "MPVPE hands", "MPVPE face", the same with "PA-MPVPE", and, where `parts` has their
        regressors, "MPJPE body" (pelvis), "PA-MPJPE body" and "PA-MPJPE hands".

    Raises:
        ValueError: if shapes disagree or a mesh is not finite; names the row.
    """
    vertices, truth = _checked(vertices, truth, parts)
    joints, true_joints = (np.einsum("jv,nvd->njd", parts.joint_regressor, m) for m in (vertices, truth))
    move = true_joints - joints  # [N, 55, 3]

    def moved(part: Array | slice, joint: int) -> Array:
        return vertex_errors(vertices[:, part] + move[:, joint, None], truth[:, part]).mean(1)

    def aligned(first: Array, second: Array) -> Array:
        return vertex_errors(procrustes_align(first, second), second).mean(1)

    left, right, face = parts.left_hand, parts.right_hand, parts.face
    errors = {
        "MPVPE all": moved(slice(None), _PELVIS),
        "MPVPE hands": (moved(left, _LEFT_WRIST) + moved(right, _RIGHT_WRIST)) / 2,
        "MPVPE face": moved(face, _NECK),
        "PA-MPVPE all": aligned(vertices, truth),
        "PA-MPVPE hands": (
            aligned(vertices[:, left], truth[:, left]) + aligned(vertices[:, right], truth[:, right])
        )
        / 2,
        "PA-MPVPE face": aligned(vertices[:, face], truth[:, face]),
    }
    if parts.body_joints is not None:
        first, second = (parts.body_joints @ m for m in (vertices, truth))
        errors["MPJPE body"] = vertex_errors(first + move[:, _PELVIS, None], second).mean(1)
        errors["PA-MPJPE body"] = aligned(first, second)
    if parts.left_hand_joints is not None and parts.right_hand_joints is not None:
        hands = [
            aligned(regressor @ vertices, regressor @ truth)
            for regressor in (parts.left_hand_joints, parts.right_hand_joints)
        ]
        errors["PA-MPJPE hands"] = (hands[0] + hands[1]) / 2
    return errors


def _checked(vertices: Array, truth: Array, parts: MeshParts) -> tuple[Array, Array]:
    vertices, truth = np.asarray(vertices, np.float64), np.asarray(truth, np.float64)
    V = parts.joint_regressor.shape[1]
    if vertices.shape != truth.shape or vertices.ndim != 3 or vertices.shape[1:] != (V, 3):
        raise ValueError(f"expected meshes [N, {V}, 3] of one shape, got {vertices.shape} and {truth.shape}")
    for name, meshes in (("predicted", vertices), ("true", truth)):
        bad = np.flatnonzero(~np.isfinite(meshes).all((1, 2)))
        if len(bad):
            raise ValueError(f"row {bad[0]}: the {name} mesh is not finite")
    return vertices, truth


def ubody_errors(
    vertices: Array, truth: Array, pixels: Array, image_sizes: Array, parts: MeshParts
) -> dict[str, Array]:
    """Return MPVPE and PA-MPVPE [N] over the vertices that lie in the image, as UBody is measured.

    Meshes are aligned on all vertices of a part, the mean is over those in the image. A part that is wholly
    outside has no error (NaN); of the hands the other one then stands alone.

    Args:
        vertices: [N, V, 3] metres.
        truth: [N, V, 3] metres.
        pixels: [N, V, 2] where the true vertices appear, with the predicted camera.
        image_sizes: [N, 2] (height, width).
        parts: of the mesh.
    """
    vertices, truth = _checked(vertices, truth, parts)
    limits = np.asarray(image_sizes)[:, None, ::-1]  # [N, 1, 2] (width, height)
    inside = ((pixels >= 0) & (pixels < limits)).all(-1)  # [N, V]
    move = np.einsum("jv,nvd->njd", parts.joint_regressor, truth - vertices)  # [N, 55, 3]

    def mean(part: Array | slice, errors: Array) -> Array:
        shown = inside[:, part]
        count = shown.sum(1)
        total = np.where(shown, errors, 0).sum(1)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)

    def moved(part: Array | slice, joint: int) -> Array:
        return mean(part, vertex_errors(vertices[:, part] + move[:, joint, None], truth[:, part]))

    def aligned(part: Array | slice) -> Array:
        return mean(part, vertex_errors(procrustes_align(vertices[:, part], truth[:, part]), truth[:, part]))

    everything = slice(None)
    return {
        "MPVPE all": moved(everything, _PELVIS),
        "MPVPE hands": _mean_of_known(
            moved(parts.left_hand, _LEFT_WRIST), moved(parts.right_hand, _RIGHT_WRIST)
        ),
        "MPVPE face": moved(parts.face, _NECK),
        "PA-MPVPE all": aligned(everything),
        "PA-MPVPE hands": _mean_of_known(aligned(parts.left_hand), aligned(parts.right_hand)),
        "PA-MPVPE face": aligned(parts.face),
    }


def _mean_of_known(first: Array, second: Array) -> Array:
    """Return the mean [N] of two columns, of one where the other is NaN."""
    both = np.stack([first, second])
    known = np.isfinite(both)
    total = np.where(known, both, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full(len(first), np.nan), where=known.any(0))


@dataclass(frozen=True)
class AgoraPeople:
    """The people of one image, true or predicted.

    Attributes:
        vertices: [P, V, 3] metres, camera frame.
        joints: [P, 127 or more, 3] metres, in SMPL-X order.
        pixels: [P, 24 or more, 2] projected joints.
        valid: [P] bool: whom the protocol counts; None for all.
    """

    vertices: Array
    joints: Array
    pixels: Array
    valid: Array | None = None


def agora_scores(
    truth: Sequence[AgoraPeople], predictions: Sequence[AgoraPeople], parts: MeshParts
) -> dict[str, float]:
    """Return the numbers of AGORA's server, millimetres rounded to 0.1.

    A person counts where a predicted one overlaps (bounds of 24 projected joints, greedily by the largest
    IoU, at least 0.1). The body is aligned at the middle of the hips, hands at the wrists, the face at the
    neck; the whole body's error ("FB") is that of the body plus the mean of the three others. N errors are
    divided by the F1 score, rounded to two digits. People who are not valid are neither missed nor found.

    Raises:
        ValueError: if images differ in number, `parts` has no body, or nobody was found.
    """
    if parts.body is None:
        raise ValueError("body: AGORA's protocol needs the ids of the body's vertices, got None")
    if len(truth) != len(predictions):
        raise ValueError(f"expected an entry an image, got {len(truth)} true, {len(predictions)} predicted")
    rows: list[dict[str, float]] = []
    missed = false = 0
    for true, found in zip(truth, predictions, strict=True):
        pairs = _match(true.pixels, found.pixels)
        valid = np.ones(len(true.vertices), bool) if true.valid is None else np.asarray(true.valid, bool)
        rows += [_agora_errors(true, t, found, f, parts) for t, f in pairs if valid[t]]
        missed += int(valid.sum()) - sum(bool(valid[t]) for t, _ in pairs)
        false += len(found.vertices) - len(pairs)
    if not rows:
        raise ValueError("no predicted person overlaps a true one")
    scores = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    precision, recall = len(rows) / (len(rows) + false), len(rows) / (len(rows) + missed)
    f1 = round(len(rows) / (len(rows) + (false + missed) / 2), 2)
    normalized = {f"N{name}": scores[name] / f1 for name in ("MVE FB", "MVE B")}
    normalized |= {f"NMJE {part}": scores[f"MPJPE {part}"] / f1 for part in ("FB", "B")}
    rounded = {name: round(value, 1) for name, value in (normalized | scores).items()}
    return {"F1": f1, "precision": round(precision, 2), "recall": round(recall, 2), **rounded}


def _agora_errors(
    true: AgoraPeople, t: int, found: AgoraPeople, f: int, parts: MeshParts
) -> dict[str, float]:
    """Return the errors of one matched person."""
    joints, true_joints = found.joints[f], true.joints[t]
    hips = (joints[1] + joints[2]) / 2, (true_joints[1] + true_joints[2]) / 2

    def error(points: Array, true_points: Array, root: Array, true_root: Array) -> float:
        return float(vertex_errors(points - root, true_points - true_root).mean())

    errors = {}
    vertices = parts.body, parts.left_hand, parts.right_hand, parts.face
    kinds = {
        "MVE": (found.vertices[f], true.vertices[t], vertices),
        "MPJPE": (joints, true_joints, (_AGORA_BODY, _AGORA_LEFT, _AGORA_RIGHT, _AGORA_FACE)),
    }
    for kind, (points, true_points, sets) in kinds.items():
        roots = (hips, *((joints[j], true_joints[j]) for j in (_LEFT_WRIST, _RIGHT_WRIST, _NECK)))
        values = [error(points[ids], true_points[ids], *root) for ids, root in zip(sets, roots, strict=True)]
        errors |= {f"{kind} {part}": v for part, v in zip(("B", "LH", "RH", "F"), values, strict=True)}
        errors[f"{kind} FB"] = values[0] + sum(values[1:]) / 3
    return errors


def _match(truth: Array, found: Array) -> list[tuple[int, int]]:
    """Return pairs (true, found) of people [P, J, 2], the largest overlap first, nobody twice."""
    if not len(truth) or not len(found):
        return []
    overlap = box_iou(_bounds(truth)[:, None], _bounds(found)[None])  # [P, Q]
    pairs = []
    while overlap.max() >= _SMALLEST_IOU:
        t, f = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((int(t), int(f)))
        overlap[t], overlap[:, f] = -1, -1
    return pairs


def _bounds(pixels: Array) -> Array:
    joints = np.asarray(pixels, np.float64)[:, :_AGORA_JOINTS, :2]
    return np.concatenate([joints.min(1), joints.max(1)], axis=1)


def box_iou(first: Array, second: Array) -> Array:
    """Return the intersection over union [...] of boxes [..., 4], (x1, y1, x2, y2); 0 without extent."""
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(box[..., 2:] - box[..., :2], 0, None).prod(-1) for box in (first, second)]
    union = areas[0] + areas[1] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def mean_errors(errors: Mapping[str, Array]) -> dict[str, float]:
    """Return the mean of each column over the people who have it; NaN where nobody has."""
    return {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
        for name, values in errors.items()
    }
