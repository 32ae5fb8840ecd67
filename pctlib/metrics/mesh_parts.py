"""Hands, face and joints of a mesh: of the embedded body, and of SMPL-X from its owner's licensed files."""

from pathlib import Path

import numpy as np

from pctlib.body_model import JOINT_NAMES, NAMED_VERTICES, BodyModel
from pctlib.data.containers import read_array_pickle
from pctlib.data.procedural.body import embedded_body
from pctlib.io import existing_file
from pctlib.metrics.mesh import MeshParts

Array = np.ndarray
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HEAD = ("head", "jaw", "left_eye", "right_eye")
# The fourteen joints of LSP in its order, without the top of the head, which is no joint
_LSP = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck"),
)
SMPLX_FILES = {
    "hands": "MANO_SMPLX_vertex_ids.pkl",
    "face": "SMPL-X__FLAME_vertex_ids.npy",
    "body_joints": "SMPLX_to_J14.pkl",
    "body": "body_verts_smplx.npy",
}


def embedded_parts() -> MeshParts:
    """Return the parts of the embedded body.

    A vertex belongs to the joint that moves it most: a hand is what wrist and fingers move, the face what
    head, jaw and eyes move. The head's joint is its highest point.
    """
    body = embedded_body()
    owner = body.weights.argmax(1).numpy()  # [V]
    sets = {
        side: _moved_by(owner, [name for name in JOINT_NAMES if _in_hand(name, side)])
        for side in ("left", "right")
    }
    face = _moved_by(owner, _HEAD)
    limbs = np.setdiff1d(np.arange(len(owner)), np.concatenate([*sets.values(), face]))
    top = np.zeros(len(owner))
    top[int(body.template[:, 1].argmax())] = 1
    regressor = body.joint_regressor.numpy().astype(np.float64)
    lsp = regressor[[JOINT_NAMES.index(name) for name in _LSP]]
    return MeshParts(
        regressor,
        sets["left"],
        sets["right"],
        face,
        body_joints=np.concatenate([lsp, top[None]]),
        left_hand_joints=hand_joints(body, "left"),
        right_hand_joints=hand_joints(body, "right"),
        body=limbs,
    )


def smplx_parts(body: BodyModel, folder: str | Path) -> MeshParts:
    """Return the parts of SMPL-X from files that come with its licence; none of them is in this package.

    Args:
        body: read from the licensed model file.
        folder: has `MANO_SMPLX_vertex_ids.pkl` and `SMPL-X__FLAME_vertex_ids.npy` of SMPL-X; also
            `SMPLX_to_J14.pkl` of ExPose and `body_verts_smplx.npy` of AGORA's toolkit where there are such.

    Raises:
        FileNotFoundError: if one of the first two is missing.
        ValueError: if a file holds something else, or was made for another mesh; names file and entry.
    """
    folder, V = Path(folder), len(body.template)
    hands = read_array_pickle(folder / SMPLX_FILES["hands"])
    sides = [_hand_ids(folder / SMPLX_FILES["hands"], hands, side, V) for side in ("left", "right")]
    optional = {name: folder / SMPLX_FILES[name] for name in ("body_joints", "body")}
    regressor = limbs = None
    if optional["body_joints"].is_file():
        regressor = np.asarray(read_array_pickle(optional["body_joints"]), np.float64)
        if regressor.shape != (14, V):
            raise ValueError(f"{optional['body_joints']}: expected shape (14, {V}), got {regressor.shape}")
    if optional["body"].is_file():
        limbs = _ids(optional["body"], V)
    return MeshParts(
        body.joint_regressor.numpy().astype(np.float64),
        *sides,
        _ids(folder / SMPLX_FILES["face"], V),
        body_joints=regressor,
        left_hand_joints=hand_joints(body, "left"),
        right_hand_joints=hand_joints(body, "right"),
        body=limbs,
    )


def hand_joints(body: BodyModel, side: str) -> Array:
    """Return a regressor [21, V]: the wrist, then three joints and the tip of each finger, thumb first."""
    regressor = body.joint_regressor.numpy().astype(np.float64)
    rows = [regressor[JOINT_NAMES.index(f"{side}_wrist")]]
    for finger in _FINGERS:
        rows += [regressor[JOINT_NAMES.index(f"{side}_{finger}{number}")] for number in (1, 2, 3)]
        tip = np.zeros(regressor.shape[1])
        tip[int(body.named_vertex_ids[NAMED_VERTICES.index(f"{side}_{finger}_tip")])] = 1
        rows.append(tip)
    return np.stack(rows)


def _in_hand(name: str, side: str) -> bool:
    return name.startswith(side) and (name.endswith("_wrist") or name.split("_")[1][:-1] in _FINGERS)


def _moved_by(owner: Array, names: tuple[str, ...] | list[str]) -> Array:
    return np.flatnonzero(np.isin(owner, [JOINT_NAMES.index(name) for name in names]))


def _hand_ids(path: Path, hands: object, side: str, V: int) -> Array:
    name = f"{side}_hand"
    if not isinstance(hands, dict) or name not in hands:
        known = ", ".join(map(str, hands)) if isinstance(hands, dict) else type(hands).__name__
        raise ValueError(f"{path}: expected vertex ids '{name}', it has {known}")
    return _checked_ids(hands[name], f"{path}, {name}", V)


def _ids(path: Path, V: int) -> Array:
    path = existing_file(path)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: not an npy file of plain numbers ({error})") from error
    return _checked_ids(values, str(path), V)


def _checked_ids(values: object, where: str, V: int) -> Array:
    ids = np.asarray(values)
    if ids.ndim != 1 or not len(ids) or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= V:
        raise ValueError(f"{where}: expected vertex ids 0 to {V - 1}, got {ids.dtype} {list(ids.shape)}")
    return ids.astype(np.int64)
