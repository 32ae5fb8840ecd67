"""Each file of a finished study damaged in turn: the next run names it, and makes its run again.

Part of `python -m faults.kills`; by itself, on a finished smoke study of one's own, a checkout:

    PYTHONPATH=tests python -m faults.damage FOLDER
"""

import contextlib
import io
import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.mending import mend


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _edit(content: bytes) -> bytes:
    """Return metrics of which one was improved by hand, to the same length."""
    return re.sub(rb"\d(?=\D*$)", lambda digit: b"%d" % ((int(digit[0]) + 1) % 10), content, count=1)


WAYS: dict[str, Callable[[bytes], bytes | None]] = {
    "a bit flipped": _flip,
    "cut": _cut,
    "deleted": lambda _: None,
    "edited": _edit,
}


def sealed_files(root: Path) -> list[Path]:
    """Return the files that the seals of a study hold."""
    found = set()
    for seal in sorted(root.glob("reports/smoke/**/seal.json")):
        names = json.loads(seal.read_text())["files"]
        found |= {Path(os.path.normpath(seal.parent / name)) for name in names}
    return sorted(found)


def damages(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield how a file is damaged, and what is then in it; None for no file."""
    content = path.read_bytes()
    for way, damage in WAYS.items():
        if way != "edited" or path.name == "metrics.json":
            yield way, damage(content)


def put(path: Path, content: bytes | None) -> None:
    """Give a file another content, with the time at which it was written before, or remove it."""
    times = path.stat().st_mtime_ns if path.is_file() else None
    if content is None:
        path.unlink()
        return
    path.write_bytes(content)
    if times is not None:
        os.utime(path, ns=(times, times))


def named(said: str) -> list[str]:
    """Return the files that a run of the study calls damaged, sorted."""
    return sorted(line.split(": ")[1] for line in said.splitlines() if line.startswith("damaged: "))


def sweep(root: Path) -> tuple[int, list[str]]:
    """Damage each file of a finished study in turn, in each way, and put it back.

    Returns:
        How many damages, and those that a run would not name, alone and in one line.
    """
    layout, number, missed = StudyLayout.from_config({"profile": "smoke"}), 0, []
    for path in sealed_files(root):
        content, times = path.read_bytes(), path.stat().st_mtime_ns
        for way, other in damages(path):
            put(path, other)
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                mend(root, layout, dry_run=True)
            put(path, content)
            os.utime(path, ns=(times, times))
            number += 1
            if named(said.getvalue()) != [str(path.relative_to(root))]:
                missed.append(f"{path.relative_to(root)} {way}: {said.getvalue().strip()[:200]!r}")
    return number, missed


def damage_some(root: Path, rng: random.Random) -> list[str]:
    """Damage one file of each name in each way, all at once; return which, sorted."""
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in sealed_files(root):
        kind = re.sub(r"\d+", "0", path.name) if path.suffix != ".html" else ".html"
        for way, _ in damages(path):
            by_kind.setdefault((kind, way), []).append(path)
    chosen: dict[Path, bytes | None] = {}
    for (_, way), paths in sorted(by_kind.items()):
        if free := [path for path in paths if path not in chosen]:
            path = rng.choice(free)
            chosen[path] = dict(damages(path))[way]
    for path, content in chosen.items():
        put(path, content)
    return sorted(str(path.relative_to(root)) for path in chosen)


if __name__ == "__main__":
    count, not_named = sweep(Path(sys.argv[1]).resolve())
    print(f"{count} damages, {len(not_named)} not named", *not_named[:20], sep="\n")
    sys.exit(bool(not_named))
