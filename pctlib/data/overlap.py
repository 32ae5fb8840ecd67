"""Images that training and measuring share: by their pixels, whatever the files are called.

At least 181 images of CrowdPose's training set are images of COCO val2017; joint training on both would be
measured on what it has seen.
"""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from pctlib.data.images import image_size, read_image
from pctlib.data.people import People
from pctlib.io import read_json, write_json

Policy = Literal["leave out", "refuse", "keep"]

WHY = "image of a validation or test set"

_READERS = 4


class PixelHashes:
    """Hashes of the decoded pixels of image files, remembered from run to run.

    Args:
        cache: JSON file that keeps them, with size and time of change of each image; None: none is kept.
    """

    def __init__(self, cache: str | Path | None = None) -> None:
        self.cache = None if cache is None else Path(cache)
        self._known = read_json(self.cache) if self.cache is not None and self.cache.is_file() else {}

    def __call__(self, files: Sequence[Path], *, progress: bool = True) -> list[str]:
        """Return the hash of each file; what cannot be read has an empty one, and equals nothing.

        Two files have one hash if their pixels are equal: a copy, a renamed or re-tagged file, a PNG of it.
        """
        states = {str(file.resolve()): _state(file) for file in files}
        new = [name for name, state in states.items() if self._known.get(name, [""])[0] != state]
        bar = tqdm(total=len(new), desc="comparing images", unit="image", disable=not progress or not new)
        with bar, ThreadPoolExecutor(_READERS) as readers:
            for name, found in zip(new, readers.map(_pixel_hash, new), strict=True):
                self._known[name] = [states[name], found]
                bar.update()
        if new and self.cache is not None:
            write_json(self.cache, self._known, indent=None)
        return [self._known[str(file.resolve())][1] for file in files]


def _state(file: Path) -> str:
    if not file.is_file():
        return "missing"
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _pixel_hash(file: str) -> str:
    try:
        pixels, _ = read_image(file)
    except (ValueError, OSError):  # listed where it is read for training; here it only cannot be compared
        return ""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def shared_images(
    train: Iterable[People], test: Iterable[People], hashes: PixelHashes, *, progress: bool = True
) -> dict[Path, Path]:
    """Return images of the training people that are images of the test people too, each with its twin.

    Only images whose size is there on both sides are decoded.

    Args:
        train: what is trained on.
        test: what is measured on.
        hashes: of pixels.
        progress: show a progress bar.
    """
    sides = [_files_by_size(parts) for parts in (train, test)]
    both = set(sides[0]) & set(sides[1])
    learned, measured = ([file for size in sorted(both) for file in side[size]] for side in sides)
    found = hashes([*learned, *measured], progress=progress)
    twins = {key: file for key, file in zip(found[len(learned) :], measured, strict=True) if key}
    return {file: twins[key] for file, key in zip(learned, found, strict=False) if key in twins}


def _files_by_size(parts: Iterable[People]) -> dict[tuple[int, int], list[Path]]:
    """Return the image files by (height, width), read from the file where a table does not say it."""
    sizes: dict[tuple[int, int], list[Path]] = {}
    seen: set[Path] = set()
    for people in parts:
        for file, said in zip(people.image_files, people.image_sizes.tolist(), strict=True):
            if file != Path() and file not in seen and file.is_file():
                seen.add(file)
                sizes.setdefault(_size(file, said), []).append(file)
    return sizes


def _size(file: Path, said: Sequence[int]) -> tuple[int, int]:
    """Return what the table says, the smaller side first: CrowdPose's files had them exchanged."""
    if min(said) <= 0:
        try:
            said = image_size(file)
        except (ValueError, OSError):
            said = (0, 0)
    return (min(said), max(said))


def without_shared(
    train: Sequence[People],
    test: Sequence[People],
    policy: Policy,
    hashes: PixelHashes,
    *,
    progress: bool = True,
) -> list[People]:
    """Return training people without those in images that are measured on.

    Args:
        train: what is trained on.
        test: what is measured on, of all data sets.
        policy: "leave out" and count them in `excluded`; "refuse"; "keep": nothing is compared.
        hashes: of pixels.
        progress: show a progress bar.

    Raises:
        ValueError: if images are shared and the policy is to refuse, or nobody would be left; names one.
    """
    if policy == "keep":
        return list(train)
    shared = shared_images(train, test, hashes, progress=progress)
    if shared and policy == "refuse":
        file, twin = next(iter(shared.items()))
        raise ValueError(
            f"{len(shared)} images of the training sets are images of validation or test sets, such as "
            f"{file}, which is {twin}"
        )
    return [_without(people, shared) for people in train]


def _without(people: People, shared: dict[Path, Path]) -> People:
    kept = np.array([file not in shared for file in people.image_files], bool)
    if kept.all():
        return people
    if not kept.any():
        raise ValueError(f"{people.source}: every image is one of a validation or test set; nobody is left")
    chosen = people.select(kept)
    chosen.excluded = {**people.excluded, WHY: int((~kept).sum())}
    return chosen
