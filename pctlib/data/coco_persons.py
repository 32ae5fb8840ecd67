"""The persons of a COCO file: the rules by which every command takes and leaves annotations.

One place for all: people of a data set, boxes to predict in, and the ground truth of metrics.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.coco_format import EntryTable, image_rows, read_sections
from pctlib.data.people import BOX_AREA_SHARE

PERSON = "person"
OTHER_CATEGORIES = "of other categories"
WITHOUT_KEYPOINTS = "with a box alone, no keypoints"
_AREAS = f"areas missing, {BOX_AREA_SHARE} of the box taken"


@dataclass(frozen=True)
class AnnotationFile:
    """A COCO annotation file, with the annotations of one category.

    Attributes:
        images: all images of the file, ids unique.
        annotations: one entry a person, ids unique, each of a listed image.
        category: id of the category; None if nothing tells.
        others: ids of the other categories that the file lists.
        left_out: how many annotations are of other categories.
    """

    images: EntryTable
    annotations: EntryTable
    category: int | None
    others: frozenset[int] = frozenset()
    left_out: int = 0


@dataclass
class Persons:
    """Arrays aligned to the rows of `table`.

    Attributes:
        table: the N annotations, crowd regions included.
        triples: float64 [N, K, 3] x, y and flag; all 0 where a person has a box alone.
        without_keypoints: bool [N], persons with a box alone.
        boxes_xywh: float64 [N, 4], as they stand in the file.
        areas: float64 [N]; where the file has none, a share of the box.
        crowd: bool [N].
        notes: what was filled in -> for how many annotations.
    """

    table: EntryTable
    triples: np.ndarray
    without_keypoints: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    notes: dict[str, int] = field(default_factory=dict)

    def keep(self, mask: np.ndarray) -> int:
        """Keep the annotations where `mask` [N] is true and return how many go."""
        self.triples, self.without_keypoints = self.triples[mask], self.without_keypoints[mask]
        self.boxes_xywh, self.areas, self.crowd = self.boxes_xywh[mask], self.areas[mask], self.crowd[mask]
        return self.table.keep(mask)


def read_annotations(
    file: str | Path, *, category: str | None = None, num_keypoints: int = 0
) -> AnnotationFile:
    """Read a COCO annotation file; annotations of other categories than persons are left out and counted.

    The category is the one asked for by name; else the one called person; else the only one with keypoints of
    this number.

    Args:
        file: COCO annotation file.
        category: name of the category; None: by the rule.
        num_keypoints: K; 0: any number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, lacks a field, repeats an id, names an unknown image, or the category
            cannot be told; names the entry.
    """
    content = read_sections(file)
    table, categories = content.annotations, content.categories
    chosen = choose_category(table, categories, category, num_keypoints)
    others = frozenset() if categories is None else frozenset(_known_categories(table.file, categories))
    left_out = 0
    if chosen is not None:
        ids = table.integers("category_id", default=None if others - {chosen} else chosen)
        for row in np.flatnonzero(~np.isin(ids, [chosen, *others]))[:1]:
            raise table.error(int(row), f"category_id {ids[row]} is not in section 'categories'")
        left_out = table.keep(ids == chosen)
    image_rows(table, content.images)
    return AnnotationFile(content.images, table, chosen, others - {chosen}, left_out)


def read_persons(
    file: AnnotationFile, fields: Mapping[str, int], *, box_fill: float | None = None
) -> Persons:
    """Turn annotations into arrays.

    `keypoints` missing, null or empty: a person with a box alone. `area` missing or null: 0.53 of the box,
    counted.

    Args:
        file: the annotations.
        fields: keypoint fields in order, with the number of keypoints in each; also taken if all keypoints
            stand in the first field.
        box_fill: areas are this share of the box, whatever the file says.

    Raises:
        ValueError: if a field is missing, of wrong length or not a finite number, or no annotation has
            keypoints; names the entry.
    """
    table = file.annotations
    triples, without = keypoint_triples(table, fields)
    if without.all() and len(table):
        raise ValueError(
            f"{table.file}: none of {len(table)} annotations has keypoints, only boxes; is it the file of "
            "objects (instances_*.json)? Boxes without keypoints can be given as detections"
        )
    boxes = table.numbers("bbox", 4)
    areas, filled = _areas_of(table, boxes, box_fill)
    return Persons(
        table=table,
        triples=triples,
        without_keypoints=without,
        boxes_xywh=boxes,
        areas=areas,
        crowd=table.integers("iscrowd", default=0).astype(bool),
        notes={_AREAS: filled} if filled else {},
    )


def choose_category(
    table: EntryTable, categories: list[dict[str, Any]] | None, name: str | None = None, K: int = 0
) -> int | None:
    """Return the id of the category that persons are annotated under.

    Args:
        table: annotations or detections.
        categories: the section; None where the file has none.
        name: of the category wanted; None: the rule of `read_annotations`.
        K: number of keypoints wanted; 0: it does not matter.

    Returns:
        The id; None where neither section nor annotations tell.

    Raises:
        ValueError: if the category cannot be told; lists those that are there.
    """
    if not isinstance(categories, list):
        return _without_section(table, name)
    known = _known_categories(table.file, categories)
    listed = sorted(str(entry.get("name")) for entry in known.values())
    if name is not None:
        named = [number for number, entry in known.items() if entry.get("name") == name]
        if not named:
            raise ValueError(f"{table.file}: there is no category {name!r}; there are {listed}")
    else:
        named = [n for n, entry in known.items() if str(entry.get("name")).lower() == PERSON]
        named = named or _with_keypoints(table, known, K)
    if len(named) == 1:
        return named[0]
    if not named:
        wanted = f", and none has {K} keypoints" if K else ""
        raise ValueError(f"{table.file}: there is no category {PERSON!r}{wanted}; there are {listed}")
    names = sorted(str(known[number].get("name")) for number in named)
    raise ValueError(
        f"{table.file}: several categories could be meant: {names}; choose one by its name (category=..., "
        "on the command line --category)"
    )


def _without_section(table: EntryTable, name: str | None) -> int | None:
    found = np.unique(table.integers("category_id", default=1)).tolist()
    if name is not None or len(found) > 1:
        seen = f"annotations are of category_id {found[:5]}"
        raise ValueError(f"{table.file}: section 'categories' is missing, and {seen}")
    return found[0] if found else None


def _known_categories(file: str, categories: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    entries = EntryTable(file, categories, "category")
    return dict(zip(entries.integers("id").tolist(), entries.entries, strict=True))


def _with_keypoints(table: EntryTable, known: Mapping[int, dict[str, Any]], K: int) -> list[int]:
    """Return the categories with K keypoints (0: any), by their annotations or their own description."""
    described = {n: len(e["keypoints"]) for n, e in known.items() if isinstance(e.get("keypoints"), list)}
    lengths: dict[int, Counter] = {}
    for entry in table.entries:
        number = entry.get("category_id")
        if (
            isinstance(number, int | float)
            and isinstance(entry.get("keypoints"), list)
            and entry["keypoints"]
        ):
            lengths.setdefault(number, Counter())[_number_of_points(entry["keypoints"])] += 1
    used = {number: counts.most_common(1)[0][0] for number, counts in lengths.items()}
    counts = {number: used.get(number, described.get(number, 0)) for number in known}
    fitting = [number for number, count in counts.items() if count and K in (0, count)]
    return fitting if fitting or len(known) > 1 else list(known)


def _number_of_points(keypoints: list) -> float:
    return len(keypoints) if isinstance(keypoints[0], list) else len(keypoints) / 3


def keypoint_triples(
    table: EntryTable, fields: Mapping[str, int], *, optional: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return x, y and the third number of all keypoints [N, K, 3], and which entries have none, bool [N].

    Args:
        table: annotations, or results.
        fields: as for `read_persons`.
        optional: whether entries may have no keypoints.
    """
    first, total = next(iter(fields)), sum(fields.values())
    given = [entry.get(first) for entry in table.entries]
    without = np.array([value is None or value == [] for value in given], bool)
    without &= optional
    own = table.select(~without)
    lengths = {_number_of_points(v) for v in given if isinstance(v, list) and v}
    parts = {first: total} if len(fields) > 1 and lengths == {total} else fields
    columns = [own.numbers(n, 3 * k, points=True).reshape(-1, k, 3) for n, k in parts.items()]
    triples = np.zeros((len(table), total, 3))
    triples[~without] = np.concatenate(columns, axis=1)
    return triples, without


def _areas_of(table: EntryTable, boxes: np.ndarray, box_fill: float | None) -> tuple[np.ndarray, int]:
    """Return the areas [N], and for how many the file has none."""
    if box_fill is not None:
        return boxes[:, 2:].prod(1) * box_fill, 0
    missing = np.array([entry.get("area") is None for entry in table.entries], bool)
    areas = boxes[:, 2:].prod(1) * BOX_AREA_SHARE
    areas[~missing] = table.select(~missing).numbers("area")
    return areas, int(missing.sum())
