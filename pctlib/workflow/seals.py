"""Seals: what the files of a finished run were, so that one that was damaged later is found.

A run is sealed when its last file is written, and its seal is broken when anybody starts to make it again. So
what is being made has no seal, and a sealed run must be as it was.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pctlib.io import read_json, write_json

SEAL = "seal.json"
DAMAGED = ".damaged"  # ending of the folder beside a run that gets its damaged files
_ASIDE = (DAMAGED, ".replaced")
_LEFT_OUT = (".log", ".tsv")  # written about a job when it has ended

Reason = Literal["missing", "cut", "changed", "unreadable"]


class Damage(NamedTuple):
    """A file that is not what it was when its run was finished, and in what way."""

    path: Path
    reason: Reason


def seal(folder: str | Path, *, beside: Iterable[str | Path] = ()) -> Path:
    """Write down the size and SHA-256 of every file of a finished run.

    Logs, files whose name starts with a dot, runs below it that have a seal of their own, and folders of
    what was set aside are left out.

    Args:
        folder: of the run.
        beside: files of the run that lie elsewhere, such as its page; those that are missing do not count.

    Returns:
        The seal.
    """
    folder = Path(folder)
    files = [*_files(folder), *(path for path in map(Path, beside) if path.is_file())]
    entries = {os.path.relpath(path, folder): _entry(path) for path in files}
    return _write(folder, entries)


def unseal(folder: str | Path) -> None:
    """Break the seal of a run that is made again, if it has one."""
    (Path(folder) / SEAL).unlink(missing_ok=True)


def is_sealed(folder: str | Path) -> bool:
    """Whether a run has a seal."""
    return (Path(folder) / SEAL).is_file()


def damaged(folder: str | Path) -> list[Damage]:
    """Return the files of a sealed run that are not what they were, sorted by name; none without a seal.

    A file is read only where the system says that it was touched: by its size, or the time of its last
    change, which, other than the time of the last writing, nobody sets back. One that was copied, say, and is
    the same is noted as such in the seal.
    """
    folder = Path(folder)
    if not is_sealed(folder):
        return []
    entries = _read(folder)
    if entries is None:
        return [Damage(folder / SEAL, "changed")]
    found, touched = [], {}
    for name, entry in sorted(entries.items()):
        path = Path(os.path.normpath(folder / name))
        reason, now = _compare(path, entry)
        if reason is not None:
            found.append(Damage(path, reason))
        elif now != entry:
            touched[name] = now
    if touched and not found:
        with suppress(OSError):  # in a folder that can only be read, the next time reads them once more
            _write(folder, entries | touched)
    return found


def set_aside(folder: str | Path, files: Iterable[Path]) -> Path:
    """Move files of a run to a folder beside it, `<run>.damaged` or with a number, and break its seal.

    Returns:
        That folder; where none of the files exists it is not made.
    """
    folder = Path(folder)
    aside, number = folder.with_name(f"{folder.name}{DAMAGED}"), 1
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}{DAMAGED}-{number}")
    for path in files:
        if path.is_file():
            target = aside / (path.relative_to(folder) if path.is_relative_to(folder) else path.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    unseal(folder)
    return aside


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == SEAL:
            continue
        if path.is_file() and path.suffix not in _LEFT_OUT:
            yield path
        elif path.is_dir() and not _elsewhere(path):
            yield from _files(path)


def _elsewhere(folder: Path) -> bool:
    """Whether what a folder below a run holds is not the run's: another run, or what was set aside."""
    return is_sealed(folder) or any(ending in folder.name for ending in _ASIDE)


def _entry(path: Path) -> dict[str, Any]:
    """Return what a seal says of a file."""
    before = path.stat()  # a change while it is read is then seen as one
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"size": before.st_size, "sha256": digest, "changed_ns": before.st_ctime_ns}


def _compare(path: Path, entry: dict[str, Any]) -> tuple[Reason | None, dict[str, Any]]:
    """Return what is wrong with a file, None if nothing is, and what a seal would say of it now."""
    try:
        status = path.stat()
        if status.st_size != entry["size"]:
            return ("cut" if status.st_size < entry["size"] else "changed"), entry
        if status.st_ctime_ns == entry["changed_ns"]:
            return None, entry
        now = _entry(path)
    except FileNotFoundError:
        return "missing", entry
    except OSError:
        return "unreadable", entry
    return (None if now["sha256"] == entry["sha256"] else "changed"), now


def _write(folder: Path, entries: dict[str, dict[str, Any]]) -> Path:
    return write_json(folder / SEAL, {"files": entries, "sha256": _digest(entries)})


def _read(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return what a seal says; None if the seal itself is damaged."""
    try:
        values = read_json(folder / SEAL)
        entries = values["files"]
        return entries if values["sha256"] == _digest(entries) else None
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _digest(entries: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
