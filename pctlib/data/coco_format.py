"""Checked access to the sections of a COCO file: columns at once, errors by entry."""

import contextlib
import copy
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.io import read_json


class EntryTable:
    """Entries of a COCO section, or of a list of results, with their places in the file.

    Args:
        file: name of the file, for messages.
        entries: N objects.
        kind: what one of them is called in messages.
        with_ids: whether each has an id of its own, as images and annotations do and results do not.

    Raises:
        ValueError: if an entry is not an object, or an id is missing or there twice. The methods raise it
            where an entry is wrong, and name file, id, index in the file, field, expected and received.
    """

    def __init__(
        self,
        file: str,
        entries: Sequence[Mapping[str, Any]],
        kind: str = "annotation",
        *,
        with_ids: bool = True,
    ) -> None:
        self.file, self.entries, self.kind, self.places = file, list(entries), kind, np.arange(len(entries))
        for row, entry in enumerate(self.entries):
            if not isinstance(entry, Mapping):
                raise self.error(row, f"expected an object, got {type(entry).__name__}")
        if with_ids:
            self._check_ids()

    def __len__(self) -> int:
        return len(self.entries)

    def keep(self, mask: np.ndarray) -> int:
        """Keep the entries where `mask` [N] is true and return how many go."""
        self.entries = [self.entries[row] for row in np.flatnonzero(mask)]
        self.places = self.places[mask]
        return int((~mask).sum())

    def select(self, mask: np.ndarray) -> "EntryTable":
        """Return a table of the entries where `mask` [N] is true; they keep their places in the file."""
        chosen = copy.copy(self)
        chosen.keep(mask)
        return chosen

    def error(self, row: int, message: str) -> ValueError:
        """Return the error that names an entry."""
        entry = self.entries[row]
        name = f" {entry['id']}" if isinstance(entry, Mapping) and "id" in entry else ""
        return ValueError(f"{self.file}: {self.kind}{name} (index {self.places[row]}): {message}")

    def column(self, name: str, default: Any = None) -> list[Any]:
        """Return a field of every entry; missing or null gives `default`; without one it must be there."""
        if default is not None:
            values = [entry.get(name) for entry in self.entries]
            return [default if value is None else value for value in values]
        try:
            return [entry[name] for entry in self.entries]
        except KeyError:
            row = next(i for i, entry in enumerate(self.entries) if name not in entry)
            raise self.error(row, f"field {name!r} is missing") from None

    def integers(self, name: str, default: int | None = None) -> np.ndarray:
        """Return a field of whole numbers as int64 [N]; 7.0 is one, as pandas writes a column with gaps."""
        values = self.column(name, default)
        if not set(map(type, values)) <= {int, bool}:
            for row, value in enumerate(values):
                if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
                    hint = " (a text; take the quotation marks away)" if _is_digits(value) else ""
                    raise self.error(row, f"field {name!r} must be a whole number, got {value!r}{hint}")
        try:
            return np.array([int(value) for value in values], np.int64).reshape(-1)
        except OverflowError:
            row = next(i for i, value in enumerate(values) if not -(2**63) <= value < 2**63)
            raise self.error(row, f"field {name!r} must fit 64 bits, got {values[row]}") from None

    def numbers(self, name: str, width: int | None = None, *, points: bool = False) -> np.ndarray:
        """Return a field of finite numbers as float64: [N], or [N, width] where it is a list of so many.

        Args:
            name: of the field.
            width: length of the list; None: a single number.
            points: whether the list may also be one of points, [[x, y, v], ...].
        """
        values = self.column(name)
        if points and any(isinstance(v, list) and v and isinstance(v[0], list | tuple) for v in values):
            values = [_flat(value) for value in values]
        if width is not None and not (set(map(type, values)) <= {list} and set(map(len, values)) <= {width}):
            for row, value in enumerate(values):
                listed = isinstance(value, list | tuple)
                if not listed or len(value) != width:
                    got = len(value) if listed else repr(value)
                    raise self.error(
                        row, f"field {name!r} needs {width} numbers, got {got}{_of_lists(value)}"
                    )
        shape = (len(values),) if width is None else (len(values), width)
        try:
            array = np.array(values)
            numbers = array.astype(np.float64).reshape(shape)
        except (TypeError, ValueError, OverflowError):
            raise self._odd_number(name, values, width) from None
        if (array.size and array.dtype.kind not in "biuf") or not np.isfinite(numbers).all():
            raise self._odd_number(name, values, width)
        return numbers

    def _odd_number(self, name: str, values: list[Any], width: int | None) -> ValueError:
        """Return the error that names the first value which is not a finite number."""
        listed = width is not None
        for row, value in enumerate(values):
            for place, number in enumerate(value if listed else [value]):
                if not isinstance(number, int | float) or not _is_finite(number):
                    where = f"{name}[{place}]" if listed else name
                    return self.error(row, f"field {where!r} must be a finite number, got {number!r}")
        return ValueError(f"{self.file}: field {name!r} holds numbers too large to be read")

    def _check_ids(self) -> None:
        ids = self.integers("id")
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            twice = values[counts > 1][0]
            first, second = np.flatnonzero(ids == twice)[:2]
            places = f"(index {first} and {second})"
            raise ValueError(f"{self.file}: two {self.kind}s have the id {twice} {places}")


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lstrip("-").isdigit()


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float can hold
        return False


