"""Which data sets a study can be made on, and whether they are there."""

import os
from pathlib import Path

PUBLISHED = ("coco", "coco-wholebody", "crowdpose", "ochuman", "mpii", "lsp", "lsp-extended", "h36m", "own")
SOURCES = ("procedural", *PUBLISHED, "poses")
STUDIED = ("procedural", "coco", "crowdpose", "own")  # with images, two splits and OKS sigmas


def check_source(dataset: str, root: str) -> None:
    """Refuse a data set that is unknown, has no folder, or whose folder is missing.

    Args:
        dataset: one of `SOURCES`.
        root: its folder; for "poses" its files, joined by the path separator.

    Raises:
        ValueError: if the name is unknown, or a root is missing or not wanted.
        FileNotFoundError: if the root does not exist.
    """
    if dataset not in SOURCES:
        raise ValueError(f"data: expected one of {', '.join(SOURCES)}, got '{dataset}'")
    if dataset == "procedural":
        if root:
            raise ValueError(f"data root: procedural people need none, got '{root}'; was data=coco meant?")
        return
    if not root:
        raise ValueError(f"data root: data={dataset} needs the data set's folder (make: DATA_ROOT=folder)")
    for path in root.split(os.pathsep) if dataset == "poses" else [root]:
        if not Path(path).exists():
            raise FileNotFoundError(f"data root: no such file or folder: {path}")


def check_annotations(dataset: str, root: str) -> None:
    """Refuse a folder without the annotations of a published data set, before hours of other work.

    Args:
        dataset: one of `PUBLISHED`.
        root: its folder.

    Raises:
        ValueError: as `check_source`.
        FileNotFoundError: if the folder or its annotations are missing; says where they are expected.
    """
    # readers of all formats; commands that need none start faster
    from pctlib.data.datasets import LAYOUTS, splits_there

    check_source(dataset, root)
    if not splits_there(dataset, root):
        expected = [file for layout in LAYOUTS[dataset].values() for file in layout.annotations]
        raise FileNotFoundError(f"{root}: no annotations of {dataset}; expected one of {', '.join(expected)}")
