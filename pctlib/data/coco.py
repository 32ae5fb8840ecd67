"""The COCO keypoint format: COCO, COCO-WholeBody, and every set that is published in the same format.

Source: Lin et al. 2014, arXiv:1405.0312, https://cocodataset.org/#format-data; Jin et al. 2020,
arXiv:2007.11858.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pctlib.data.coco_format import EntryTable, image_rows, image_sizes, of_category, read_sections
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.io import write_json
from pctlib.skeletons import COCO, COCO_WHOLEBODY, Skeleton

# Fields of a COCO-WholeBody annotation, in the order of its 133 keypoints.
_WHOLEBODY_FIELDS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")


def read_coco(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    skeleton: Skeleton = COCO,
    category: str = "person",
    min_keypoints: int = 1,
    skip_invalid: bool = False,
) -> People:
    """Read persons from a COCO keypoint file.

    Crowd regions and persons with too few labelled keypoints are left out and counted in `People.excluded`.
    Boxes are clipped to [0, width - 1] x [0, height - 1] as mmpose does. Where a file has no `area`, it is
    the box area x 0.53.

    Args:
        annotation_file: JSON with the sections images, annotations and categories.
        image_dir: folder that `file_name` is relative to; None where there are no images.
        skeleton: the keypoints, in the order of the file.
        category: name of the category to be read.
        min_keypoints: persons with fewer labelled keypoints are left out.
        skip_invalid: leave out and count annotations whose box or area is empty or impossible, instead of
            refusing the file.

    Raises:
        FileNotFoundError: if file or folder is missing.
        ValueError: if the file is not such a file, or one of its entries is wrong; names file, annotation id,
            index in the file, field, expected and received.
    """
    return _read(annotation_file, image_dir, skeleton, category, min_keypoints, skip_invalid, ("keypoints",))


def read_coco_wholebody(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    min_keypoints: int = 1,
    skip_invalid: bool = False,
) -> People:
    """Read persons from a COCO-WholeBody file: 133 keypoints from its five fields.

    Face and hands carry a confidence in place of the visibility flag; above 0 they count as visible (2), as
    mmpose reads them. The `*_valid` flags are not looked at. All else as `read_coco`.
    """
    options = (COCO_WHOLEBODY, "person", min_keypoints, skip_invalid)
    return _read(annotation_file, image_dir, *options, _WHOLEBODY_FIELDS)


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
    category: str,
    min_keypoints: int,
    skip_invalid: bool,
    keypoint_fields: Sequence[str],
) -> People:
    """Read a file whose keypoints are spread over `keypoint_fields`."""
    if image_dir is not None and not Path(image_dir).is_dir():
        raise FileNotFoundError(f"no such folder of images: {image_dir}")
    content = read_sections(annotation_file)
    table = content.annotations
    if not len(table):
        raise ValueError(f"{annotation_file}: section 'annotations' is empty")
    table.keep(of_category(table, content.categories, category))
    excluded = {"crowd": table.keep(table.integers("iscrowd", default=0) == 0)}
    keypoints, visible = _keypoints(table, skeleton, keypoint_fields)
    enough = (visible > 0).sum(1) >= min_keypoints
    excluded["too few keypoints"] = table.keep(enough)
    keypoints, visible = keypoints[enough], visible[enough]
    rows = image_rows(table, content.images)
    sizes = image_sizes(content.images)[rows]
    boxes, areas = _boxes_and_areas(table, sizes)
    valid = _valid(table, boxes, areas, skip_invalid)
    if skip_invalid:
        excluded["invalid box or area"] = int((~valid).sum())
    people = People(
        skeleton=skeleton,
        image_files=_image_files(table, content.images, rows, image_dir),
        image_ids=table.integers("image_id"),
        annotation_ids=table.integers("id"),
        boxes_xywh=np.where(valid[:, None], boxes, 1.0),
        areas=np.where(valid, areas, 1.0),
        keypoints_image=keypoints,
        visible=visible,
        image_sizes=sizes,
        source=str(annotation_file),
        excluded=excluded,
    )
    return people if valid.all() else people.select(valid)


def _keypoints(table: EntryTable, skeleton: Skeleton, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints [N, K, 2] and flags [N, K]."""
    widths = dict.fromkeys(names, 3 * skeleton.num_keypoints)
    if len(names) > 1:
        widths = dict(zip(_WHOLEBODY_FIELDS, (3 * 17, 3 * 6, 3 * 68, 3 * 21, 3 * 21), strict=True))
    parts = [table.numbers(name, width).reshape(-1, width // 3, 3) for name, width in widths.items()]
    triples = np.concatenate(parts, axis=1)  # [N, K, 3]
    flags = triples[..., 2]
    if skeleton is COCO_WHOLEBODY:
        flags[:, 23:] = np.where(flags[:, 23:] > 0, 2, 0)
    wrong = ~np.isin(flags, (0, 1, 2))
    if wrong.any():
        row, keypoint = (int(v[0]) for v in np.nonzero(wrong))
        where = f"visibility of keypoint {keypoint} ({skeleton.keypoint_names[keypoint]})"
        raise table.error(row, f"{where} must be 0, 1 or 2, got {flags[row, keypoint]:g}")
    return triples[..., :2].astype(np.float32), flags.astype(np.uint8)


def _image_files(
    table: EntryTable, images: EntryTable, rows: np.ndarray, image_dir: str | Path | None
) -> list[Path]:
    """Return the image file of each annotation."""
    if image_dir is None:
        return [Path()] * len(rows)
    names = [images.entries[row].get("file_name") for row in rows]
    for row, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise table.error(row, f"its image has no file_name, got {name!r}")
    return [Path(image_dir) / name for name in names]


def _boxes_and_areas(table: EntryTable, image_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes [N, 4], clipped to their image, and areas [N]; an empty box has no positive extent."""
    x, y, w, h = table.numbers("bbox", 4).T
    known = (image_sizes > 0).all(1)
    right, bottom = (np.where(known, image_sizes[:, axis] - 1, np.inf) for axis in (1, 0))
    x1, y1 = (np.where(known, np.maximum(low, 0), low) for low in (x, y))
    boxes = np.stack([x1, y1, np.minimum(x + w, right) - x1, np.minimum(y + h, bottom) - y1], axis=1)
    boxes[(w <= 0) | (h <= 0), 2:] = 0
    areas = w * h * BOX_AREA_SHARE
    for row, entry in enumerate(table.entries):
        if "area" in entry:
            if not isinstance(entry["area"], int | float):
                raise table.error(row, f"field 'area' must be a number, got {entry['area']!r}")
            areas[row] = entry["area"]
    return boxes, areas


def _valid(table: EntryTable, boxes: np.ndarray, areas: np.ndarray, skip_invalid: bool) -> np.ndarray:
    """Return the mask [N] of usable rows; refuse the file unless bad ones may be skipped."""
    good_box, good_area = (boxes[:, 2:] > 0).all(1), areas > 0
    valid = good_box & good_area
    if not valid.all() and not skip_invalid:
        row = int(np.flatnonzero(~valid)[0])
        entry = table.entries[row]
        problem = f"area must be above 0, got {areas[row]:g}"
        if not good_box[row]:
            problem = f"bbox {entry['bbox']} has no extent inside its image"
        raise table.error(
            row, f"{problem}; skip_invalid=True, in a profile skip_broken: true, would leave it out"
        )
    return valid
