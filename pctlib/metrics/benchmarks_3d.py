"""Benchmarks of 3D poses from single images, Human3.6M, 3DPW and H3WB: from predictions to their tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pctlib.data.check_3d import check_sides, check_units
from pctlib.data.containers import read_npz
from pctlib.data.h36m import SUBJECTS, h36m_subjects
from pctlib.data.people import People
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.mpjpe import mpjpe, mpjpe_by_action, n_mpjpe, pa_mpjpe
from pctlib.metrics.wholebody import PARTS
from pctlib.skeletons import COCO_WHOLEBODY, SMPL

ROOT = 0  # pelvis, of both keypoint sets
COLUMNS = {
    "MPJPE": "MPJPE (protocol 1)",
    "PA-MPJPE": "PA-MPJPE (protocol 2)",
    "N-MPJPE": "N-MPJPE",
    "poses": "poses",
}
# The 14 joints of LSP, which most papers on 3DPW count, where SMPL has them.
LSP_OF_SMPL = tuple(
    SMPL.index(name)
    for name in (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
        *("neck", "head"),
    )
)


def read_predicted_poses(path: str | Path, people: People) -> np.ndarray:
    """Read 3D poses that belong to the rows of a data set.

    Args:
        path: npz with `poses` [N, K3, 3], millimetres; and, unless there is one pose a row in the order of
            the annotations, what tells whose they are: `annotation_ids` [N], or `imgname` [N], in any order.
            Poses of others are left out.
        people: the rows.

    Returns:
        [N, K3, 3] float64, one pose a row of `people`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, a row has no pose or two, a pose has other joints, is not finite, is in
            another unit than millimetres, or has left and right exchanged.
    """
    skeleton = people.skeleton_3d
    poses = read_npz(path, ("poses",))["poses"].astype(np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (skeleton.num_keypoints, 3):
        expected = f"[N, {skeleton.num_keypoints}, 3] ({skeleton.name})"
        raise ValueError(f"{path}: poses need shape {expected}, got {list(poses.shape)}")
    poses = poses[_rows(path, people, len(poses))]
    check_units(poses, skeleton, str(path))
    check_sides(poses, skeleton, str(path))
    return poses


def _rows(path: str | Path, people: People, count: int) -> np.ndarray:
    """Return where the pose of each row of `people` is among `count` poses."""
    with np.load(path, allow_pickle=False) as archive:
        kind = next((name for name in ("annotation_ids", "imgname") if name in archive.files), None)
        keys = None if kind is None else archive[kind].tolist()
    if keys is None:
        if count != len(people):
            raise ValueError(
                f"{path}: has {count} poses without annotation_ids or imgname, the data set {len(people)}"
            )
        return np.arange(count)
    if len(keys) != count:
        raise ValueError(f"{path}: has {count} poses but {len(keys)} {kind}")
    place = {_short(key): row for row, key in enumerate(keys)}
    if len(place) < count:
        raise ValueError(f"{path}: {kind} name {count - len(place)} poses twice")
    wanted = people.annotation_ids.tolist() if kind == "annotation_ids" else people.image_files
    if len(set(map(_short, wanted))) < len(wanted):
        raise ValueError(f"{path}: rows of {people.source} share file names; annotation_ids tell them apart")
    missing = [key for key in map(_short, wanted) if key not in place]
    if missing:
        raise ValueError(f"{path}: {len(missing)} of {len(wanted)} rows have no pose, the first {missing[0]}")
    return np.array([place[_short(key)] for key in wanted])


def _short(key: object) -> object:
    """Return an id as it is, a file by its name, which is unique in Human3.6M and not in 3DPW or H3WB."""
    return key if isinstance(key, int) else Path(str(key)).name


def evaluate_h36m(
    people: People,
    poses: np.ndarray,
    *,
    subjects: Sequence[str] = SUBJECTS["test"],
    actions: Sequence[str] | None = None,
    align_root: bool = True,
) -> Evaluation:
    """Score poses by the protocols of Human3.6M, by action.

    Source: as all papers since Martinez et al. 2017, arXiv:1705.03098: subjects 9 and 11, all four cameras;
    protocol 1 is MPJPE with the pelvis of both poses at 0, protocol 2 MPJPE after Procrustes alignment. The
    number that papers give is the "mean of actions".

    Args:
        people: read with names of Human3.6M.
        poses: [N, 17, 3] millimetres, camera frame, in the order of `people`.
        subjects: those counted.
        actions: those counted; None: all.
        align_root: subtract the pelvis of truth and prediction first.

    Raises:
        ValueError: if a subject or action is not in the file, or as `mpjpe_by_action`.
    """
    found = np.array(h36m_subjects(people))
    counted = _among(found, subjects, "subject", people)
    if actions is not None:
        counted &= _among(people.actions, actions, "action", people)
    truth = people.keypoints_3d.astype(np.float64)
    check_sides(truth, people.skeleton_3d, people.source)
    if align_root:
        poses, truth = poses - poses[:, ROOT, None], truth - truth[:, ROOT, None]
    table = mpjpe_by_action(poses[counted], truth[counted], actions=people.actions[counted])
    left_out = len(people) - int(counted.sum())
    counts = {f"poses of {', '.join(subjects)}": int(counted.sum())}
    if left_out:
        counts["poses of other subjects or actions, not counted"] = left_out
    return Evaluation("Human3.6M (mm)", table.rename(columns=COLUMNS).to_dict("index"), counts)


def _among(values: np.ndarray, wanted: Sequence[str], what: str, people: People) -> np.ndarray:
    """Return which values [N] are among the wanted ones; each of these must be there."""
    missing = [value for value in wanted if value not in values]
    if missing:
        there = ", ".join(np.unique(values))
        raise ValueError(f"{people.source}: {what} {missing[0]} is not in the file, it has {there}")
    return np.isin(values, list(wanted))


def evaluate_threedpw(people: People, poses: np.ndarray, *, joints: int = 14) -> Evaluation:
    """Score poses by the protocol of 3DPW: MPJPE with the pelvis at 0, and after Procrustes alignment.

    Differs: papers on meshes regress 14 joints from predicted and true vertices; here they are the joints of
    the skeleton that the release gives, so that poses without a mesh can be scored.

    Args:
        people: of `read_threedpw`.
        poses: [N, 24, 3] millimetres, camera frame.
        joints: 14, those of LSP, or 24, all.

    Raises:
        ValueError: if `joints` is neither.
    """
    if joints not in (14, 24):
        raise ValueError(f"joints: expected 14 or 24, got {joints}")
    kept = list(LSP_OF_SMPL) if joints == 14 else list(range(24))
    truth = people.keypoints_3d.astype(np.float64)
    truth, poses = ((p - p[:, ROOT, None])[:, kept] for p in (truth, poses))
    row = {"MPJPE": mpjpe(poses, truth), "PA-MPJPE": pa_mpjpe(poses, truth), "N-MPJPE": n_mpjpe(poses, truth)}
    films = len(np.unique(people.actions))
    counts = {"poses": len(people), "films": films} | {w: n for w, n in people.excluded.items() if n}
    return Evaluation(f"3DPW, {joints} joints (mm)", {"all films": row}, counts)


def evaluate_h3wb(people: People, poses: np.ndarray) -> Evaluation:
    """Score whole-body poses by the protocol of H3WB.

    Source: Zhu et al. 2023, arXiv:2211.15692, and the script of its leaderboard: the middle of the hips of
    both poses at 0; the feet count as body; the face once more with the noses together, the hands with each
    wrist on the true one.

    Args:
        people: of `read_h3wb`.
        poses: [N, 133, 3] millimetres, camera frame.

    Returns:
        One row a part, the six numbers of the leaderboard.
    """
    truth = people.keypoints_3d.astype(np.float64)
    hips = [COCO_WHOLEBODY.index(f"{side}_hip") for side in ("left", "right")]
    poses, truth = (p - p[:, hips].mean(1, keepdims=True) for p in (poses, truth))
    left, right = PARTS["lefthand"], PARTS["righthand"]

    def error(part: slice, root: int | None = None) -> float:
        moved = ((p if root is None else p - p[:, root, None])[:, part] for p in (poses, truth))
        return mpjpe(*moved)

    parts = {
        "whole body": error(PARTS["wholebody"]),
        "body and feet": error(slice(0, PARTS["foot"].stop)),
        "face": error(PARTS["face"]),
        "face, noses together": error(PARTS["face"], COCO_WHOLEBODY.index("nose")),
        "hands": error(slice(left.start, right.stop)),
        "hands, wrists together": (error(left, left.start) + error(right, right.start)) / 2,
    }
    return Evaluation("H3WB (mm)", {name: {"MPJPE": e} for name, e in parts.items()}, {"poses": len(people)})
