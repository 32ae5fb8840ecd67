"""Annotation and results files in COCO's JSON layout, as arrays; faults are named by file and entry."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pctlib import io
from pctlib.metrics.matching import MAX_PER_IMAGE, Detections, GroundTruth, extent_areas

Results = str | Path | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class AnnotationFile:
    """A COCO annotation file after a look at its structure.

    Attributes:
        source: its path, for messages.
        images: one dict an image, ids unique.
        annotations: one dict a person, ids unique, each of a listed image.
        category: id of the only category annotated; None if nothing is.
    """

    source: str
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    category: int | None


def read_annotations(path: str | Path) -> AnnotationFile:
    """Read a COCO annotation file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, lacks a field, repeats an id, names an unknown image or annotates more
            than one category; names the entry.
    """
    content = io.read_json(path)
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f"{path}: expected a COCO annotation file, an object with a list {name!r}")
    images, annotations = content["images"], content["annotations"]
    image_ids = _unique_ids(images, f"{path}, image")
    _unique_ids(annotations, f"{path}, annotation")
    image_of = _values(annotations, "image_id", f"{path}, annotation")
    _refuse_unknown_images(image_of, image_ids, f"{path}, annotation")
    categories = sorted(set(_integers(annotations, "category_id", 1, f"{path}, annotation")))
    if len(categories) > 1:
        raise ValueError(
            f"{path}: expected one annotated category (persons), got category_id {categories[:5]}"
        )
    return AnnotationFile(str(path), images, annotations, categories[0] if categories else None)


def ground_truth(
    file: AnnotationFile, *, fields: Mapping[str, int], box_fill: float | None = None
) -> GroundTruth:
    """Turn annotations into arrays.

    Args:
        file: the annotations.
        fields: keypoint fields in order, with the number of keypoints in each; also taken if all keypoints
            stand in the first field.
        box_fill: areas are this share of the box; None takes the field `area`.

    Returns:
        The persons. Crowd regions and persons with `num_keypoints` 0 (without the field: without a labelled
        keypoint) are ignored.

    Raises:
        ValueError: if a field is missing, of wrong length or not a finite number; names the entry.
    """
    entries, where = file.annotations, f"{file.source}, annotation"
    triplets = _keypoint_array(entries, fields, where)
    boxes = _array(entries, "bbox", 4, where)
    areas = _array(entries, "area", None, where) if box_fill is None else boxes[:, 2:].prod(1) * box_fill
    crowd = np.array(_integers(entries, "iscrowd", 0, where), dtype=bool)
    labelled = (triplets[..., 2] > 0).sum(axis=1)
    num = np.array(_integers(entries, "num_keypoints", -1, where), dtype=np.int64)
    return GroundTruth(
        image_ids=np.array([image["id"] for image in file.images], dtype=np.int64),
        person_image_ids=np.array([entry["image_id"] for entry in entries], dtype=np.int64),
        keypoints=triplets[..., :2],
        visible=triplets[..., 2],
        areas=areas,
        boxes_xywh=boxes,
        crowd=crowd,
        ignored=crowd | (np.where(num < 0, labelled, num) == 0),
        annotation_ids=np.array([entry["id"] for entry in entries], dtype=np.int64),
    )


def read_results(results: Results) -> tuple[str, list[dict[str, Any]]]:
    """Return a name for messages and the entries of a results file, or of results in memory.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON or not a list of objects.
    """
    source = str(results) if isinstance(results, str | Path) else "results"
    entries = io.read_json(results) if isinstance(results, str | Path) else results
    if isinstance(entries, dict) or not isinstance(entries, Sequence):
        raise ValueError(f"{source}: expected a list of results, got {type(entries).__name__}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise ValueError(f"{source}, entry {index}: expected an object, got {type(entry).__name__}")
    return source, list(entries)


def detections(
    results: Results, file: AnnotationFile, *, fields: Mapping[str, int]
) -> tuple[Detections, list[dict[str, Any]]]:
    """Turn results into arrays.

    The area of a detection is that of its `bbox` if the first result has one, else the extent of the
    keypoints of the first field, as pycocotools' `loadRes` has it.

    Args:
        results: path of a results file, or its list.
        file: the annotations they belong to.
        fields: as in `ground_truth`.

    Returns:
        The persons, and the entries they were made from.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a result names an image or category that is not annotated, lacks a field, has a wrong
            number of keypoints or a number that is not finite; names the entry.
    """
    source, entries = read_results(results)
    where = f"{source}, result"
    image_ids = _values(entries, "image_id", where)
    _refuse_unknown_images(image_ids, {image["id"] for image in file.images}, where)
    for index, entry in enumerate(entries):
        if file.category is not None and entry.get("category_id", file.category) != file.category:
            got = entry["category_id"]
            raise ValueError(f"{where} {index}: category_id is {got}, expected {file.category} as annotated")
    triplets = _keypoint_array(entries, fields, where)
    if entries and entries[0].get("bbox"):
        areas = _array(entries, "bbox", 4, where)[:, 2:].prod(axis=1)
    else:
        areas = extent_areas(triplets[:, : next(iter(fields.values())), :2])
    arrays = Detections(
        image_ids=np.array(image_ids, dtype=np.int64),
        keypoints=triplets[..., :2],
        confidences=triplets[..., 2],
        scores=_array(entries, "score", None, where),
        areas=areas,
    )
    return arrays, entries


def count_inputs(truth: GroundTruth, found: Detections) -> dict[str, int]:
    """Return in words how many persons and results there are and how many count for nothing by protocol."""
    per_image = Counter(found.image_ids.tolist())
    return {
        "images": len(truth.image_ids),
        "images without a result": len(truth.image_ids) - len(per_image),
        "annotated persons scored": int((~truth.ignored).sum()),
        "crowd regions ignored": int(truth.crowd.sum()),
        "persons without keypoints ignored": int((truth.ignored & ~truth.crowd).sum()),
        "results": len(found.scores),
        f"results beyond the best {MAX_PER_IMAGE} of their image left out": sum(
            max(0, count - MAX_PER_IMAGE) for count in per_image.values()
        ),
    }


def _values(entries: Iterable[Mapping[str, Any]], field: str, where: str) -> list[Any]:
    """Return one field of all entries."""
    values = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} {index}: expected an object, got {type(entry).__name__}")
        if field not in entry:
            raise ValueError(f"{where} {index}{_named(entry)}: has no field {field!r}")
        values.append(entry[field])
    return values


def _integers(entries: Iterable[Mapping[str, Any]], field: str, default: int, where: str) -> list[int]:
    """Return one field of all entries, which must be whole numbers; the default where it is missing."""
    values = [entry.get(field, default) for entry in entries]
    for index, value in enumerate(values):
        if not isinstance(value, int | float) or value != int(value):
            raise ValueError(f"{where} {index}: {field} is {value!r}, expected a whole number")
    return [int(value) for value in values]


def _named(entry: Mapping[str, Any]) -> str:
    """Return " (id ...)" for an entry that has an id."""
    return f" (id {entry['id']})" if "id" in entry else ""


def _unique_ids(entries: list[dict[str, Any]], where: str) -> set[int]:
    """Return the ids of the entries, which must be whole numbers and differ."""
    first_at: dict[int, int] = {}
    for index, value in enumerate(_values(entries, "id", where)):
        if not isinstance(value, int):
            raise ValueError(f"{where} {index}: id is {value!r}, expected a whole number")
        if first_at.setdefault(value, index) != index:
            raise ValueError(f"{where} {index}: id {value} is already that of entry {first_at[value]}")
    return set(first_at)


def _refuse_unknown_images(image_ids: list[Any], known: set[int], where: str) -> None:
    """Raise if an entry names an image that is not listed."""
    for index, image_id in enumerate(image_ids):
        if not isinstance(image_id, int) or image_id not in known:
            raise ValueError(
                f"{where} {index}: image_id {image_id!r} is not among the {len(known)} annotated images"
            )


def _array(entries: Sequence[Mapping[str, Any]], field: str, length: int | None, where: str) -> np.ndarray:
    """Return one numeric field of all entries, [N] or [N, length], float64 and finite."""
    values = _values(entries, field, where)
    shape = () if length is None else (length,)
    try:
        array = np.array(values, dtype=np.float64).reshape(len(values), *shape)
    except (TypeError, ValueError):
        array = None
    if array is not None and np.isfinite(array).all():
        return array
    for index, (entry, value) in enumerate(zip(entries, values, strict=True)):  # only to find the fault
        place = f"{where} {index}{_named(entry)}: {field}"
        if length is not None and (not isinstance(value, Sequence) or len(value) != length):
            got = len(value) if isinstance(value, Sequence) else type(value).__name__
            raise ValueError(f"{place} has {got} numbers, expected {length}")
        _refuse_odd_numbers([value] if length is None else value, place)
    raise ValueError(f"{where}: {field} does not have {length or 'one'} numbers in every entry")


def _refuse_odd_numbers(values: Sequence[Any], place: str) -> None:
    """Raise if a value is not a finite number."""
    for position, value in enumerate(values):
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise ValueError(f"{place}[{position}] is {value!r}, expected a finite number")


def _keypoint_array(
    entries: Sequence[Mapping[str, Any]], fields: Mapping[str, int], where: str
) -> np.ndarray:
    """Return x, y and the third number of all keypoints, [N, K, 3]."""
    first, total = next(iter(fields)), sum(fields.values())
    joined = len(fields) > 1 and entries and len(entries[0].get(first) or ()) == 3 * total
    parts = {first: total} if joined else fields
    columns = [_array(entries, name, 3 * count, where).reshape(-1, count, 3) for name, count in parts.items()]
    return np.concatenate(columns, axis=1)
