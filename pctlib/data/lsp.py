"""Leeds Sports Pose and its extended training set, whose third row of numbers mean opposite things.

Source: Johnson and Everingham, "Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation",
BMVC 2010 (LSP), and "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011
(extended).
"""

from pathlib import Path

import numpy as np

from pctlib.data.containers import read_matlab
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.skeletons import LSP

_K = LSP.num_keypoints
_TRAINING_IMAGES = 1000  # of the 2000 images of LSP, the first are for training, the others for testing


def read_lsp(root: str | Path, split: str | None = None) -> People:
    """Read the original Leeds Sports Pose set, whose third row says which joints are hidden.

    Args:
        root: folder with joints.mat, `joints` of shape 3 x 14 x images, and images/im0001.jpg ...
        split: "train" (the first 1000 images), "test" (the others) or None (all).

    Returns:
        One row an image. Flag 1 in the file is hidden (1 here), 0 is visible (2 here). Boxes are the bounds
        of the joints, since the set has none, and areas are box areas x 0.53. Pixels are taken as published;
        whether they count from 0 or 1 is not stated.

    Raises:
        FileNotFoundError: if joints.mat is missing.
        ValueError: if it has another shape (the extended set is refused: its flags mean the opposite), or
            `split` is unknown.
    """
    path = Path(root) / "joints.mat"
    joints = _joints(path, (3, _K), "LSP")  # [3, K, N]
    hidden = joints[2].T != 0
    people = _people(joints[:2].transpose(2, 1, 0), np.where(hidden, 1, 2), path, digits=4)
    if split is None:
        return people
    if split not in ("train", "test"):
        raise ValueError(f"{path}: split must be 'train', 'test' or None, got {split!r}")
    training = people.image_ids <= _TRAINING_IMAGES
    return people.select(training if split == "train" else ~training)


def read_lsp_extended(root: str | Path) -> People:
    """Read the extended training set: the third row says whether a joint is located at all.

    Args:
        root: folder with joints.mat, `joints` of shape 14 x 3 x images, and images/im00001.jpg ...

    Returns:
        One row an image that has two joints at least. Flag 1 in the file is labelled; whether it is hidden is
        not in the file, so it is 2 here. Flag 0 is unlabelled. Boxes, areas and pixels as in `read_lsp`.

    Raises:
        FileNotFoundError: if joints.mat is missing.
        ValueError: if it has another shape (the original LSP is refused: its flags mean the opposite).
    """
    path = Path(root) / "joints.mat"
    joints = _joints(path, (_K, 3), "LSP-Extended")  # [K, 3, N]
    labelled = joints[:, 2].T != 0
    return _people(joints[:, :2].transpose(2, 0, 1), np.where(labelled, 2, 0), path, digits=5)


def _joints(path: Path, shape: tuple[int, int], name: str) -> np.ndarray:
    """Return the array `joints`, if its axes are those of the set called `name`."""
    joints = np.asarray(read_matlab(path, "joints"))
    joints = joints[..., None] if joints.ndim == 2 else joints  # one image: the last axis was squeezed away
    if joints.ndim != 3 or joints.shape[:2] != shape:
        other = "LSP-Extended" if name == "LSP" else "LSP"
        hint = f": this is {other}, whose flags mean the opposite" if joints.shape[:2] == shape[::-1] else ""
        raise ValueError(
            f"{path}: {name} needs joints of shape {shape[0]} x {shape[1]} x images, got {joints.shape}{hint}"
        )
    if not np.isin(flags := joints[2] if shape[0] == 3 else joints[:, 2], (0, 1)).all():
        raise ValueError(f"{path}: flags must be 0 or 1, got {np.unique(flags)[:5]}")
    return joints


def _people(keypoints: np.ndarray, visible: np.ndarray, path: Path, *, digits: int) -> People:
    """Return the people of keypoints [N, K, 2] with flags [N, K]; row n is image n + 1, in so many digits."""
    labelled = visible > 0
    rows = np.flatnonzero(labelled.sum(1) >= 2)
    left_out = len(visible) - len(rows)
    keypoints, visible, labelled = keypoints[rows], visible[rows], labelled[rows]
    low = np.where(labelled[..., None], keypoints, np.inf).min(1)  # [N, 2]
    high = np.where(labelled[..., None], keypoints, -np.inf).max(1)
    sizes = np.maximum(high - low, 1)  # two joints above each other still need a width
    numbers = rows + 1
    return People(
        skeleton=LSP,
        image_files=[path.parent / "images" / f"im{number:0{digits}d}.jpg" for number in numbers],
        image_ids=numbers,
        annotation_ids=numbers,
        boxes_xywh=np.concatenate([low, sizes], axis=1),
        areas=BOX_AREA_SHARE * sizes.prod(1),
        keypoints_image=np.where(labelled[..., None], keypoints, 0.0),
        visible=visible,
        image_sizes=np.zeros((len(rows), 2), np.int32),
        source=str(path),
        excluded={"fewer than two joints": left_out} if left_out else {},
    )
