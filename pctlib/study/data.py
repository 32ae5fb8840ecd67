"""The people a study is made on: procedural, or read from a data set."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pctlib.data.coco import read_coco
from pctlib.data.mpii import read_mpii
from pctlib.data.people import People, concatenate, convert
from pctlib.data.procedural.generate import generate, load_3d
from pctlib.profiles import Profile
from pctlib.project import project_root
from pctlib.skeletons import COCO

SOURCES = ("procedural", "coco", "poses")


@dataclass(frozen=True)
class Splits:
    """Training and validation people.

    Attributes:
        train: people to learn from.
        val: people to measure on; from other images.
        name: of the data set, for reports.
    """

    train: People
    val: People
    name: str

    def summary(self) -> pd.DataFrame:
        """Return images, people and joints of both splits as a table."""
        rows = []
        for split, people in (("training", self.train), ("validation", self.val)):
            flags = people.visible
            rows.append(
                {
                    "split": split,
                    "images": len(np.unique(people.image_ids)),
                    "people": len(people),
                    "joints labelled": int((flags > 0).sum()),
                    "of them hidden (%)": 100 * float((flags == 1).sum() / max(1, (flags > 0).sum())),
                    "people left out": sum(people.excluded.values()),
                }
            )
        return pd.DataFrame(rows)

    def counts(self) -> dict[str, int]:
        """Return what a run card lists: images, people, and who was left out and why."""
        counts = {}
        for split, people in (("training", self.train), ("validation", self.val)):
            counts[f"{split} images"] = len(set(people.image_ids.tolist()))
            counts[f"{split} people"] = len(people)
            counts |= {f"{split} people left out: {why}": n for why, n in people.excluded.items() if n}
        return counts


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


def load_splits(data: str, profile: Profile, *, data_root: str = "", progress: bool = True) -> Splits:
    """Return the people of a study; procedural people are made on the first call.

    Args:
        data: "procedural"; "coco", a folder with `annotations/person_keypoints_{train,val}2017.json` and the
            images; or "poses", annotation files without images for the tokenizer alone (COCO JSON or the
            MPII HDF5 file, several joined by the path separator): all are read as COCO-17 and a fifth of the
            images is held out.
        profile: says how many procedural people there are.
        data_root: folder or files of the data set.
        progress: show a progress bar while people are made.

    Raises:
        ValueError: if the name is unknown or the data are not sound.
        FileNotFoundError: if a file is missing.
    """
    check_source(data, data_root)
    if data == "poses":
        return _pose_files([Path(path) for path in data_root.split(os.pathsep)])
    if data == "coco":
        train, val = (
            read_coco(
                Path(data_root) / "annotations" / f"person_keypoints_{split}2017.json",
                Path(data_root) / f"{split}2017",
            )
            for split in ("train", "val")
        )
        return Splits(train, val, "COCO")
    root = make_people(profile, progress=progress)
    train, val = (read_procedural(root, split) for split in ("train", "val"))
    return Splits(train, val, "procedural people")


def make_people(profile: Profile, *, progress: bool = True) -> Path:
    """Make the procedural people of a profile where they are missing; return their folder.

    The folder is named by what decides its pictures, so that profiles of the same settings share it and
    other settings never mix with it.
    """
    settings = profile.people
    counts = f"{settings.train_images}+{settings.val_images}"
    name = f"{counts}-{settings.image_size}px-occlusion{settings.occlusion:g}"
    root = project_root() / "data" / "procedural" / name
    for split, count, seed in (("train", settings.train_images, 1), ("val", settings.val_images, 2)):
        generate(
            root,
            split=split,
            count=count,
            seed=seed,
            image_size=settings.image_size,
            occlusion=settings.occlusion,
            workers=max(1, profile.workers),
            progress=progress,
        )
    return root


def read_procedural(root: Path, split: str) -> People:
    """Read procedural people with their 3D joints and occlusion levels."""
    people = read_coco(root / "annotations" / f"person_keypoints_{split}.json", root / split)
    known = load_3d(root, split)
    row = {int(number): index for index, number in enumerate(known["annotation_ids"])}
    rows = [row[int(number)] for number in people.annotation_ids]
    return dataclasses.replace(
        people, keypoints_3d=known["joints_3d"][rows], occlusion=known["occlusion"][rows]
    )


def _pose_files(paths: list[Path]) -> Splits:
    parts = [_read_poses(path).split(0.2, seed=0) for path in paths]
    return Splits(
        concatenate([train for _, train in parts]),
        concatenate([val for val, _ in parts]),
        " and ".join(path.parent.name for path in paths),
    )


def _read_poses(path: Path) -> People:
    if path.suffix in (".h5", ".hdf5"):
        return convert(read_mpii(path, ""), COCO)
    return read_coco(path)
