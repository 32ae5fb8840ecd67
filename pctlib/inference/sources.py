"""What a user names on the command line as the pictures that are meant: files, folders, patterns, videos."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_IMAGES = "avif bmp gif jfif jpeg jpg jp2 pbm pgm png pnm ppm tif tiff webp"
_VIDEOS = "avi flv m4v mkv mov mp4 mpeg mpg ts webm wmv"
IMAGE_ENDINGS, VIDEO_ENDINGS = (frozenset(f".{e}" for e in text.split()) for text in (_IMAGES, _VIDEOS))


class Source(NamedTuple):
    """A picture or video, and its name below the folder of results."""

    file: Path
    name: Path

    @property
    def is_video(self) -> bool:
        """Return whether the ending is that of a video."""
        return self.file.suffix.lower() in VIDEO_ENDINGS


def find_sources(inputs: Sequence[str | Path], *, without: Path | None = None) -> list[Source]:
    """Return the pictures and videos that are named, each once, folders with all that is below them.

    Args:
        inputs: files, folders, and patterns such as "holiday/*.jpg"; hidden files in folders are passed over.
        without: a folder whose content is never taken, as that of the results.

    Raises:
        FileNotFoundError: if something does not exist, or a pattern fits nothing.
        ValueError: if a folder holds neither pictures nor videos, or nothing was named; names the folder.
    """
    found: dict[Path, Source] = {}
    for given in inputs:
        for source in _of_one(given):
            inside = without is not None and without.resolve() in source.file.resolve().parents
            if not inside:
                found.setdefault(source.file.resolve(), source)
    if not found:
        raise ValueError("no pictures: name files, folders or patterns")
    return _with_own_names(list(found.values()))


def _of_one(given: str | Path) -> list[Source]:
    path = Path(given)
    if path.is_dir():
        return _of_folder(path)
    if path.exists():
        return [Source(path, Path(path.name))]
    matching = sorted(glob.glob(str(given), recursive=True)) if glob.has_magic(str(given)) else []
    if not matching:
        fits = "nothing fits the pattern" if glob.has_magic(str(given)) else "no such file or folder:"
        raise FileNotFoundError(f"{fits} {given}")
    return [source for match in matching if _is_meant(Path(match)) for source in _of_one(match)]


def _of_folder(folder: Path) -> list[Source]:
    below = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [(path, path.relative_to(folder)) for path in below]
    shown = [(path, name) for path, name in names if not any(part.startswith(".") for part in name.parts)]
    sources = [Source(path, name) for path, name in shown if _is_meant(path)]
    if not sources:
        held = f"{len(shown)} other files" if shown else "nothing"
        endings = " ".join(sorted(IMAGE_ENDINGS | VIDEO_ENDINGS))
        raise ValueError(f"{folder}: no pictures in this folder, but {held}; taken are {endings}")
    return sources


def _is_meant(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS | VIDEO_ENDINGS


def _with_own_names(sources: list[Source]) -> list[Source]:
    """Return the sources, those whose name another one has with the name of their folder in front."""
    names = [source.name for source in sources]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    renamed = [
        source._replace(name=Path(source.file.resolve().parent.name) / source.name)
        if source.name in twice
        else source
        for source in sources
    ]
    taken: dict[Path, Path] = {}
    for source in renamed:
        other = taken.setdefault(source.name, source.file)
        if other != source.file:
            raise ValueError(
                f"{other} and {source.file} would both be written as {source.name}; "
                "predict them into folders of their own"
            )
    return renamed
