"""Unpacking zip and tar archives that may be damaged or hostile."""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from tqdm.auto import tqdm

from pctlib.data.download import require_space
from pctlib.io import existing_file

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile),
    *(EOFError, zlib.error, lzma.LZMAError),
)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive: a folder, a file, or something that is never unpacked."""

    name: str
    kind: str  # "folder", "file" or what else it is, in words
    open: Callable[[], BinaryIO]


def extract(archive: str | Path, folder: str | Path, *, progress: bool = True) -> int:
    """Unpack a zip or tar archive into `folder`; files of the same name are replaced.

    Everything is unpacked beside its place first, so a damaged or refused archive changes nothing.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz file.
        folder: made if missing. No member may lie outside it, and links and devices are refused.
        progress: whether to draw a progress bar.

    Returns:
        How many files were unpacked.

    Raises:
        FileNotFoundError: if there is no such archive.
        ValueError: if it is no archive, is damaged, or holds a member with an absolute name, with a name that
            leaves the folder, or that is neither file nor folder; names archive and member.
        OSError: if the disk has too little room.
    """
    archive, folder = existing_file(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f".unpacking-{archive.name}"
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    staging.mkdir()
    try:
        with _opened(archive, folder) as (members, total):
            bar = tqdm(members, desc=f"unpack {archive.name}", total=total, leave=False, disable=not progress)
            for member in bar:
                _write(archive, member, staging)
        return _move_in(staging, folder)
    except _DAMAGE as error:
        raise ValueError(f"{archive}: damaged archive ({error or type(error).__name__})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _opened(archive: Path, folder: Path) -> Iterator[tuple[Iterator[_Member], int | None]]:
    """Give the members of the archive one by one, and their number where it is known beforehand."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            require_space(folder, sum(entry.file_size for entry in entries), f"what {archive.name} holds")
            yield (_zip_member(packed, entry) for entry in entries), len(entries)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed:  # a stream: its members are known only when it has been read
            yield _tar_members(packed), None
    else:
        raise ValueError(f"{archive}: neither a whole zip nor a tar archive; is the file truncated?")


def _zip_member(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Member:
    mode = entry.external_attr >> 16
    kind = "folder" if entry.is_dir() else "a link" if stat.S_ISLNK(mode) else "file"
    return _Member(entry.filename, kind, partial(packed.open, entry))


def _tar_members(packed: tarfile.TarFile) -> Iterator[_Member]:
    for entry in packed:
        link = "a link" if entry.issym() or entry.islnk() else "a device"
        kind = "folder" if entry.isdir() else "file" if entry.isfile() else link
        yield _Member(entry.name, kind, partial(packed.extractfile, entry))
    while packed.fileobj.read(1 << 20):  # to the end, where the compression's own checksum is compared
        pass


def _write(archive: Path, member: _Member, staging: Path) -> None:
    """Write one member below `staging`, or refuse it."""
    name = PurePosixPath(member.name)
    windows = PureWindowsPath(member.name)  # C:\x and ..\x are harmless here but not on every machine
    if name.is_absolute() or windows.is_absolute() or windows.drive or windows.root:
        raise ValueError(f"{archive}: member {member.name!r} has an absolute name; nothing was unpacked")
    if ".." in name.parts or ".." in windows.parts:
        raise ValueError(f"{archive}: member {member.name!r} leaves the folder; nothing was unpacked")
    if member.kind == "folder":
        (staging / name).mkdir(parents=True, exist_ok=True)
        return
    if member.kind != "file":
        raise ValueError(f"{archive}: member {member.name!r} is {member.kind}; nothing was unpacked")
    target = staging / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def _move_in(staging: Path, folder: Path) -> int:
    """Move every unpacked file to its place; return how many."""
    count = 0
    for source in sorted(staging.rglob("*")):
        target = folder / source.relative_to(staging)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            shutil.move(source, target)
            count += 1
    return count
