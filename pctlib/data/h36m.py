"""Human3.6M: 3D poses with cameras, in the flat npz of SPIN and mmpose and in the nested npz of VideoPose3D.

Protocol of all papers: train on subjects S1, S5, S6, S7, S8, test on S9 and S11, 17 joints, joints 1 to 3 the
right leg (some category lists name them left; the data are right-legged).

Source: Ionescu et al. 2014, "Human3.6M"; 17 of the 32 joints as in Pavllo et al. 2019, arXiv:1811.11742.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pctlib.data.cameras import Camera, read_h36m_cameras
from pctlib.data.check_3d import check_units
from pctlib.data.containers import read_npz, read_object_npz
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.skeletons import H36M

SUBJECTS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
_K = H36M.num_keypoints
_KEPT_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
_CAMERAS = ("54138969", "55011271", "58860488", "60457274")  # the order of VideoPose3D's 2D lists
_BOX_MARGIN = 1.2  # side of the square box / longer side of the bounds of the joints, as in the flat npz
_PIXELS_PER_SCALE = 200
_MM_PER_METRE = 1000
_NAME = re.compile(r"(?P<subject>S\d+)_(?P<action>[A-Za-z]+)[ _]?\d*\.(?P<camera>\d+)_(?P<frame>\d+)")


def read_h36m(
    annotations: str | Path, images_dir: str | Path, *, cameras: str | Path | None = None
) -> People:
    """Read the flat npz of SPIN and mmpose (h36m_train.npz, h36m_test.npz), one frame of one camera a row.

    Args:
        annotations: npz with imgname [N], center [N, 2] and scale [N] of the box (side 200 x scale, which is
            1.2 x the bounds of the joints), part [N, 17, 3] (pixels, labelled) and S [N, 17, 4] (metres,
            camera frame; the last column is not read).
        images_dir: folder that `imgname` starts from.
        cameras: cameras.pkl (`read_h36m_cameras`), for what needs the lens; None where nothing does.

    Returns:
        One row a frame; `actions` where all frames are named as Human3.6M's are. Whether a joint is hidden is
        not recorded, so labelled joints get flag 2. `keypoints_3d` is in the camera frame, millimetres, not
        relative to the root. Areas are box areas x 0.53.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if an array is missing or has another shape (files with 24 SMPL joints are refused), a
            camera is missing, or the bodies are of a size that other units than metres explain.
    """
    arrays = read_npz(annotations, ("imgname", "center", "scale", "part", "S"))
    frames = _texts(arrays["imgname"], f"{annotations}: array imgname")
    N = len(frames)
    for name, shape in {"center": (N, 2), "scale": (N,), "part": (N, _K, 3), "S": (N, _K, 4)}.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{annotations}: array {name} needs shape {shape}, got {arrays[name].shape}")
        arrays[name] = real_numbers(arrays[name], f"{annotations}: array {name}")
    sides = _PIXELS_PER_SCALE * arrays["scale"][:, None]  # [N, 1]
    boxes = np.concatenate([arrays["center"] - sides / 2, sides, sides], axis=1)  # [N, 4]
    labelled = arrays["part"][..., 2] > 0
    views = None if cameras is None else _cameras_of(frames, read_h36m_cameras(cameras), str(cameras))
    return _people(
        names=frames,
        views=views,
        images_dir=Path(images_dir),
        boxes=boxes,
        keypoints_image=np.where(labelled[..., None], arrays["part"][..., :2], 0.0),
        visible=np.where(labelled, 2, 0),
        keypoints_3d=arrays["S"][..., :3] * _MM_PER_METRE,
        image_sizes=np.zeros((N, 2), np.int32),
        source=str(annotations),
    )


def read_h36m_videopose(
    positions_3d: str | Path,
    cameras: str | Path,
    *,
    split: str,
    positions_2d: str | Path | None = None,
    images_dir: str | Path = "",
    frame_step: int = 1,
) -> People:
    """Read data_3d_h36m.npz of VideoPose3D, every frame seen by the four cameras.

    The file holds a pickle. It is read as arrays only: a file that asks for anything else is refused, so an
    untrusted download cannot run code.

    Args:
        positions_3d: the npz, subject -> action -> [T, 32, 3] metres, world.
        cameras: cameras.pkl (`read_h36m_cameras`).
        split: "train" (S1, S5, S6, S7, S8) or "test" (S9, S11).
        positions_2d: data_2d_h36m_*.npz, subject -> action -> a list of four [T, 17, 2] pixels, true or
            detected; None projects the 3D joints with the distortion of the lens.
        images_dir: folder of the frames; the files are named as mmpose's preprocessing names them
            (S9/S9_Directions_1.54138969/S9_Directions_1.54138969_000001.jpg), whether they are there or not.
        frame_step: 1 keeps every frame, 5 every fifth; the films have 50 a second.

    Returns:
        One row a frame and camera, ordered by subject, action, camera, frame. `keypoints_3d` as in
        `read_h36m`; the box is the square of 1.2 x the bounds of the 2D joints. Actions without 2D joints are
        counted in `excluded`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or refused, lacks a subject or camera, or `split` or `frame_step` is
            wrong.
    """
    if split not in SUBJECTS:
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    if frame_step < 1:
        raise ValueError(f"frame_step must be 1 or more, got {frame_step}")
    films = _Films(
        positions=read_by_action(positions_3d, "positions_3d"),
        pixels=None if positions_2d is None else read_by_action(positions_2d, "positions_2d"),
        cameras=read_h36m_cameras(cameras),
        source=str(positions_3d),
    )
    parts, excluded = _all_films(films, SUBJECTS[split], frame_step)
    names = [name for part in parts for name in part[0]]
    keypoints_image, keypoints_3d, sizes = (np.concatenate([p[i] for p in parts]) for i in (1, 2, 3))
    return _people(
        names=names,
        views=_cameras_of(names, films.cameras, str(cameras)),
        images_dir=Path(images_dir),
        boxes=square_boxes(keypoints_image),
        keypoints_image=keypoints_image,
        visible=np.full((len(names), _K), 2),
        keypoints_3d=keypoints_3d,
        image_sizes=sizes,
        source=str(positions_3d),
        excluded={"no 2D joints": excluded} if excluded else {},
    )


def read_by_action(path: str | Path, name: str) -> dict[str, dict[str, Any]]:
    """Return what an archive of VideoPose3D holds of each subject and action.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, refused, or not sorted so; names file and array.
    """
    subjects = read_object_npz(path, name)
    where = f"{path}, array {name}"
    if not isinstance(subjects, dict):
        raise ValueError(f"{where}: expected a dict of subjects, got {type(subjects).__name__}")
    for subject, actions in subjects.items():
        if not isinstance(actions, dict) or not all(isinstance(action, str) for action in actions):
            raise ValueError(f"{where}: {subject} must be a dict of actions by name, got {str(actions)[:80]}")
    return subjects


def _texts(array: np.ndarray, where: str) -> list[str]:
    """Return an array [N] of text, in either kind of numpy's, as a list."""
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise ValueError(f"{where} needs N names of images, got {array.dtype} {array.shape}")
    try:
        names = [name.decode() if isinstance(name, bytes) else name for name in array.tolist()]
        for name in names:
            name.encode()
            name.casefold()
    except (ValueError, SystemError) as error:  # damaged text may be of no characters at all
        raise ValueError(f"{where}: a name is no text ({error})") from error
    return names


