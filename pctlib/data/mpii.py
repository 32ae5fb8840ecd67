"""MPII Human Pose in its three layouts: the Matlab release, the JSON of SimpleBaseline and HRNet, and HDF5.

All three hold Matlab's 1-based pixels, a rough centre and a scale (person height / 200 px) instead of a box.
They differ in what they call visible and in whether centre and scale have been widened already; see each
reader.

Source: Andriluka et al. 2014, "2D Human Pose Estimation: New Benchmark and State of the Art Analysis"; centre
shift and box as SimpleBaseline (Xiao et al. 2018, arXiv:1804.06208) and HRNet use them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.containers import read_hdf5_fields, read_matlab
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.io import existing_file, read_json
from pctlib.skeletons import MPII

_K = MPII.num_keypoints
_PIXELS_PER_SCALE = 200  # scale 1 is a person of 200 px
_CENTER_SHIFT = 15  # px per scale by which the centre is moved down, so that the feet stay in the box
_ENLARGED = 1.25  # factor already in the scale of the HDF5 files; the crop pads by the same factor


@dataclass(frozen=True)
class _Table:
    """What every layout holds, in Matlab's 1-based pixels.

    Attributes:
        image_names: N file names.
        centers: [N, 2] rough person centre, already moved down.
        scales: [N] official scale, not enlarged.
        keypoints: [N, K, 2]; anything where unlabelled.
        visible: [N, K] COCO flag.
    """

    image_names: list[str]
    centers: np.ndarray
    scales: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray


def read_mpii(annotations: str | Path, images_dir: str | Path, *, split: str | None = None) -> People:
    """Read MPII from any of its layouts, known by the ending of the file: .mat, .json or .h5.

    Args:
        annotations: the file.
        images_dir: folder of the images.
        split: "trainval" or "test" for the Matlab release, which holds both; None for the others, one split a
            file.

    Returns:
        One row a person with a centre and a scale, in the order of the file; keypoints from 0. The box is the
        square of side 200 x scale around the centre moved down by 15 x scale; padded by 1.25 it is the crop
        of HRNet. Image ids are the numbers in the file names, annotation ids the rows, from 1. Areas are box
        areas x 0.53.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the ending is unknown or the content is not of that layout; names file, person and
            field.
    """
    annotations = existing_file(annotations)
    readers: dict[str, Callable[[], tuple[_Table, dict[str, int]]]] = {
        ".mat": lambda: _read_release(annotations, split),
        ".json": lambda: _read_json(annotations),
        ".h5": lambda: _read_hdf5(annotations),
    }
    if annotations.suffix not in readers:
        raise ValueError(f"{annotations}: expected a file ending in {', '.join(readers)}")
    if (split is not None) != (annotations.suffix == ".mat"):
        raise ValueError(
            f"{annotations}: split is 'trainval' or 'test' for .mat, None for .json and .h5, got {split!r}"
        )
    table, excluded = readers[annotations.suffix]()
    return _people(table, Path(images_dir), str(annotations), excluded)


def _people(table: _Table, images_dir: Path, source: str, excluded: dict[str, int]) -> People:
    """Return the table with boxes, from 0, unlabelled keypoints at (0, 0)."""
    sides = _PIXELS_PER_SCALE * table.scales[:, None]  # [N, 1]
    boxes = np.concatenate([table.centers - 1 - sides / 2, sides, sides], axis=1)  # [N, 4]
    labelled = table.visible > 0
    N = len(boxes)
    return People(
        skeleton=MPII,
        image_files=[images_dir / name for name in table.image_names],
        image_ids=np.array([_image_id(name, source) for name in table.image_names], np.int64),
        annotation_ids=np.arange(1, N + 1),
        boxes_xywh=boxes,
        areas=BOX_AREA_SHARE * boxes[:, 2] * boxes[:, 3],
        keypoints_image=np.where(labelled[..., None], table.keypoints - 1, 0.0),
        visible=table.visible,
        image_sizes=np.zeros((N, 2), np.int32),
        source=source,
        excluded=excluded,
    )


def _image_id(name: str, source: str) -> int:
    stem = Path(name).stem
    if not stem.isdigit():
        raise ValueError(f"{source}: image name {name!r} is not a number, as MPII's are")
    return int(stem)


def _read_hdf5(path: Path) -> tuple[_Table, dict[str, int]]:
    """Read the HDF5 of the stacked hourglass code (Newell et al. 2016, arXiv:1603.06937).

    Its centre is moved down and its scale enlarged by 1.25 already; a joint is unlabelled where x = y = 0,
    and `visible` 0 is hidden or unlabelled.
    """
    fields = read_hdf5_fields(path, ("imgname", "center", "scale", "part", "visible"))
    N = len(fields["imgname"])
    for name, shape in {"center": (N, 2), "scale": (N,), "part": (N, _K, 2), "visible": (N, _K)}.items():
        if fields[name].shape != shape:
            raise ValueError(f"{path}: field {name} needs shape {shape}, got {fields[name].shape}")
    annotated = (fields["part"] != 0).any(-1)
    visible = np.where(annotated, np.where(fields["visible"] > 0, 2, 1), 0)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in fields["imgname"]]
    return _Table(names, fields["center"], fields["scale"] / _ENLARGED, fields["part"], visible), {}


def _read_json(path: Path) -> tuple[_Table, dict[str, int]]:
    """Read the JSON of SimpleBaseline and HRNet.

    `joints_vis` means annotated; whether a joint is hidden is not in the file, so annotated joints get flag
    2. Centre and scale are the official ones; a test file has no joints.
    """
    people = read_json(path)
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise ValueError(f"{path}: expected a list of persons, each with image, center and scale")
    kept, excluded = [], 0
    for index, person in enumerate(people):
        for name in ("image", "center", "scale"):
            if name not in person:
                raise ValueError(f"{path}: person {index} has no field {name}")
        center, scale = (_numbers(person[name]) for name in ("center", "scale"))
        if not isinstance(person["image"], str) or center.shape != (2,) or scale.shape != ():
            raise ValueError(
                f"{path}: person {index} needs image, a text, center, two numbers, and scale, a number; got "
                f"{person['image']!r}, {person['center']!r} and {person['scale']!r}"
            )
        if center[0] == -1 or scale <= 0:  # as HRNet's reader marks it
            excluded += 1
        else:
            kept.append((index, person))
    scales = np.array([person["scale"] for _, person in kept], np.float64)
    centers = np.array([person["center"] for _, person in kept], np.float64).reshape(len(kept), 2)
    centers[:, 1] += _CENTER_SHIFT * scales
    keypoints, visible = _json_joints(path, kept)
    table = _Table([person["image"] for _, person in kept], centers, scales, keypoints, visible)
    return table, {"no centre or scale": excluded} if excluded else {}


def _json_joints(path: Path, people: list[tuple[int, dict[str, Any]]]) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints [N, K, 2] and COCO flags [N, K]; all unlabelled for a test file."""
    keypoints, visible = np.zeros((len(people), _K, 2)), np.zeros((len(people), _K), np.uint8)
    if not any("joints" in person for _, person in people):
        return keypoints, visible
    for row, (index, person) in enumerate(people):
        joints, annotated = (_numbers(person.get(name)) for name in ("joints", "joints_vis"))
        if joints.shape != (_K, 2) or annotated.shape != (_K,):
            raise ValueError(
                f"{path}: person {index} needs joints {(_K, 2)} and joints_vis {(_K,)}, "
                f"got {joints.shape} and {annotated.shape}"
            )
        keypoints[row], visible[row] = joints, np.where(annotated > 0, 2, 0)
    return keypoints, visible


