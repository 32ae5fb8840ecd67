"""Which data sets a study can be made on."""

import os
from pathlib import Path

SOURCES = ("procedural", "coco", "poses")


def check_source(data: str, data_root: str) -> None:
    """Refuse a data set that is unknown, has no folder, or whose folder is missing.

    Raises:
        ValueError: if the name is unknown, or a root is missing or not wanted.
        FileNotFoundError: if the root does not exist.
    """
    if data not in SOURCES:
        raise ValueError(f"data: expected one of {', '.join(SOURCES)}, got '{data}'")
    if data == "procedural":
        if data_root:
            raise ValueError(
                f"data_root: procedural people need none, got '{data_root}'; did you mean data=coco?"
            )
        return
    if not data_root:
        raise ValueError(f"data_root: data={data} needs the folder of the data set (make: DATA_ROOT=folder)")
    for path in data_root.split(os.pathsep) if data == "poses" else [data_root]:
        if not Path(path).exists():
            raise FileNotFoundError(f"data_root: no such file or folder: {path}")
