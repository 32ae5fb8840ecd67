"""H3WB: frames of Human3.6M with the 133 whole-body keypoints in 3D.

Source: Zhu et al. 2023, "H3WB: Human3.6M 3D WholeBody Dataset and Benchmark", arXiv:2211.15692; the npz of
its release, and the one to which mmpose 1.3 adds boxes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pctlib.data.check_3d import check_units
from pctlib.data.containers import read_object_npz
from pctlib.data.h36m import read_by_action, real_numbers, square_boxes
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.skeletons import COCO, COCO_WHOLEBODY

_K = COCO_WHOLEBODY.num_keypoints
_NOT_CAMERAS = ("global_3d", "frame_id")
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_KILOPIXEL = 1000  # K of the release is in thousands of pixels
_LENS_ORDER = [0, 1, 4, 2, 3]  # the release writes k1, k2, p1, p2, k3 as OpenCV does; see `Lenses`


class _Film(NamedTuple):
    """One action of a subject, seen by one camera.

    Attributes:
        key: (subject, action, camera).
        frames: [T] numbers in the film.
        pixels: [T, 133, 2] pixels.
        joints: [T, 133, 3] millimetres, camera frame.
    """

    key: tuple[str, str, str]
    frames: np.ndarray
    pixels: np.ndarray
    joints: np.ndarray


def read_h3wb(
    annotations: str | Path, images_dir: str | Path, *, subjects: Sequence[str] | None = None
) -> People:
    """Read the npz of H3WB, one frame of one camera a row.

    The file holds pickles, which are read as arrays only: one that asks for anything else is refused.

    Args:
        annotations: h3wb_train.npz, or mmpose's h3wb_train_bbox.npz: "train_data", subject -> action ->
            frame_id [T] and, by camera, camera_3d [T, 133, 3] (millimetres) and pose_2d [T, 133, 2] (pixels);
            "metadata" with the cameras; and "bbox".
        images_dir: folder that holds S1/Images/Directions 1.54138969/frame_1.jpg and so on.
        subjects: those read; None: all. mmpose measures on S7, which the benchmark learns from, too.

    Returns:
        Rows in the order of the file; `keypoints_3d` in the camera's frame, not relative to the root;
        `actions` as the file has them; all keypoints flagged 2, as nothing says what is hidden. Without
        "bbox" the box is the square of 1.2 x the bounds of the keypoints.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or refused, lacks a subject, field, camera or box, or the bodies are of a
            size that other units than millimetres explain.
    """
    films = list(_films(annotations, subjects))
    if not films:
        raise ValueError(f"{annotations}: no frame is there")
    pixels, joints = (
        np.concatenate([getattr(film, name) for film in films]) for name in ("pixels", "joints")
    )
    check_units(joints[:, : COCO.num_keypoints], COCO, str(annotations))
    boxes = _boxes(annotations, films)
    boxes = square_boxes(pixels) if boxes is None else boxes
    N, names = len(joints), [name for film in films for name in _names(film)]
    return People(
        skeleton=COCO_WHOLEBODY,
        skeleton_3d=COCO_WHOLEBODY,
        image_files=[Path(images_dir) / name for name in names],
        image_ids=np.unique(names, return_inverse=True)[1].reshape(-1) + 1,
        annotation_ids=np.arange(1, N + 1),
        boxes_xywh=boxes,
        areas=BOX_AREA_SHARE * boxes[:, 2] * boxes[:, 3],
        keypoints_image=pixels,
        visible=np.full((N, _K), 2),
        image_sizes=np.zeros((N, 2), np.int32),
        keypoints_3d=joints,
        actions=np.array([film.key[1] for film in films for _ in film.frames]),
        **_lenses(annotations, films),
        source=str(annotations),
    )


def _names(film: _Film) -> list[str]:
    subject, action, camera = film.key
    return [f"{subject}/Images/{action}.{camera}/frame_{frame}.jpg" for frame in film.frames]


def _films(path: str | Path, subjects: Sequence[str] | None) -> Iterator[_Film]:
    """Yield the films of the chosen subjects, in the order of the file."""
    data = read_by_action(path, "train_data")
    for subject in data if subjects is None else subjects:
        if subject not in data:
            known = ", ".join(map(str, data))
            raise ValueError(f"{path}: subject {subject} is missing, the file has {known}")
        for action, film in data[subject].items():
            where = f"{path}: {subject}, {action}"
            frames = real_numbers(_field(film, "frame_id", where), f"{where}, frame_id")
            frames = _array(frames, (frames.size,), f"{where}, frame_id").astype(np.int64)
            for camera in (name for name in film if name not in _NOT_CAMERAS):
                seen, view = f"{where}, camera {camera}", film[camera]
                pixels, joints = (
                    _array(_field(view, name, seen), (frames.size, _K, D), f"{seen}, {name}")
                    for name, D in (("pose_2d", 2), ("camera_3d", 3))
                )
                yield _Film((subject, action, camera), frames, pixels, joints)


def _field(value: Any, name: str, where: str) -> Any:
    """Return an entry of a dict of the file."""
    if not isinstance(value, dict) or name not in value:
        there = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{where}: {name} is missing, there is {there}")
    return value[name]


def _array(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return finite numbers of the file as float64."""
    array = real_numbers(value, where)
    if array.shape != shape:
        raise ValueError(f"{where} needs shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where} holds a number that is not finite")
    return array


def _boxes(path: str | Path, films: list[_Film]) -> np.ndarray | None:
    """Return the boxes [N, 4] x, y, width, height that the file has of each frame; None if it has none."""
    with np.load(path, allow_pickle=False) as archive:
        if "bbox" not in archive.files:
            return None
    given, boxes = read_object_npz(path, "bbox"), []
    for film in films:
        for frame in film.frames:
            where = f"{path}, array bbox: {', '.join(film.key)}, frame {frame}"
            box = _field(given, (*film.key, frame), where)
            left, top, right, bottom = _array([_field(box, name, where) for name in _CORNERS], (4,), where)
            boxes.append([left, top, right - left, bottom - top])
    return np.array(boxes)


def _lenses(path: str | Path, films: list[_Film]) -> dict[str, np.ndarray]:
    """Return focal length, principal point and distortion of each frame's camera."""
    metadata, lenses = read_object_npz(path, "metadata"), {}
    for film in films:
        subject, _, camera = film.key
        where = f"{path}, array metadata: {subject}, {camera}"
        parameters = _field(_field(metadata, subject, where), camera, where)
        K = _array(_field(parameters, "K", where), (1, 3, 3), f"{where}, K")[0] * _KILOPIXEL
        lens = _array(_field(parameters, "Distortion", where), (1, 5), f"{where}, Distortion")[0]
        lenses[film.key] = K[[0, 1], [0, 1]], K[:2, 2], lens[_LENS_ORDER]
    parts = zip(*(lenses[film.key] for film in films for _ in film.frames), strict=True)
    return dict(zip(("focal", "principal_point", "distortion"), map(np.stack, parts), strict=True))
