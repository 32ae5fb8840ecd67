"""The people a study is made on: procedural, or read from a data set."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pctlib.data.coco import read_coco
from pctlib.data.datasets import LAYOUTS, read_dataset, splits_there
from pctlib.data.mpii import read_mpii
from pctlib.data.people import People, concatenate, convert
from pctlib.data.procedural.generate import FORMAT, generate
from pctlib.data.procedural.reader import read_procedural
from pctlib.paths import project_root
from pctlib.profiles.profile import Profile
from pctlib.skeletons import COCO
from pctlib.workflow.sources import check_source

TRAIN_SEED, VAL_SEED = 1, 2  # of the procedural people of every profile


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

    @property
    def finding(self) -> str:
        """How many people there are, in plain words, and how much of them is hidden."""
        numbers = self.counts()
        labelled = self.val.visible > 0
        hidden = (self.val.visible == 1).sum() / max(1, labelled.sum())
        return (
            f"{numbers['training people']} people in {numbers['training images']} images are there to learn "
            f"from, {numbers['validation people']} others in {numbers['validation images']} to measure on. "
            f"Of the labelled joints of these, {100 * hidden:.0f} % are hidden."
        )


def load_splits(
    dataset: str, profile: Profile, *, root: str = "", whole_body: bool = False, progress: bool = True
) -> Splits:
    """Return the people of a study; procedural people are made on the first call.

    Args:
        dataset: "procedural"; a published data set in its own layout below `root`, see
            `pctlib.data.datasets.LAYOUTS`; or "poses", annotation files without images for the tokenizer
            alone (COCO JSON or the MPII HDF5 file, several joined by the path separator), read as COCO-17.
        profile: says how many procedural people there are.
        root: folder or files of the data set.
        whole_body: the 133 keypoints of COCO-WholeBody where the set has them: the procedural people, and
            COCO if its whole-body annotations lie in the folder; of other sets the keypoints they have.
        progress: show a progress bar while people are made.

    Returns:
        Training and validation people. Where a set has only one split, a fifth of its images is held out.

    Raises:
        ValueError: if the name is unknown or the data are not sound.
        FileNotFoundError: if a file is missing.
    """
    check_source(dataset, root)
    if dataset == "poses":
        return _pose_files([Path(path) for path in root.split(os.pathsep)])
    if dataset == "procedural":
        folder = make_people(profile, progress=progress)
        options = {"whole_body": whole_body}
        train, val = (read_procedural(folder, split, **options) for split in ("train", "val"))
        return Splits(train, val, "procedural people")
    if dataset == "coco" and whole_body and splits_there("coco-wholebody", root):
        dataset = "coco-wholebody"
    return _published(dataset, Path(root), skip_invalid=profile.skip_broken)


def _published(name: str, root: Path, *, skip_invalid: bool) -> Splits:
    """Read the splits of a published data set that lie below a folder."""
    there = splits_there(name, root)
    learn = next((split for split in ("train", "trainval") if split in there), None)
    measure = next((split for split in ("val", "test") if split in there), None)
    if learn and measure:
        train, val = (_read_split(name, root, split, skip_invalid) for split in (learn, measure))
        return Splits(train, val, name)
    people = _read_split(name, root, learn or measure or next(iter(LAYOUTS[name])), skip_invalid)
    val, train = people.split(0.2, seed=0)
    return Splits(train, val, name)


def _read_split(name: str, root: Path, split: str, skip_invalid: bool) -> People:
    """Read one split, without images if their folder is missing."""
    folders = LAYOUTS[name][split].images
    with_images = any((root / folder).is_dir() for folder in folders)
    return read_dataset(name, root, split, with_images=with_images, skip_invalid=skip_invalid)


def first_people(splits: Splits, count: int | None) -> Splits:
    """Return splits with only the first `count` training people; None: all."""
    if count is None or count >= len(splits.train):
        return splits
    return replace(splits, train=splits.train.select(range(count)))


def make_people(profile: Profile, *, progress: bool = True) -> Path:
    """Make the procedural people of a profile where they are missing; return their folder.

    The folder is named by what decides its pictures, so that profiles of the same settings share it and
    other settings never mix with it.
    """
    settings = profile.people
    counts = f"{settings.train_images}+{settings.val_images}"
    name = f"{counts}-{settings.image_size}px-occlusion{settings.occlusion:g}-v{FORMAT}"
    root = project_root() / "data" / "procedural" / name
    parts = (("train", settings.train_images, TRAIN_SEED), ("val", settings.val_images, VAL_SEED))
    for split, count, seed in parts:
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
