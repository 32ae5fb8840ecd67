"""Unpacking zip and tar archives that may be damaged or hostile."""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm.auto import tqdm

from pctlib.data.download import require_space
from pctlib.io import existing_file

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile),
    *(EOFError, zlib.error, lzma.LZMAError),
)


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
        with tqdm(desc=f"unpack {archive.name}", unit=" files", leave=False, disable=not progress) as bar:
            if zipfile.is_zipfile(archive):
                _unpack_zip(archive, staging, bar)
            elif tarfile.is_tarfile(archive):
                _unpack_tar(archive, staging, bar)
            else:
                raise ValueError(f"{archive}: neither a whole zip nor a tar archive; is the file truncated?")
        return _move_in(staging, folder)
    except _DAMAGE as error:
        raise ValueError(f"{archive}: damaged archive ({error or type(error).__name__})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack_zip(archive: Path, staging: Path, bar: tqdm) -> None:
    with zipfile.ZipFile(archive) as packed:
        entries = packed.infolist()
        require_space(staging, sum(entry.file_size for entry in entries), f"what {archive.name} holds")
        bar.reset(total=len(entries))
        for entry in entries:
            link = stat.S_ISLNK(entry.external_attr >> 16)
            _check(archive, entry.filename, "a link" if link else "")
            packed.extract(entry, staging)
            bar.update()


def _unpack_tar(archive: Path, staging: Path, bar: tqdm) -> None:
    def checked(entry: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        link = entry.issym() or entry.islnk()
        odd = "" if entry.isfile() or entry.isdir() else "a link" if link else "a device"
        _check(archive, entry.name, odd)
        bar.update()
        return tarfile.data_filter(entry, folder)

    with tarfile.open(archive) as packed:  # a stream: its members are known only when it has been read
        packed.extractall(staging, filter=checked)
        while packed.fileobj.read(1 << 20):  # to the end, where the compression's own checksum is compared
            pass


def _check(archive: Path, member: str, odd: str) -> None:
    """Refuse a member by its name, or as it is something odd; the libraries would rename or skip some."""
    name, windows = PurePosixPath(member), PureWindowsPath(member)
    # C:\x and ..\x are harmless here but not on every machine
    if name.is_absolute() or windows.is_absolute() or windows.drive or windows.root:
        raise ValueError(f"{archive}: member {member!r} has an absolute name; nothing was unpacked")
    if ".." in name.parts or ".." in windows.parts:
        raise ValueError(f"{archive}: member {member!r} leaves the folder; nothing was unpacked")
    if odd:
        raise ValueError(f"{archive}: member {member!r} is {odd}; nothing was unpacked")


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