def real_numbers(value: Any, where: str) -> np.ndarray:
    """Return an array of real numbers as float64.

    Raises:
        ValueError: if it is anything else; begins with `where`.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{where} is no array ({error})") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where} needs real numbers, got {array.dtype}")
    return array.astype(np.float64)


def h36m_actions(people: People) -> list[str]:
    """Return the action of each row ("Directions", "WalkDog", ...), from the names of the frames.

    Raises:
        ValueError: if a file is not named as Human3.6M's frames are.
    """
    return _named(people, "action")


def h36m_subjects(people: People) -> list[str]:
    """Return the subject of each row ("S9", ...), from the names of the frames.

    Raises:
        ValueError: if a file is not named as Human3.6M's frames are.
    """
    return _named(people, "subject")


def _named(people: People, part: str) -> list[str]:
    """Return a part of the name of each row's frame."""
    found = []
    for row, file in enumerate(people.image_files):
        match = _NAME.match(PurePosixPath(file).name)
        if match is None:
            raise ValueError(f"{people.source}: row {row}, {file} is not named S1_Action_1.camera_frame.jpg")
        found.append(match[part])
    return found


def _cameras_of(names: list[str], cameras: dict[tuple[str, str], Camera], source: str) -> list[Camera]:
    """Return the camera of each frame, by the subject and camera in its name."""
    found = []
    for row, name in enumerate(names):
        match = _NAME.match(PurePosixPath(name).name)
        key = None if match is None else (match["subject"], match["camera"])
        if key not in cameras:
            raise ValueError(f"{source}: there is no camera for row {row}, {name}")
        found.append(cameras[key])
    return found


@dataclass(frozen=True)
class _Films:
    """What the files of VideoPose3D hold."""

    positions: dict[str, dict[str, np.ndarray]]
    pixels: dict[str, dict[str, Any]] | None
    cameras: dict[tuple[str, str], Camera]
    source: str


