"""Predicted 3D poses of a table of people: making, keeping and judging them, in millimetres."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pctlib.data.camera_space import bone_length, root_depth_from_bones, to_camera
from pctlib.data.people import People
from pctlib.io import existing_file, write_atomic
from pctlib.metrics.mpjpe import mpjpe, n_mpjpe, pa_mpjpe
from pctlib.metrics.pck import distances
from pctlib.skeletons import correspondence

ROOT = 0  # the first joint of every 3D keypoint set: the pelvis


@dataclass(frozen=True)
class Predictions3D:
    """3D poses predicted for N people.

    Attributes:
        poses: float32 [N, K3, 3] millimetres from the root, camera frame.
        scores: float32 [N, K3].
    """

    poses: np.ndarray
    scores: np.ndarray

    def save(self, path: str | Path, people: People) -> None:
        """Write the predictions with the annotation ids they belong to, as npz."""
        buffer = io.BytesIO()
        ids = people.annotation_ids
        np.savez_compressed(buffer, annotation_ids=ids, poses=self.poses, scores=self.scores)
        write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def load_predictions_3d(path: str | Path, people: People) -> Predictions3D:
    """Read 3D predictions and check that they are of these people.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if they belong to other people, or are no 3D predictions.
    """
    with np.load(existing_file(path), allow_pickle=False) as archive:
        if "poses" not in archive.files:
            raise ValueError(f"{path}: expected 3D predictions, the file has {', '.join(archive.files)}")
        ids = archive["annotation_ids"]
        if not np.array_equal(ids, people.annotation_ids):
            raise ValueError(
                f"{path}: predictions of {len(ids)} other people, expected those of {people.source}"
            )
        return Predictions3D(archive["poses"], archive["scores"])


def truth_3d(people: People) -> np.ndarray:
    """Return the true poses [N, K3, 3], millimetres from the root.

    Raises:
        ValueError: if the data set has no 3D joints.
    """
    if people.keypoints_3d is None:
        raise ValueError(f"{_name(people)}: the data set has no 3D joints")
    return people.keypoints_3d - people.keypoints_3d[:, ROOT, None]


def joint_flags(people: People) -> np.ndarray:
    """Return COCO flags [N, K3] of the 3D joints that are annotated keypoints too; 0 for all others.

    COCO's keypoints have twelve joints of Human3.6M: shoulders, elbows, wrists, hips, knees and ankles.
    """
    places = correspondence(people.skeleton, people.skeleton_3d)
    flags = np.zeros((len(people), people.skeleton_3d.num_keypoints), np.uint8)
    for joint, place in enumerate(places):
        if place is not None:
            flags[:, joint] = people.visible[:, place]
    return flags


def judge_3d(people: People, found: Predictions3D) -> dict[str, float]:
    """Return the errors of 3D predictions in millimetres.

    Returns:
        "MPJPE mm" of all joints, relative to the root; "PA-MPJPE mm", "N-MPJPE mm"; "MPJPE mm seen" and
        "MPJPE mm hidden", of the joints that `joint_flags` knows; "plane mm", the mean distance along the
        image, and "depth mm" along the line of sight.
    """
    truth, flags = truth_3d(people), joint_flags(people)
    offset = np.asarray(found.poses, np.float64) - truth
    return {
        "MPJPE mm": mpjpe(found.poses, truth),
        "PA-MPJPE mm": pa_mpjpe(found.poses, truth),
        "N-MPJPE mm": n_mpjpe(found.poses, truth),
        "MPJPE mm seen": mpjpe(found.poses, truth, labelled=flags == 2),
        "MPJPE mm hidden": mpjpe(found.poses, truth, labelled=flags == 1),
        "plane mm": float(np.linalg.norm(offset[..., :2], axis=-1).mean()),
        "depth mm": float(np.abs(offset[..., 2]).mean()),
    }


def person_errors_3d(people: People, found: Predictions3D) -> np.ndarray:
    """Return the mean error [N] of each person, millimetres."""
    return distances(found.poses, truth_3d(people)).mean(1)


def errors_by_level(
    people: People, found: Mapping[str, Predictions3D], *, levels: tuple[float, ...] = (0.0, 0.2, 0.4)
) -> list[dict[str, object]]:
    """Return the mean error of each method by how much of the body is hidden, one row a method and level.

    Args:
        people: with `occlusion`.
        found: method -> predictions.
        levels: shares at which a level begins; the first takes what is not hidden at all.

    Returns:
        Rows with "method", "hidden", a range of the share of the body, "people" and "MPJPE mm"; levels
        without people are left out.

    Raises:
        ValueError: if the data set does not say how much is hidden.
    """
    if people.occlusion is None:
        raise ValueError(
            f"{people.source or 'people'}: the data set does not say how much of a body is hidden"
        )
    level = np.searchsorted(levels, people.occlusion, side="left")  # 0: nothing hidden
    ends = [*levels[1:], 1.0]
    names = [
        "nothing",
        *(f"{100 * low:g} to {100 * high:g} %" for low, high in zip(levels, ends, strict=True)),
    ]
    rows = []
    for method, predictions in found.items():
        errors = person_errors_3d(people, predictions)
        for number, name in enumerate(names):
            chosen = level == number
            if chosen.any():
                error = float(errors[chosen].mean())
                rows.append(
                    {"method": method, "hidden": name, "people": int(chosen.sum()), "MPJPE mm": error}
                )
    return rows


def mean_pose_3d(train: People, val: People) -> Predictions3D:
    """Return the mean root-relative pose of the training people for every person: the floor to beat."""
    poses = np.repeat(truth_3d(train).mean(0, keepdims=True), len(val), axis=0)
    return Predictions3D(poses.astype(np.float32), np.ones(poses.shape[:2], np.float32))


def pixels_to_millimetres(
    people: People, pixels: np.ndarray, depths: np.ndarray, *, root_depth: np.ndarray | None = None
) -> np.ndarray:
    """Return poses of image pixels [N, K3, 2] and depths [N, K3] behind the root, in the camera's frame.

    Args:
        people: with their cameras.
        pixels: image pixels.
        depths: millimetres behind the root.
        root_depth: [N] millimetres from the camera; None: the true one.

    Raises:
        ValueError: if the data set has no cameras, or as `to_camera`.
    """
    if people.lenses is None:
        raise ValueError(
            f"{people.source or 'people'}: there is no camera to bring pixels back to millimetres"
        )
    if root_depth is None:
        root_depth = people.keypoints_3d[:, ROOT, 2]
    return to_camera(pixels, depths, people.lenses, root_depth=root_depth)


def supposed_root_depth(
    people: People, pixels: np.ndarray, depths: np.ndarray, *, train: People
) -> np.ndarray:
    """Return root depths [N] as if everyone's bones were as long as those of the training people on average.

    Args:
        people: with their cameras.
        pixels: [N, K3, 2] image pixels.
        depths: [N, K3] millimetres behind the root.
        train: training people.
    """
    limbs = people.skeleton_3d.limbs
    mean_length = float(bone_length(truth_3d(train), limbs).mean())
    return root_depth_from_bones(pixels, depths, people.lenses, limbs=limbs, mean_length=mean_length)


def _name(people: People) -> str:
    return people.source or "people"
