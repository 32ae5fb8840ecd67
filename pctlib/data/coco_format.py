"""Checked access to the sections of a COCO file: columns at once, errors by entry."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.io import read_json


class AnnotationTable:
    """Annotations of a file with their places in it.

    Args:
        file: name of the file, for messages.
        annotations: the section, N entries.

    Raises:
        ValueError: if an id is missing or there twice. The methods raise it where an entry is wrong, and name
            file, annotation id, index in the file, field, expected and received.
    """

    def __init__(self, file: str, annotations: list[dict[str, Any]]) -> None:
        self.file, self.annotations, self.places = file, annotations, np.arange(len(annotations))
        self._check_ids()

    def keep(self, mask: np.ndarray) -> int:
        """Keep the entries where `mask` [N] is true and return how many go."""
        self.annotations = [self.annotations[row] for row in np.flatnonzero(mask)]
        self.places = self.places[mask]
        return int((~mask).sum())

    def error(self, row: int, message: str) -> ValueError:
        """Return the error that names an entry."""
        entry = self.annotations[row]
        name = entry.get("id") if isinstance(entry, dict) else None
        return ValueError(f"{self.file}: annotation {name} (index {self.places[row]}): {message}")

    def column(self, name: str, default: Any = None) -> list[Any]:
        """Return a field of every entry; without `default` it must be there."""
        try:
            if default is not None:
                return [entry.get(name, default) for entry in self.annotations]
            return [entry[name] for entry in self.annotations]
        except (KeyError, TypeError, AttributeError):
            row = next(i for i, e in enumerate(self.annotations) if not isinstance(e, dict) or name not in e)
            raise self.error(row, f"field {name!r} is missing") from None

    def integers(self, name: str, default: int | None = None) -> np.ndarray:
        """Return a field as int64 [N]."""
        values = self.column(name, default)
        if not set(map(type, values)) <= {int, bool}:
            row = next(i for i, value in enumerate(values) if not isinstance(value, int))
            raise self.error(row, f"field {name!r} must be a whole number, got {values[row]!r}")
        return np.array(values, np.int64).reshape(-1)

    def numbers(self, name: str, width: int) -> np.ndarray:
        """Return a field of `width` finite numbers as float64 [N, width]."""
        values = self.column(name)
        if not set(map(type, values)) <= {list} or not set(map(len, values)) <= {width}:
            row = next(i for i, v in enumerate(values) if not isinstance(v, list) or len(v) != width)
            got = len(values[row]) if isinstance(values[row], list) else repr(values[row])
            raise self.error(row, f"field {name!r} needs {width} numbers, got {got}")
        try:
            numbers = np.array(values, np.float64).reshape(-1, width)
        except (TypeError, ValueError):
            row = next(i for i, v in enumerate(values) if not all(isinstance(x, int | float) for x in v))
            raise self.error(row, f"field {name!r} holds something that is not a number") from None
        infinite = ~np.isfinite(numbers).all(1)
        if infinite.any():
            raise self.error(int(np.flatnonzero(infinite)[0]), f"field {name!r} holds NaN or infinity")
        return numbers

    def _check_ids(self) -> None:
        values, counts = np.unique(self.integers("id"), return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"{self.file}: two annotations have the id {values[counts > 1][0]}")


def read_sections(file: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Return the three sections of a COCO file."""
    with _collector_paused():
        content = read_json(file)
    if not isinstance(content, dict):
        raise ValueError(f"{file}: a COCO file is an object with sections, got a {type(content).__name__}")
    for name in ("images", "annotations", "categories"):
        if not isinstance(content.get(name), list):
            raise ValueError(f"{file}: section {name!r} is missing; there are {sorted(content)}")
        if not content[name]:
            raise ValueError(f"{file}: section {name!r} is empty")
    return content


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector, which else takes two thirds of the time of parsing a large file."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def of_category(table: AnnotationTable, categories: list[dict[str, Any]], name: str) -> np.ndarray:
    """Return the mask [N] of annotations of one category."""
    ids = {entry.get("name"): entry.get("id") for entry in categories if isinstance(entry, dict)}
    if name not in ids:
        known = sorted(str(key) for key in ids)
        raise ValueError(f"{table.file}: there is no category {name!r}; there are {known}")
    categories_of = table.integers("category_id")
    unknown = ~np.isin(categories_of, list(ids.values()))
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise table.error(row, f"category_id {categories_of[row]} is not in section 'categories'")
    return categories_of == ids[name]


def image_rows(table: AnnotationTable, images: list[dict[str, Any]]) -> np.ndarray:
    """Return, for each annotation, the row of its image in section `images`, int64 [N]."""
    rows: dict[int, int] = {}
    for row, image in enumerate(images):
        if not isinstance(image, dict) or "id" not in image:
            raise ValueError(f"{table.file}: image (index {row}): field 'id' is missing")
        if not isinstance(image["id"], int | str):
            raise ValueError(
                f"{table.file}: image (index {row}): id is {image['id']!r}, expected a number or a text"
            )
        if image["id"] in rows:
            raise ValueError(
                f"{table.file}: two images have the id {image['id']} (index {rows[image['id']]} and {row})"
            )
        rows[image["id"]] = row
    image_ids = table.integers("image_id").tolist()
    for row, image_id in enumerate(image_ids):
        if image_id not in rows:
            raise table.error(row, f"image_id {image_id!r} is not in section 'images'")
    return np.array([rows[image_id] for image_id in image_ids], np.int64)


def image_sizes(file: str, images: list[dict[str, Any]]) -> np.ndarray:
    """Return int32 [number of images, 2] (height, width), 0 where the file does not say."""
    sizes = [(image.get("height", 0), image.get("width", 0)) for image in images]
    try:
        return np.array(sizes, np.int32).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file}: height and width of the images must be whole numbers ({error})") from error