def _actions(films: _Films, subjects: tuple[str, ...]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield subject, action and world positions [T, 17, 3] in millimetres."""
    for subject in subjects:
        if subject not in films.positions:
            known = ", ".join(map(str, films.positions))
            raise ValueError(f"{films.source}: subject {subject} is missing, the file has {known}")
        for action, value in sorted(films.positions[subject].items()):
            positions = real_numbers(value, f"{films.source}: {subject}, {action}")
            if positions.ndim != 3 or positions.shape[1:] != (32, 3):
                raise ValueError(
                    f"{films.source}: {subject}, {action} needs shape (T, 32, 3), got {positions.shape}"
                )
            yield subject, action, positions[:, _KEPT_OF_32] * _MM_PER_METRE


def _all_films(films: _Films, subjects: tuple[str, ...], frame_step: int) -> tuple[list[tuple], int]:
    """Return `_one_film` of every film, and how many frames have no 2D joints."""
    parts, excluded = [], 0
    for subject, action, positions in _actions(films, subjects):
        if films.pixels is not None and action not in films.pixels.get(subject, {}):
            excluded += len(_CAMERAS) * len(range(0, len(positions), frame_step))
            continue
        for view in range(len(_CAMERAS)):
            parts.append(_one_film(films, subject, action, view, positions, frame_step))
    if not parts:
        raise ValueError(f"{films.source}: no frame of the subjects {', '.join(subjects)} is there")
    return parts, excluded


def _one_film(
    films: _Films, subject: str, action: str, view: int, positions: np.ndarray, frame_step: int
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Return names, 2D joints [T, 17, 2], 3D joints [T, 17, 3] and image sizes [T, 2] of the kept frames."""
    if (subject, _CAMERAS[view]) not in films.cameras:
        raise ValueError(f"{films.source}: the cameras have none for {subject}, {_CAMERAS[view]}")
    camera, seen = films.cameras[subject, _CAMERAS[view]], f"{subject}, {action}, camera {_CAMERAS[view]}"
    frames = np.arange(0, len(positions), frame_step)
    keypoints_3d = camera.world_to_camera(positions[frames])
    if films.pixels is None:
        try:
            keypoints_image = camera.project(keypoints_3d)
        except ValueError as error:
            raise ValueError(f"{films.source}: {seen}: {error}") from error
    else:
        where, views = f"{films.source}: 2D joints of {seen}", films.pixels[subject][action]
        if not isinstance(views, list | tuple | np.ndarray) or len(views) != len(_CAMERAS):
            raise ValueError(f"{where}: expected a list of {len(_CAMERAS)} cameras")
        pixels = real_numbers(views[view], where)
        if pixels.shape[1:] != (_K, 2) or len(pixels) < len(positions):
            raise ValueError(f"{where} need shape ({len(positions)}, {_K}, 2), got {pixels.shape}")
        keypoints_image = pixels[frames]  # detections may have a few frames more than the poses
    film = f"{subject}_{action.replace(' ', '_')}.{_CAMERAS[view]}"
    names = [f"{subject}/{film}/{film}_{frame + 1:06d}.jpg" for frame in frames]
    return names, keypoints_image, keypoints_3d, np.tile(camera.image_size, (len(frames), 1))


def square_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Return square boxes [N, 4], x, y, side, side, of 1.2 x the bounds of all keypoints [N, K, 2]."""
    low, high = keypoints.min(1), keypoints.max(1)  # [N, 2]
    sides = _BOX_MARGIN * (high - low).max(1, keepdims=True)  # [N, 1]
    return np.concatenate([(low + high - sides) / 2, sides, sides], axis=1)


def _people(
    *,
    names: list[str],
    images_dir: Path,
    boxes: np.ndarray,
    keypoints_image: np.ndarray,
    visible: np.ndarray,
    keypoints_3d: np.ndarray,
    image_sizes: np.ndarray,
    source: str,
    views: list[Camera] | None = None,
    excluded: dict[str, int] | None = None,
) -> People:
    """Return the table; image ids number the distinct names in alphabetical order, from 1."""
    check_units(keypoints_3d, H36M, source)
    matches = [_NAME.match(PurePosixPath(name).name) for name in names]
    lens = {}
    if views is not None:
        lens = {
            "focal": [view.focal for view in views],
            "principal_point": [view.center for view in views],
            "distortion": [[*view.radial, *view.tangential] for view in views],
        }
    return People(
        skeleton=H36M,
        image_files=[images_dir / name for name in names],
        image_ids=np.unique(names, return_inverse=True)[1].reshape(-1) + 1,
        annotation_ids=np.arange(1, len(names) + 1),
        boxes_xywh=boxes,
        areas=BOX_AREA_SHARE * boxes[:, 2] * boxes[:, 3],
        keypoints_image=keypoints_image,
        visible=visible,
        image_sizes=image_sizes,
        keypoints_3d=keypoints_3d,
        actions=np.array([match["action"] for match in matches]) if all(matches) else None,
        **lens,
        source=source,
        excluded=excluded or {},
    )
