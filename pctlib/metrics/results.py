"""Annotation and results files in COCO's JSON layout, as arrays; faults are named by file and entry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pctlib import io
from pctlib.data.coco_format import EntryTable, clip_boxes, ids_for_names, image_rows, image_sizes
from pctlib.data.coco_persons import AnnotationFile, keypoint_triples, read_annotations, read_persons
from pctlib.metrics.matching import MAX_PER_IMAGE, Detections, GroundTruth, extent_areas

__all__ = ["AnnotationFile", "count_inputs", "detections", "ground_truth", "read_annotations", "read_results"]

Results = str | Path | Sequence[dict[str, Any]]


def ground_truth(
    file: AnnotationFile,
    *,
    fields: Mapping[str, int],
    box_fill: float | None = None,
    skip_invalid: bool = False,
) -> GroundTruth:
    """Turn annotations into arrays.

    Args:
        file: the annotations.
        fields: keypoint fields in order, with the number of keypoints in each; also taken if all keypoints
            stand in the first field.
        box_fill: areas are this share of the box; None takes the field `area`.
        skip_invalid: leave out persons whose box is empty or outside its image, or whose area is empty; they
            count else, as in pycocotools.

    Returns:
        The persons. Crowd regions, persons with a box alone and persons with `num_keypoints` 0 (without the
        field: without a labelled keypoint) are ignored. What was left out or filled in is in its `notes`.

    Raises:
        ValueError: as `read_persons`.
    """
    persons, notes = read_persons(file, fields, box_fill=box_fill), {}
    if skip_invalid:
        sizes = image_sizes(file.images)[image_rows(persons.table, file.images)]
        bad = (clip_boxes(persons.boxes_xywh, sizes)[:, 2:] <= 0).any(1) | (persons.areas <= 0)
        notes = {"persons with an invalid box or area left out": persons.keep(~bad)}
    table = persons.table
    labelled = (persons.triples[..., 2] > 0).sum(axis=1)
    num = table.integers("num_keypoints", default=-1)
    unlabelled = (np.where(num < 0, labelled, num) == 0) | persons.without_keypoints
    others = {"annotations of other categories left out": file.left_out} if file.left_out else {}
    return GroundTruth(
        image_ids=file.images.integers("id"),
        person_image_ids=table.integers("image_id"),
        keypoints=persons.triples[..., :2],
        visible=persons.triples[..., 2],
        areas=persons.areas,
        boxes_xywh=persons.boxes_xywh,
        crowd=persons.crowd,
        ignored=persons.crowd | unlabelled,
        annotation_ids=table.integers("id"),
        notes=(*others.items(), *notes.items(), *persons.notes.items()),
    )


def read_results(results: Results) -> EntryTable:
    """Return the entries of a results file, or of results in memory.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON or not a list of objects.
    """
    source = str(results) if isinstance(results, str | Path) else "results"
    entries = io.read_json(results) if isinstance(results, str | Path) else results
    if isinstance(entries, dict | str) or not isinstance(entries, Sequence):
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
    table, notes = read_results(results), {}
    if named := ids_for_names(table, file.images):
        notes["results whose image is given by its file name"] = named
    image_rows(table, file.images)
    if file.category is not None:
        categories, given = table.integers("category_id", default=file.category), len(table)
        for row in np.flatnonzero(~np.isin(categories, [file.category, *file.others]))[:1]:
            got = f"category_id is {categories[row]}, expected {file.category} as annotated"
            raise table.error(int(row), got)
        if others := table.keep(categories == file.category):
            notes["results of other categories left out"] = others
        if given and not len(table):
            got = f"category_id {categories[0]}, persons are annotated as {file.category}"
            raise ValueError(f"{table.file}: all {given} results are of other categories, such as {got}")
    triplets, _ = keypoint_triples(table, fields, optional=False)
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
        notes=tuple(notes.items()),
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
        **dict(truth.notes + found.notes),
    }
