"""3DPW: films of people outdoors with 24 SMPL joints in 3D and moving cameras, one pickle a film.

Source: von Marcard et al. 2018, "Recovering Accurate 3D Human Pose in the Wild Using IMUs and a Moving
Camera", and the read-me of its release. The occluded part is that of Zhang et al. 2020, "Object-Occluded
Human Shape and Pose Estimation", by the names of its films.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.check_3d import check_units
from pctlib.data.containers import read_array_pickle
from pctlib.data.h36m import square_boxes
from pctlib.data.people import BOX_AREA_SHARE, People, concatenate
from pctlib.skeletons import SMPL

# Films of the occluded part: what their names begin with. It is drawn from all three splits.
OCCLUDED = (
    *("courtyard_backpack", "courtyard_basketball", "courtyard_bodyScannerMotions", "courtyard_box"),
    *("courtyard_golf", "courtyard_jacket", "courtyard_laceShoe", "downtown_stairs", "flat_guitar"),
    *("flat_packBags", "outdoors_climbing", "outdoors_crosscountry", "outdoors_fencing"),
    *("outdoors_freestyle", "outdoors_golf", "outdoors_parcours", "outdoors_slalom"),
)
_K = SMPL.num_keypoints
_MM_PER_METRE = 1000
_FIELDS = ("sequence", "jointPositions", "cam_poses", "cam_intrinsics", "campose_valid", "img_frame_ids")


def read_threedpw(folder: str | Path, images_dir: str | Path, *, occluded: bool = False) -> People:
    """Read all films of one split of 3DPW, one row a person and frame.

    The pickles are read as arrays only: one that asks for anything else is refused.

    Args:
        folder: sequenceFiles/train, .../validation or .../test; or sequenceFiles, for all films.
        images_dir: imageFiles, with a folder of image_00000.jpg a film.
        occluded: only the films of the occluded part, which is drawn from all splits.

    Returns:
        Rows in the order of films, persons, frames. `keypoints_3d` are the 24 joints of SMPL in the camera's
        frame, millimetres; `keypoints_image` is where they appear, all flagged 2, as the set does not say
        what is hidden; the box is the square of 1.2 x their bounds; `actions` are the names of the films.
        Frames whose camera was not aligned, and persons behind the camera, are counted in `excluded`.

    Raises:
        FileNotFoundError: if there is no film.
        ValueError: if a pickle is refused or damaged, or lacks a field; names file and field.
    """
    files = sorted(Path(folder).rglob("*.pkl"))
    if occluded:
        files = [file for file in files if file.name.startswith(OCCLUDED)]
    if not files:
        part = "of the occluded part " if occluded else ""
        raise FileNotFoundError(f"{folder}: no film {part}of 3DPW (*.pkl) is there")
    films = [_read_film(file, Path(images_dir), number) for number, file in enumerate(files)]
    parts = [people for people in films if len(people)]
    people = concatenate(parts) if len(parts) > 1 else (parts or films)[0]
    people.source = str(folder)
    people.excluded = {why: sum(film.excluded[why] for film in films) for why in films[0].excluded}
    return people


def _read_film(file: Path, images_dir: Path, number: int) -> People:
    """Return the usable frames of all persons of one film."""
    film = read_array_pickle(file)
    _check_fields(film, file)
    extrinsics = np.asarray(film["cam_poses"], np.float64)  # [F, 4, 4] world -> camera, metres
    intrinsics = np.asarray(film["cam_intrinsics"], np.float64)
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    frames, joints, lost = [], [], {"camera not aligned": 0, "behind the camera": 0}
    for person, positions in enumerate(film["jointPositions"]):
        world = np.asarray(positions, np.float64).reshape(-1, _K, 3)
        if len(world) != len(extrinsics):
            raise ValueError(
                f"{file}: jointPositions of person {person} have {len(world)} frames, cam_poses "
                f"{len(extrinsics)}"
            )
        camera = np.einsum("fij,fkj->fki", extrinsics[:, :3, :3], world) + extrinsics[:, None, :3, 3]
        valid = np.asarray(film["campose_valid"][person]).astype(bool)
        before = (camera[..., 2] > 0).all(1)
        lost["camera not aligned"] += int((~valid).sum())
        lost["behind the camera"] += int((valid & ~before).sum())
        kept = np.flatnonzero(valid & before)
        frames.append(kept)
        joints.append(_MM_PER_METRE * camera[kept])
    poses, rows = np.concatenate(joints), np.concatenate(frames)
    check_units(poses, SMPL, str(file))
    pixels = focal * poses[..., :2] / poses[..., 2:] + centre  # [N, 24, 2]
    return _table(file, images_dir, poses, pixels, rows, focal, centre, lost, number)


def _table(
    file: Path,
    images_dir: Path,
    poses: np.ndarray,
    pixels: np.ndarray,
    frames: np.ndarray,
    focal: np.ndarray,
    centre: np.ndarray,
    lost: dict[str, int],
    number: int,
) -> People:
    """Return the rows of one film; ids leave room for 100,000 rows a film."""
    N, first = len(poses), 100_000 * number
    boxes = square_boxes(pixels)
    return People(
        skeleton=SMPL,
        skeleton_3d=SMPL,
        image_files=[images_dir / file.stem / f"image_{frame:05d}.jpg" for frame in frames],
        image_ids=first + frames,
        annotation_ids=first + np.arange(N) + 1,
        boxes_xywh=boxes,
        areas=BOX_AREA_SHARE * boxes[:, 2] * boxes[:, 3],
        keypoints_image=pixels,
        visible=np.full((N, _K), 2),
        image_sizes=np.zeros((N, 2), np.int32),
        keypoints_3d=poses,
        actions=np.full(N, file.stem),
        focal=np.tile(focal, (N, 1)),
        principal_point=np.tile(centre, (N, 1)),
        source=str(file),
        excluded=lost,
    )


def _check_fields(film: Any, file: Path) -> None:
    if not isinstance(film, dict):
        raise ValueError(f"{file}: expected a dict of one film, got {type(film).__name__}")
    missing = [field for field in _FIELDS if field not in film]
    if missing:
        raise ValueError(f"{file}: field {missing[0]} is missing, it has {', '.join(map(str, film))}")
    shape = np.shape(film["cam_poses"])
    if len(shape) != 3 or shape[1:] != (4, 4):
        raise ValueError(f"{file}: cam_poses needs shape (frames, 4, 4), got {shape}")
    if len(film["campose_valid"]) != len(film["jointPositions"]):
        persons = f"{len(film['campose_valid'])} and {len(film['jointPositions'])}"
        raise ValueError(f"{file}: campose_valid and jointPositions need one entry a person, got {persons}")
