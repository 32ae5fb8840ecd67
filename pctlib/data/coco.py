"""The COCO keypoint format: COCO, COCO-WholeBody, and every set that is published in the same format.

Source: Lin et al. 2014, arXiv:1405.0312, https://cocodataset.org/#format-data; Jin et al. 2020,
arXiv:2007.11858.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pctlib.data.box_formats import odd_boxes
from pctlib.data.coco_format import EntryTable, clip_boxes, image_rows, image_sizes
from pctlib.data.coco_persons import (
    OTHER_CATEGORIES,
    WITHOUT_KEYPOINTS,
    Persons,
    read_annotations,
    read_persons,
)
from pctlib.data.image_names import ImageFolder, can_be_name
from pctlib.data.images import image_size
from pctlib.data.people import People
from pctlib.io import write_json
from pctlib.skeletons import COCO, COCO_WHOLEBODY, Skeleton

WHOLEBODY_FIELDS = {
    "keypoints": 17,
    "foot_kpts": 6,
    "face_kpts": 68,
    "lefthand_kpts": 21,
    "righthand_kpts": 21,
}
"""Fields of a COCO-WholeBody annotation with their numbers of keypoints, in the order of its 133."""


def read_coco(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    skeleton: Skeleton = COCO,
    category: str | None = None,
    min_keypoints: int = 1,
    skip_invalid: bool = False,
) -> People:
    """Read persons from a COCO keypoint file.

    Which annotations are persons, and what a missing field means, is said at `read_annotations` and
    `read_persons`. Crowd regions, persons with a box alone and persons with too few labelled keypoints are
    left out and counted in `People.excluded`. Boxes are clipped to [0, width - 1] x [0, height - 1] as mmpose
    does. Names of images are read as `ImageFolder` says, and sizes that the file does not give are read from
    the images.

    Args:
        annotation_file: JSON with the sections images, annotations and categories.
        image_dir: folder that `file_name` is relative to; None where there are no images.
        skeleton: the keypoints, in the order of the file.
        category: name of the category to be read; None: the rule of `read_annotations`.
        min_keypoints: persons with fewer labelled keypoints are left out.
        skip_invalid: leave out and count annotations whose box or area is empty or impossible, instead of
            refusing the file.

    Raises:
        FileNotFoundError: if file or folder is missing.
        ValueError: if the file is not such a file, or one of its entries is wrong; names file, annotation id,
            index in the file, field, expected and received.
    """
    fields = {"keypoints": skeleton.num_keypoints}
    return _read(annotation_file, image_dir, skeleton, category, min_keypoints, skip_invalid, fields)


def read_coco_wholebody(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    category: str | None = None,
    min_keypoints: int = 1,
    skip_invalid: bool = False,
) -> People:
    """Read persons from a COCO-WholeBody file: 133 keypoints from its five fields.

    Face and hands carry a confidence in place of the visibility flag; above 0 they count as visible (2), as
    mmpose reads them. The `*_valid` flags are not looked at. All else as `read_coco`.
    """
    options = (COCO_WHOLEBODY, category, min_keypoints, skip_invalid)
    return _read(annotation_file, image_dir, *options, WHOLEBODY_FIELDS)


def write_coco(people: People, path: str | Path, *, image_dir: str | Path | None = None) -> Path:
    """Write people as a COCO keypoint file, numbers to 4 decimals.

    Args:
        people: any skeleton; its names and limbs become the category.
        path: the file, written atomically.
        image_dir: folder that the `file_name` entries shall be relative to; None leaves them as they are.

    Raises:
        ValueError: if an image file does not lie in `image_dir`.
    """
    _, first = np.unique(people.image_ids, return_index=True)
    images = [
        {
            "id": int(people.image_ids[row]),
            "file_name": _relative(people.image_files[row], image_dir),
            "height": int(people.image_sizes[row, 0]),
            "width": int(people.image_sizes[row, 1]),
        }
        for row in first
    ]
    flags = people.visible[..., None].astype(np.float64)  # [N, K, 1]
    triples = np.concatenate([people.keypoints_image.astype(np.float64).round(4), flags], axis=-1)
    columns = {
        "id": people.annotation_ids.tolist(),
        "image_id": people.image_ids.tolist(),
        "bbox": people.boxes_xywh.astype(np.float64).round(4).tolist(),
        "area": people.areas.astype(np.float64).round(4).tolist(),
        "keypoints": triples.reshape(len(people), -1).tolist(),
        "num_keypoints": people.labelled.sum(1).tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    skeleton = people.skeleton
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.keypoint_names),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }
    content = {
        "images": images,
        "annotations": [
            {**dict(zip(columns, row, strict=True)), "category_id": 1, "iscrowd": 0} for row in rows
        ],
        "categories": [category],
    }
    return write_json(path, content, indent=None)


def _relative(file: Path, image_dir: str | Path | None) -> str:
    """Return the `file_name` entry of an image; empty where there is no image."""
    if file == Path():
        return ""
    return (file if image_dir is None else file.relative_to(image_dir)).as_posix()


def _read(
    annotation_file: str | Path,
    image_dir: str | Path | None,
    skeleton: Skeleton,
    category: str | None,
    min_keypoints: int,
    skip_invalid: bool,
    fields: Mapping[str, int],
) -> People:
    """Read a file whose keypoints are spread over `fields`."""
    if image_dir is not None and not Path(image_dir).is_dir():
        raise FileNotFoundError(f"no such folder of images: {image_dir}")
    K = 0 if len(fields) > 1 else skeleton.num_keypoints
    file = read_annotations(annotation_file, category=category, num_keypoints=K)
    if not len(file.annotations) and not file.left_out:
        raise ValueError(f"{annotation_file}: section 'annotations' is empty")
    persons = read_persons(file, fields)
    excluded = {OTHER_CATEGORIES: file.left_out} if file.left_out else {}
    excluded["crowd"] = persons.keep(~persons.crowd)
    alone = persons.keep(~persons.without_keypoints) if min_keypoints else 0
    excluded |= {WITHOUT_KEYPOINTS: alone} if alone else {}
    visible = _flags(persons.table, persons.triples[..., 2], skeleton)
    enough = (visible > 0).sum(1) >= min_keypoints
    excluded["too few keypoints"] = persons.keep(enough)
    table, images = persons.table, file.images
    rows = image_rows(table, images)
    files = image_files(table, images, rows, image_dir)
    sizes = known_sizes(image_sizes(images)[rows], files)
    boxes = clip_boxes(persons.boxes_xywh, sizes)
    valid = _valid(table, boxes, persons, sizes, skip_invalid)
    if skip_invalid:
        excluded["invalid box or area"] = int((~valid).sum())
    people = People(
        skeleton=skeleton,
        image_files=files,
        image_ids=table.integers("image_id"),
        annotation_ids=table.integers("id"),
        boxes_xywh=np.where(valid[:, None], boxes, 1.0),
        areas=np.where(valid, persons.areas, 1.0),
        keypoints_image=persons.triples[..., :2],
        visible=visible[enough],
        image_sizes=sizes,
        source=str(annotation_file),
        excluded=excluded,
        notes=persons.notes | odd_boxes(persons.triples, persons.boxes_xywh, sizes),
        category_id=1 if file.category is None else file.category,
    )
    return people if valid.all() else people.select(valid)


def _flags(table: EntryTable, flags: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the visibility of keypoints, uint8 [N, K]."""
    if skeleton is COCO_WHOLEBODY:
        flags = np.concatenate([flags[:, :23], np.where(flags[:, 23:] > 0, 2, 0)], axis=1)
    wrong = ~np.isin(flags, (0, 1, 2))
    if wrong.any():
        row, keypoint = (int(v[0]) for v in np.nonzero(wrong))
        where = f"visibility of keypoint {keypoint} ({skeleton.keypoint_names[keypoint]})"
        raise table.error(row, f"{where} must be 0, 1 or 2, got {flags[row, keypoint]:g}")
    return flags.astype(np.uint8)


