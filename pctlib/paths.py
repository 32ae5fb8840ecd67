"""Where the study's files are: the checkout that holds the notebooks, profiles, data and reports."""

import os
from pathlib import Path

_MARK = Path("workflow") / "sizes"


def project_root(start: str | Path | None = None) -> Path:
    """Return the folder of the study, found upwards from `start` (default: the working directory).

    The environment variable `PCTLIB_ROOT` names it directly, for a package installed elsewhere.

    Raises:
        FileNotFoundError: if no folder upwards holds `workflow/sizes`.
    """
    named = os.environ.get("PCTLIB_ROOT")
    start = Path(named or start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / _MARK).is_dir():
            return folder
    raise FileNotFoundError(
        f"no folder from {start} upwards holds {_MARK}; start inside a checkout or set PCTLIB_ROOT"
    )


def resolve(path: str | Path, root: Path | None = None) -> Path:
    """Return `path` as it is if absolute, else below the folder of the study."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else (root or project_root()) / path
