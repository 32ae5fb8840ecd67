"""The people a study is made on: procedural, or read from a data set."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pctlib.data.coco import read_coco
from pctlib.data.mpii import read_mpii
from pctlib.data.people import People, concatenate, convert
from pctlib.data.procedural.generate import FORMAT, generate
from pctlib.data.procedural.reader import read_procedural
from pctlib.profiles import Profile
from pctlib.project import project_root
from pctlib.skeletons import COCO
from pctlib.study.sources import check_source


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
    name = f"{counts}-{settings.image_size}px-occlusion{settings.occlusion:g}-v{FORMAT}"
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
