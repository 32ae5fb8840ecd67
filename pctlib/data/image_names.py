"""From the file names in an annotation file to files on disk, however the names were written."""

import difflib
import os
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOOKED_AT = 20_000  # names compared for a near one
_LONGEST = 255  # bytes of a name, in all usual file systems


class ImageFolder:
    """A folder of images that finds files by the names of an annotation file.

    A name that is there is taken as it is. Else these are tried, each only where it leads to one file:
    backslashes as slashes, no leading slash, escapes such as %20, the path of a URL, the folder's own name in
    front taken away, and the one file that differs in capitals alone, or in how accents are composed (a Mac
    writes them as letters of their own).

    Args:
        folder: that the names are relative to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """Return the file of a name; where none is there, the plain path of the name."""
        plain = self.folder / name
        if self._holds(plain):
            return plain
        for spelling in self._spellings(name):
            if self._holds(self.folder / spelling):
                return self.folder / spelling
        for spelling in [name, *self._spellings(name)]:
            path = self.folder / spelling
            others = self._names(path.parent).get(_key(path.name), [])
            if len(others) == 1:
                return path.with_name(others[0])
        return plain

    def _spellings(self, name: str) -> list[str]:
        """Return other ways to read a name, the surest first."""
        slashed = name.replace("\\", "/")
        address = urlsplit(slashed) if "://" in slashed else None
        path = unquote(address.path) if address else slashed
        found = [path.lstrip("/"), unquote(path).lstrip("/")]
        for spelling in list(found):
            parts = [part for part in spelling.split("/") if part not in ("", ".")]
            own = [place for place, part in enumerate(parts[:-1]) if part == self.folder.name]
            found += ["/".join(parts[place + 1 :]) for place in own[-1:]]
            if address:
                found.append(parts[-1] if parts else "")
        return [spelling for spelling in dict.fromkeys(found) if spelling and ".." not in spelling.split("/")]

    def _holds(self, path: Path) -> bool:
        return path.name in self._names(path.parent).get(_key(path.name), [])

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Return the files of a folder by the keys of their names; read once."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        names.setdefault(_key(entry.name), []).append(entry.name)
            except OSError:  # no such folder: nothing in it
                pass
            self._listed[folder] = names
        return self._listed[folder]


def _key(name: str) -> str:
    """Return what names have in common that differ in capitals, or in how accents are composed."""
    return unicodedata.normalize("NFC", name).lower()


def can_be_name(name: str) -> bool:
    """Return whether a file can have this name."""
    try:
        parts = os.fsencode(name).replace(b"\\", b"/").split(b"/")
    except UnicodeEncodeError:  # halves of characters
        return False
    return b"\0" not in os.fsencode(name) and max(map(len, parts)) <= _LONGEST


def nearest_file(path: Path) -> str | None:
    """Return the name in the folder of a missing file that is nearest to it, or None."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_LOOKED_AT), strict=False)]
    except OSError:
        return None
    same_stem = [name for name in names if Path(name).stem.lower() == path.stem.lower()]
    near = same_stem or difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return near[0] if near else None
