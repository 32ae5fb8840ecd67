"""Boxes of people in photographs, checked: given by the user, read from a file, or the whole picture."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pctlib.io import existing_file, read_json

_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_EXTENT = ("x", "y", "width", "height")


class Boxes(NamedTuple):
    """Boxes of the people in one picture.

    Attributes:
        xyxy: float32 [N, 4] left, top, right, bottom, image pixels.
        scores: float32 [N] of the detector; 1 where none was asked.
    """

    xyxy: np.ndarray
    scores: np.ndarray


def box_of_image(size: tuple[int, int]) -> Boxes:
    """Return the box of a picture of `size` (height, width): for one person who fills it."""
    return Boxes(np.array([[0, 0, size[1], size[0]]], np.float32), np.ones(1, np.float32))


def check_boxes(given: Any, size: tuple[int, int], name: str) -> Boxes:
    """Return boxes as they are used, given as an array or as `Boxes`.

    Args:
        given: [N, 4] left, top, right, bottom, or [N, 5] with a score; image pixels.
        size: (height, width) of the picture.
        name: of the picture, for errors.

    Raises:
        ValueError: if the shape is another, a value is not finite, or a box is empty or lies outside the
            picture; names the picture and the box.
    """
    values = np.concatenate([given.xyxy, given.scores[:, None]], 1) if isinstance(given, Boxes) else given
    values = np.asarray(values, dtype=np.float32)
    values = values.reshape(0, 4) if values.size == 0 else values
    if values.ndim != 2 or values.shape[1] not in (4, 5):
        raise ValueError(
            f"{name}: boxes: expected [N, 4] left, top, right, bottom, or [N, 5] with a score, "
            f"got {list(values.shape)}"
        )
    left, top, right, bottom = values[:, :4].T
    problems = {
        "is not finite": ~np.isfinite(values).all(1),
        "has no extent; boxes are left, top, right, bottom": (right <= left) | (bottom <= top),
        f"lies outside the picture of {size[1]} x {size[0]} pixels": (
            (left >= size[1]) | (top >= size[0]) | (right <= 0) | (bottom <= 0)
        ),
    }
    for problem, found in problems.items():
        if found.any():
            row = int(found.argmax())
            raise ValueError(f"{name}: box {row} {problem}: {values[row, :4].tolist()}")
    scores = values[:, 4] if values.shape[1] == 5 else np.ones(len(values), np.float32)
    return Boxes(values[:, :4], scores)


class BoxFile:
    """Boxes by picture, from a file of detections or annotations.

    Three forms are read: a COCO file of annotations (`images`, `annotations` with `bbox`), a list of COCO
    detections that name their picture (`file_name`, or an `image_id` that is the picture's name, as COCO's
    own 000000000785.jpg is image 785), and a CSV with a header: `file`, and `x_min`, `y_min`, `x_max`,
    `y_max` or `x`, `y`, `width`, `height`, and where wanted `score`.

    Args:
        file: the file.
        min_score: boxes that score less are left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has none of these forms, or a value is missing or no number; names file and row.
    """

    def __init__(self, file: str | Path, *, min_score: float = 0.0) -> None:
        self.file = existing_file(file)
        self._rows: dict[str, list[list[float]]] = {}
        entries = _read_csv(self.file) if self.file.suffix.lower() == ".csv" else _read_coco(self.file)
        for picture, row in entries:
            if row[4] >= min_score:
                self._rows.setdefault(picture, []).append(row)

    def of(self, picture: str | Path) -> np.ndarray:
        """Return float32 [N, 5] boxes and scores of a picture, found by its path, its name or its number.

        Raises:
            ValueError: if the file has no box for it; says how pictures are named there.
        """
        path = Path(picture)
        parts = path.as_posix().split("/")
        names = ["/".join(parts[start:]) for start in range(len(parts))]
        number = str(int(path.stem)) if path.stem.isdecimal() else path.stem
        found = next((self._rows[name] for name in [*names, number] if name in self._rows), None)
        if found is None:
            known = ", ".join(list(self._rows)[:3]) or "none"
            raise ValueError(f"{picture}: {self.file} has no box for it; the pictures there: {known}, ...")
        return np.array(found, np.float32)


def _read_csv(file: Path) -> list[tuple[str, list[float]]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = set(rows[0]) if rows else set()
    corners = columns >= set(_CORNERS)
    if "file" not in columns or not (corners or columns >= set(_EXTENT)):
        got = ", ".join(sorted(map(str, columns))) or "no row"
        raise ValueError(
            f"{file}: expected the columns file, {', '.join(_CORNERS)} (or {', '.join(_EXTENT)}) and, if "
            f"wanted, score; got {got}"
        )
    entries = []
    for number, row in enumerate(rows, start=2):
        place = f"{file}, line {number}"
        values = _numbers([row[name] for name in (_CORNERS if corners else _EXTENT)], place)
        (score,) = _numbers([row.get("score") or 1.0], place)
        entries.append((row["file"], [*(values if corners else _to_corners(values)), score]))
    return entries


def _read_coco(file: Path) -> list[tuple[str, list[float]]]:
    content = read_json(file)
    names: dict[Any, str] = {}
    if isinstance(content, dict):
        names = {image.get("id"): image.get("file_name", "") for image in content.get("images", [])}
        content = content.get("annotations")
    if not isinstance(content, list):
        raise ValueError(f"{file}: expected a list of detections, or a COCO file with images and annotations")
    entries = []
    for index, entry in enumerate(content):
        place = f"{file}: entry {index}"
        if not isinstance(entry, dict) or not isinstance(entry.get("bbox"), list) or len(entry["bbox"]) != 4:
            raise ValueError(f"{place}: expected 'bbox' of four numbers: x, y, width, height")
        picture = entry.get("file_name") or names.get(entry.get("image_id"), entry.get("image_id"))
        if picture is None:
            raise ValueError(f"{place}: expected 'file_name' or 'image_id'")
        values = _numbers([*entry["bbox"], entry.get("score", 1.0)], place)
        if not entry.get("iscrowd"):
            entries.append((str(picture), [*_to_corners(values[:4]), values[4]]))
    return entries


def _to_corners(xywh: Sequence[float]) -> list[float]:
    x, y, width, height = xywh
    return [x, y, x + width, y + height]


def _numbers(values: Sequence[Any], place: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: expected numbers, got {list(values)}") from error
