"""Results in one folder: a file a source, so that a run can go on, and the files made of all of them."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pctlib.inference.sources import Source
from pctlib.io import read_json, write_json, write_text
from pctlib.skeletons import Skeleton

SETTINGS = "settings.json"
_DRAWN_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
_COLUMNS = ("file", "frame", "seconds", "person", "track", "person_score", "keypoint", "x", "y", "score")


class Records:
    """Results below one folder.

    Args:
        out: the folder; made if missing.
        settings: JSON values that tell these results from others.

    Raises:
        ValueError: if the folder holds results of other settings, or is no folder; says what differs.
        OSError: if nothing can be written there.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out = out
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out}: is a file; results go into a folder")
        before = read_json(out / SETTINGS) if (out / SETTINGS).is_file() else settings
        differing = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        if differing:
            what = ", ".join(f"{key}: {before.get(key)}, now {settings.get(key)}" for key in differing)
            raise ValueError(f"{out}: holds results of other settings ({what}); take another folder")
        write_json(out / SETTINGS, settings)

    def drawn(self, source: Source) -> Path:
        """Return where the drawn picture or video of a source goes."""
        ending = ".mp4" if source.is_video else ".jpg"
        kept = (".mp4",) if source.is_video else _DRAWN_ENDINGS
        name = source.name if source.name.suffix.lower() in kept else f"{source.name}{ending}"
        return self.out / "drawn" / name

    def has(self, source: Source, *, drawn: bool) -> bool:
        """Return whether a source is done, and has not changed since."""
        path = self._path(source)
        if not path.is_file() or (drawn and not self.drawn(source).is_file()):
            return False
        return read_json(path)["source"] == _state(source)

    def write(self, source: Source, frames: Sequence[dict[str, Any]]) -> None:
        """Write what was found in the frames of a source; a picture has one."""
        write_json(self._path(source), {"source": _state(source), "frames": list(frames)}, indent=None)

    def gather(self, sources: Sequence[Source], skeleton: Skeleton) -> None:
        """Write `results.json`, `images.json` and `keypoints.csv` of all sources that are done."""
        images, results = [], []
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for image_id, (source, frame) in enumerate(self._frames(sources), start=1):
            height, width = frame["size"]
            place = {key: frame[key] for key in ("frame", "seconds") if key in frame}
            images.append({"id": image_id, "file_name": str(source.name), "height": height, "width": width})
            images[-1] |= place
            for number, person in enumerate(frame["people"]):
                results.append({**person, "image_id": image_id})
                rows.writerows(_rows(source, place, number, person, skeleton))
        write_json(self.out / "results.json", results, indent=None)
        content = {"images": images, "annotations": [], "categories": [category(skeleton)]}
        write_json(self.out / "images.json", content)
        write_text(self.out / "keypoints.csv", table.getvalue())

    def _frames(self, sources: Sequence[Source]) -> Iterator[tuple[Source, dict[str, Any]]]:
        for source in sources:
            if self._path(source).is_file():
                for frame in read_json(self._path(source))["frames"]:
                    yield source, frame

    def _path(self, source: Source) -> Path:
        return self.out / "poses" / f"{source.name}.json"


def category(skeleton: Skeleton) -> dict[str, Any]:
    """Return the keypoint set as a COCO category; its limbs count from 1, as COCO's do."""
    limbs = [[a + 1, b + 1] for a, b in skeleton.limbs]
    return {"id": 1, "name": "person", "keypoints": list(skeleton.keypoint_names), "skeleton": limbs}


def _state(source: Source) -> dict[str, int]:
    """Return by what a source that has changed is told."""
    stat = source.file.stat()
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _rows(
    source: Source, place: dict[str, Any], number: int, person: dict[str, Any], skeleton: Skeleton
) -> Iterator[tuple]:
    values = person["keypoints"]
    first = (str(source.name), place.get("frame", ""), place.get("seconds", ""), number)
    first = (*first, person.get("track_id", ""), person["score"])
    for k, name in enumerate(skeleton.keypoint_names):
        yield (*first, name, *values[3 * k : 3 * k + 3])