def image_files(
    table: EntryTable, images: EntryTable, rows: np.ndarray, image_dir: str | Path | None
) -> list[Path]:
    """Return the image file of each annotation or detection; empty paths where there is no folder.

    Args:
        table: the N annotations, for messages.
        images: section `images`.
        rows: int [N], the image of each annotation, as `image_rows` gives it.
        image_dir: folder that `file_name` is relative to, or None.

    Raises:
        ValueError: if an image has no file name, or one that no file can have; names the annotation.
    """
    if image_dir is None:
        return [Path()] * len(rows)
    folder, files = ImageFolder(image_dir), {}
    for row, image in enumerate(rows.tolist()):
        name = images.entries[image].get("file_name")
        if not isinstance(name, str) or not name:
            raise table.error(row, f"its image has no file_name, got {name!r}")
        if not can_be_name(name):
            raise table.error(row, f"its image has the file_name {name[:80]!a}, which no file can have")
        if image not in files:
            files[image] = folder.find(name)
    return [files[image] for image in rows.tolist()]


def known_sizes(said: np.ndarray, files: list[Path]) -> np.ndarray:
    """Return the sizes [N, 2] (height, width) of images, from the images where `said` has a 0."""
    sizes, read = said.copy(), {}
    for row in np.flatnonzero((said == 0).any(1)):
        file = files[row]
        if file != Path() and file not in read:
            try:
                read[file] = image_size(file)
            except (OSError, ValueError):  # missing or no image: said where it is needed
                read[file] = said[row]
        sizes[row] = read.get(file, said[row])
    return sizes


def _valid(
    table: EntryTable, boxes: np.ndarray, persons: Persons, sizes: np.ndarray, skip_invalid: bool
) -> np.ndarray:
    """Return the mask [N] of usable rows; refuse the file unless bad ones may be skipped."""
    good_box, good_area = (boxes[:, 2:] > 0).all(1), persons.areas > 0
    valid = good_box & good_area
    if not valid.all() and not skip_invalid:
        row = int(np.flatnonzero(~valid)[0])
        problem = f"area must be above 0, got {persons.areas[row]:g}"
        if not good_box[row]:
            problem = f"bbox {table.entries[row]['bbox']} has no extent inside its image"
            turned = (
                clip_boxes(persons.boxes_xywh[row : row + 1], sizes[row : row + 1, ::-1])[:, 2:] > 0
            ).all()
            if turned and sizes[row].all():
                problem += (
                    f" of {sizes[row].tolist()} (height, width): width and height look exchanged (as in "
                    "CrowdPose's files before March 2021)"
                )
        raise table.error(
            row,
            f"{problem}; skip_invalid=True, on the command line --skip-broken, in a profile "
            "skip_broken: true, would leave it out",
        )
    return valid