def _flat(value: Any) -> Any:
    """Return [[x, y, v], ...] as one list; anything else as it is."""
    if isinstance(value, list) and value and all(isinstance(p, list | tuple) and len(p) == 3 for p in value):
        return [number for point in value for number in point]
    return value


def _of_lists(value: Any) -> str:
    """Return " lists of 2" for a list of lists, for messages."""
    if not isinstance(value, list) or not value or not all(isinstance(part, list) for part in value):
        return ""
    return f" lists of {' or '.join(sorted({str(len(part)) for part in value}))}"


@dataclass(frozen=True)
class Sections:
    """What a COCO file holds.

    Attributes:
        images, annotations: the entries, ids whole numbers that differ.
        categories: as they stand in the file; None where it has no such section.
    """

    images: EntryTable
    annotations: EntryTable
    categories: list[dict[str, Any]] | None


def read_sections(file: str | Path) -> Sections:
    """Read a COCO file; the one reader of such files, for people and for metrics.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, a section is missing or there is no image, or an id is wrong.
    """
    with _collector_paused():
        content = read_json(file)
    if not isinstance(content, dict):
        raise ValueError(f"{file}: a COCO file is an object with sections, got a {type(content).__name__}")
    for name in ("images", "annotations"):
        if name not in content:
            raise ValueError(f"{file}: section {name!r} is missing; there are {sorted(content)}")
        if not isinstance(content[name], list):
            got = type(content[name]).__name__
            raise ValueError(f"{file}: section {name!r} must be a list of objects, got {got}")
    if not content["images"]:
        raise ValueError(f"{file}: section 'images' is empty")
    tables = [EntryTable(str(file), content[f"{kind}s"], kind) for kind in ("image", "annotation")]
    return Sections(*tables, content.get("categories"))


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


def image_rows(table: EntryTable, images: EntryTable) -> np.ndarray:
    """Return, for each annotation or result, the row of its image in section `images`, int64 [N].

    Raises:
        ValueError: if one names an image that is not there; names it.
    """
    rows = {image_id: row for row, image_id in enumerate(images.integers("id").tolist())}
    image_ids = table.integers("image_id").tolist()
    for row, image_id in enumerate(image_ids):
        if image_id not in rows:
            raise table.error(row, f"image_id {image_id} is not in section 'images' of {len(rows)} images")
    return np.array([rows[image_id] for image_id in image_ids], np.int64)


def ids_for_names(table: EntryTable, images: EntryTable) -> int:
    """Put ids in place of the file names that stand as `image_id` in results, and return how many did.

    AlphaPose and some detectors write the name of the file. It counts only where one image of that name is
    listed, with its folders and its ending or without.
    """
    named = [row for row, entry in enumerate(table.entries) if isinstance(entry.get("image_id"), str)]
    if not named:
        return 0
    found: dict[str, set[int]] = {}
    for image_id, entry in zip(images.integers("id").tolist(), images.entries, strict=True):
        name = entry.get("file_name")
        if isinstance(name, str):
            last = _last_part(name)
            for spelled in {name, last, last.rpartition(".")[0]} - {""}:
                found.setdefault(spelled, set()).add(image_id)
    for row in named:
        name = table.entries[row]["image_id"]
        ids = () if _is_digits(name) else found.get(name) or found.get(_last_part(name)) or ()
        if len(ids) > 1:
            raise table.error(row, f"image_id {name!r} is the file name of {len(ids)} images")
        if len(ids) == 1:
            table.entries[row] = {**table.entries[row], "image_id": next(iter(ids))}
        elif not _is_digits(name):
            raise table.error(row, f"image_id {name!r} is no id, and no image in the file has this name")
    return len(named)


def _last_part(name: str) -> str:
    """Return a file name without its folders."""
    return name.replace("\\", "/").rpartition("/")[2]


def image_sizes(images: EntryTable) -> np.ndarray:
    """Return int32 [number of images, 2] (height, width), 0 where the file does not say.

    Raises:
        ValueError: if one is no whole number that an image can have; names it.
    """
    sizes = np.stack([images.integers(name, default=0) for name in ("height", "width")], axis=1)
    for row in np.flatnonzero(((sizes < 0) | (sizes >= 2**31)).any(1))[:1]:
        raise images.error(int(row), f"height and width must be sizes in pixels, got {sizes[row].tolist()}")
    return sizes.astype(np.int32)


def clip_boxes(boxes_xywh: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return boxes [N, 4] clipped to their image; one that is empty or outside it has no positive extent.

    Args:
        boxes_xywh: [N, 4], pixels of the image.
        sizes: [N, 2] (height, width) of the image; 0 where it is not known.
    """
    x, y, w, h = boxes_xywh.T
    known = (sizes > 0).all(1)
    right, bottom = (np.where(known, sizes[:, axis] - 1, np.inf) for axis in (1, 0))
    x1, y1 = (np.where(known, np.maximum(low, 0), low) for low in (x, y))
    boxes = np.stack([x1, y1, np.minimum(x + w, right) - x1, np.minimum(y + h, bottom) - y1], axis=1)
    boxes[(w <= 0) | (h <= 0), 2:] = 0
    return boxes
