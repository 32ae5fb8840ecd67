"""Annotation and results files in COCO's JSON layout, as arrays; faults are named by file and entry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pctlib import io
from pctlib.data.coco_format import EntryTable, image_rows, read_sections
from pctlib.metrics.matching import MAX_PER_IMAGE, Detections, GroundTruth, extent_areas

Results = str | Path | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class AnnotationFile:
    """A COCO annotation file after a look at its structure.

    Attributes:
        images: its images, ids unique.
        annotations: one entry a person, ids unique, each of a listed image.
        category: id of the only category annotated; None if nothing is.
    """

    images: EntryTable
    annotations: EntryTable
    category: int | None


def read_annotations(path: str | Path) -> AnnotationFile:
    """Read a COCO annotation file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, lacks a field, repeats an id, names an unknown image or annotates more
            than one category; names the entry.
    """
    content = read_sections(path)
    image_rows(content.annotations, content.images)
    categories = np.unique(content.annotations.integers("category_id", default=1)).tolist()
    if len(categories) > 1:
        raise ValueError(
            f"{path}: expected one annotated category (persons), got category_id {categories[:5]}"
        )
    return AnnotationFile(content.images, content.annotations, categories[0] if categories else None)


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
    table = file.annotations
    triplets = _keypoint_array(table, fields)
    boxes = table.numbers("bbox", 4)
    areas = table.numbers("area") if box_fill is None else boxes[:, 2:].prod(1) * box_fill
    crowd = table.integers("iscrowd", default=0).astype(bool)
    labelled = (triplets[..., 2] > 0).sum(axis=1)
    num = table.integers("num_keypoints", default=-1)
    return GroundTruth(
        image_ids=file.images.integers("id"),
        person_image_ids=table.integers("image_id"),
        keypoints=triplets[..., :2],
        visible=triplets[..., 2],
        areas=areas,
        boxes_xywh=boxes,
        crowd=crowd,
        ignored=crowd | (np.where(num < 0, labelled, num) == 0),
        annotation_ids=table.integers("id"),
    )


def read_results(results: Results) -> EntryTable:
    """Return the entries of a results file, or of results in memory.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON or not a list of objects.
    """
    source = str(results) if isinstance(results, str | Path) else "results"
    entries = io.read_json(results) if isinstance(results, str | Path) else results
    if isinstance(entries, dict) or not isinstance(entries, Sequence):
        raise ValueError(f"{source}: expected a list of results, got {type(entries).__name__}")
    return EntryTable(source, entries, "result", with_ids=False)


def detections(
    results: Results, file: AnnotationFile, *, fields: Mapping[str, int]
) -> tuple[Detections, EntryTable]:
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
    table = read_results(results)
    image_rows(table, file.images)
    if file.category is not None:
        categories = table.integers("category_id", default=file.category)
        for row in np.flatnonzero(categories != file.category)[:1]:
            got = f"category_id is {categories[row]}, expected {file.category} as annotated"
            raise table.error(int(row), got)
    triplets = _keypoint_array(table, fields)
    if len(table) and table.entries[0].get("bbox"):
        areas = table.numbers("bbox", 4)[:, 2:].prod(axis=1)
    else:
        areas = extent_areas(triplets[:, : next(iter(fields.values())), :2])
    arrays = Detections(
        image_ids=table.integers("image_id"),
        keypoints=triplets[..., :2],
        confidences=triplets[..., 2],
        scores=table.numbers("score"),
        areas=areas,
    )
    return arrays, table


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


def _keypoint_array(table: EntryTable, fields: Mapping[str, int]) -> np.ndarray:
    """Return x, y and the third number of all keypoints, [N, K, 3]."""
    first, total = next(iter(fields)), sum(fields.values())
    joined = len(fields) > 1 and len(table) and len(table.entries[0].get(first) or ()) == 3 * total
    parts = {first: total} if joined else fields
    columns = [table.numbers(name, 3 * count).reshape(-1, count, 3) for name, count in parts.items()]
    return np.concatenate(columns, axis=1)