def _numbers(value: Any) -> np.ndarray:
    """Return the numbers of a JSON value; of no shape that is expected where it holds anything else."""
    try:
        return np.array(value, float)
    except (TypeError, ValueError):
        return np.full(0, np.nan)


def _read_release(path: Path, split: str) -> tuple[_Table, dict[str, int]]:
    """Read the Matlab release; head top and neck have no `is_visible` there and count as visible."""
    rows, excluded = [], {"no centre or scale": 0, "no joints": 0}
    for name, rect in _release_people(path, split):
        if not (_has(rect, "scale") and _has(rect, "objpos")):
            excluded["no centre or scale"] += 1
        elif split == "trainval" and not _has(rect, "annopoints"):
            excluded["no joints"] += 1
        else:
            rows.append((name, rect))
    keypoints, visible = np.zeros((len(rows), _K, 2)), np.zeros((len(rows), _K), np.uint8)
    for row, (name, rect) in enumerate(rows):
        for point in _points(rect):
            if not 0 <= int(point.id) < _K:
                raise ValueError(f"{path}: a person of {name} has a joint with id {point.id}, expected 0..15")
            keypoints[row, int(point.id)] = point.x, point.y
            hidden = _has(point, "is_visible") and int(point.is_visible) == 0
            visible[row, int(point.id)] = 1 if hidden else 2
    scales = np.array([float(rect.scale) for _, rect in rows])
    centers = np.array([(rect.objpos.x, rect.objpos.y) for _, rect in rows], float).reshape(len(rows), 2)
    centers[:, 1] += _CENTER_SHIFT * scales
    table = _Table([name for name, _ in rows], centers, scales, keypoints, visible)
    return table, {why: count for why, count in excluded.items() if count}


def _release_people(path: Path, split: str) -> Iterator[tuple[str, Any]]:
    """Yield the image name and the `annorect` of every person of a split."""
    if split not in ("trainval", "test"):
        raise ValueError(f"{path}: split must be 'trainval' or 'test', got {split!r}")
    release = read_matlab(path, "RELEASE")
    is_training = np.atleast_1d(release.img_train)
    annolist = np.atleast_1d(release.annolist)
    if len(is_training) != len(annolist):
        raise ValueError(f"{path}: img_train has {len(is_training)} entries, annolist {len(annolist)}")
    for image, training in zip(annolist, is_training, strict=True):
        if bool(training) == (split == "trainval"):
            for rect in np.atleast_1d(image.annorect):
                yield str(image.image.name), rect


def _has(struct: Any, name: str) -> bool:
    """Return whether a Matlab struct has a field that is not empty."""
    value = getattr(struct, name, None)
    return value is not None and not (isinstance(value, (np.ndarray, str)) and len(value) == 0)


def _points(rect: Any) -> np.ndarray:
    return np.atleast_1d(rect.annopoints.point) if _has(rect, "annopoints") else np.array([])
