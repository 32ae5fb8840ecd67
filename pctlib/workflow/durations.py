"""How long the jobs of a study took before: on this machine, or where the project measured them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pctlib.io import read_json
from pctlib.paths import project_root

DURATIONS = "durations.json"  # of a study, in its folder
MEASURED = Path("workflow") / DURATIONS  # of the profiles of the project, from one machine


@cache
def known_durations(study: str) -> Mapping[str, float]:
    """Return rule -> core-seconds of the jobs of a study as the project measured them; none for others."""
    values = _read(project_root() / MEASURED).get(study, {})
    return values if isinstance(values, dict) else {}


def own_durations(folder: Path) -> dict[str, float]:
    """Return rule -> core-seconds of the jobs that have run in a study's folder.

    Nothing where they are not known or damaged, as they only help to guess.
    """
    values = _read(folder / DURATIONS)
    return {key: float(value) for key, value in values.items() if isinstance(value, (int, float))}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path) if path.is_file() else {}
    except (ValueError, OSError):
        return {}
    return values if isinstance(values, dict) else {}
