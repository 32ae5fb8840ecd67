"""ViTPose on several data sets at once: one backbone, a decoder each, and an expert each (ViTPose+)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pctlib.data.overlap import WHY, PixelHashes, without_shared
from pctlib.data.people import convert
from pctlib.models.vit import ViT
from pctlib.models.vitpose import MultiDatasetEstimator
from pctlib.paths import project_root, resolve
from pctlib.profiles.pages import JointProfile, VitSizeProfile
from pctlib.profiles.profile import Profile
from pctlib.skeletons import COCO, CROWDPOSE, MPII, SKELETONS
from pctlib.study.crops import CropCache, Crops, predict_people
from pctlib.study.page import OpenPage
from pctlib.study.pages.joint.draw import BalancedDraw
from pctlib.study.pages.joint.task import MEASURES, JointTask, mean_of
from pctlib.study.pages.joint.trainings import ALONE, EXPERTS, VARIANTS
from pctlib.study.pages.vitpose import build_representation, vit_size
from pctlib.study.people import Splits, first_people, load_splits
from pctlib.study.predictions import judge
from pctlib.study.runs import RunDescription, save_run
from pctlib.study.variants import check_variant
from pctlib.training.loop import train
from pctlib.training.plan import mix_seed

READINGS = (COCO, MPII, CROWDPOSE)


def read_sets(profile: Profile, dataset: str, *, root: str = "") -> list[Splits]:
    """Return the published data sets that the profile's section "joint" names, or else `readings`.

    Args:
        profile: of the study. Folders of data sets are absolute or below that of the study.
        dataset: data set of the study, whose people are read in several ways.
        root: folder of that data set.

    Raises:
        ValueError: as `load_splits`.
        FileNotFoundError: if a file or folder is missing.
    """
    section = profile.joint
    if not section.datasets:
        return readings(first_people(load_splits(dataset, profile, root=root), section.train_people))
    folders = {name: str(resolve(folder)) for name, folder in section.datasets.items()}
    read = [load_splits(name, profile, root=folder) for name, folder in folders.items()]
    chosen = [first_people(splits, section.train_people) for splits in read]
    hashes = PixelHashes(project_root() / "data" / "pixel-hashes.json")
    measured = [splits.val for splits in chosen]
    trained = without_shared([splits.train for splits in chosen], measured, section.test_images, hashes)
    return [replace(splits, train=train) for splits, train in zip(chosen, trained, strict=True)]


def readings(splits: Splits) -> list[Splits]:
    """Return disjoint thirds of the training people, each in another keypoint set; validation people stay."""
    seed = mix_seed("joint: thirds")
    first, rest = splits.train.split(1 / 3, seed=seed)
    parts = (first, *rest.split(1 / 2, seed=seed))
    return [
        Splits(convert(part, skeleton), convert(splits.val, skeleton), skeleton.name)
        for part, skeleton in zip(parts, READINGS, strict=True)
    ]


def sets_frame(sets: Sequence[Splits]) -> pd.DataFrame:
    """Return what the data sets hold, one row each."""
    rows = []
    for splits in sets:
        labelled = splits.train.labelled
        rows.append(
            {
                "data set": splits.name,
                "keypoints": splits.train.skeleton.num_keypoints,
                "of them ever labelled": int(labelled.any(0).sum()),
                "training people": len(splits.train),
                "training joints": int(labelled.sum()),
                "validation people": len(splits.val),
                "training people left out: image measured on": splits.train.excluded.get(WHY, 0),
            }
        )
    return pd.DataFrame(rows)


@dataclass
class JointStudy:
    """Trains the variants on some data sets; each is decoded once for all of them.

    Attributes:
        profile: of the study, with the section "joint".
        sets: training and validation people of each data set; names differ.
        flip_test: measure with the mirrored images merged.
        progress: show progress bars.

    Raises:
        ValueError: if there are fewer than two data sets, or two of one name.
    """

    profile: Profile
    sets: Sequence[Splits]
    flip_test: bool = True
    progress: bool = True

    group = ""
    variants = VARIANTS

    @classmethod
    def of(cls, page: OpenPage) -> "JointStudy":
        """Return the study of a page."""
        sets = read_sets(page.settings, page.layout.dataset, root=page.layout.root)
        left_out = {f"{s.name}: {WHY}": s.train.excluded[WHY] for s in sets if WHY in s.train.excluded}
        page.card.counts = {**page.card.counts, **left_out}
        return cls(page.settings, sets)

    def __post_init__(self) -> None:
        if len(self.sets) < 2 or len(set(self.names)) != len(self.sets):
            raise ValueError(f"sets: expected two or more of different names, got {self.names}")

    @property
    def section(self) -> JointProfile:
        """The part of the profile."""
        return self.profile.joint

    @property
    def names(self) -> list[str]:
        """The names of the data sets."""
        return [splits.name for splits in self.sets]

    @cached_property
    def train_crops(self) -> dict[str, Crops]:
        """The people to learn from, by data set."""
        cut, size = CropCache(self.profile).cut, self.section.input_size
        return {splits.name: cut(splits.train, size, training=True) for splits in self.sets}

    @cached_property
    def val_crops(self) -> dict[str, Crops]:
        """The people to measure on, by data set."""
        cut, size = CropCache(self.profile).cut, self.section.input_size
        return {splits.name: cut(splits.val, size, training=False) for splits in self.sets}

    def build(self, names: Sequence[str], *, experts: bool, seed: int) -> MultiDatasetEstimator:
        """Return an untrained model for some of the data sets; decoders of a seed are always the same."""
        section = self.section
        torch.manual_seed(mix_seed(seed, "joint: backbone"))
        backbone = ViT(
            vit_size(section.vitpose, part_features=section.part_features if experts else 0),
            section.input_size,
            num_experts=len(names) if experts else 0,
        )
        representations = []
        for name in names:
            number = self.names.index(name)
            torch.manual_seed(mix_seed(seed, "joint: decoder", number))
            skeleton = self.sets[number].train.skeleton
            representations.append(
                build_representation(section.vitpose, skeleton, input_size=section.input_size)
            )
        return MultiDatasetEstimator(backbone, representations)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one of `VARIANTS`; return the metrics "<metric> <data set>", their means, and the costs.

        Raises:
            ValueError: for another variant, or as `pctlib.training.loop.train`.
        """
        check_variant(variant, VARIANTS)
        if variant != ALONE:
            metrics = self._fit(self.names, seed=seed, folder=folder, experts=variant == EXPERTS)
        else:
            parts = [self._fit([name], seed=seed, folder=folder / name) for name in self.names]
            summed = ("parameters (M)", "training seconds", "images seen")
            metrics = {key: value for part in parts for key, value in part.items()}
            metrics |= {key: sum(part[key] for part in parts) for key in summed}
        return metrics | {key: mean_of(metrics, key, self.names) for key in MEASURES}

    def _fit(
        self, names: Sequence[str], *, seed: int, folder: Path, experts: bool = False
    ) -> dict[str, float]:
        """Train one model on some of the data sets, measure it on each, and save weights and predictions."""
        sizes, settings = self.section.vitpose, self.section.vitpose.training
        draw = self._draw(names, seed)
        task = JointTask(
            self.build(names, experts=experts, seed=seed),
            {name: self.train_crops[name] for name in names},
            val_crops={name: self.val_crops[name] for name in names},
            draw=draw,
            augmentation=sizes.augmentation,
            identity={"size": sizes.model_dump(mode="json", exclude={"training"}), "names": list(names)},
        )
        task.model.to(memory_format=torch.channels_last)
        result = train(
            task, settings, out_dir=folder, seed=seed, device=self.profile.device, progress=self.progress
        )
        return self._measure(result.model, names, folder) | {
            "parameters (M)": sum(p.numel() for p in result.model.parameters()) / 1e6,
            "training seconds": result.seconds,
            "images seen": settings.epochs * draw.images,
        }

    def _draw(self, names: Sequence[str], seed: int) -> BalancedDraw:
        """Return the draw of all data sets, of which only some are taken: people and steps stay the same."""
        return BalancedDraw(
            tuple(len(self.train_crops[name]) for name in self.names),
            self.section.shares or (1,) * len(self.names),
            self.section.vitpose.training.batch_size,
            seed,
            drawn=tuple(self.names.index(name) for name in names),
        )

    def _measure(self, model: MultiDatasetEstimator, names: Sequence[str], folder: Path) -> dict[str, float]:
        first, backbone = self.val_crops[names[0]], model.backbone
        sizes = {
            "vitpose": self.section.vitpose.model_dump(mode="json"),
            "part_features": self.section.part_features if backbone.num_experts else 0,
            "num_experts": backbone.num_experts,
            "skeletons": [self.val_crops[name].people.skeleton.name for name in names],
        }
        save_run(folder, model, RunDescription.of_crops("joint", first, sizes))
        metrics = {}
        for number, name in enumerate(names):
            crops = self.val_crops[name]
            predictions = predict_people(model.of_dataset(number), crops, flip_test=self.flip_test)
            predictions.save(folder / f"predictions-{name}.npz", crops.people)
            metrics |= {f"{key} {name}": value for key, value in judge(crops.people, predictions).items()}
        return metrics


def build_run(run: RunDescription) -> MultiDatasetEstimator:
    """Return the untrained model of a run: a decoder for each data set, and an expert if it has them."""
    size, skeletons = VitSizeProfile(**run.sizes["vitpose"]), run.sizes["skeletons"]
    parts, count = run.sizes["part_features"], run.sizes["num_experts"]
    backbone = ViT(vit_size(size, part_features=parts), run.input_size, num_experts=count)
    heads = [build_representation(size, SKELETONS[name], input_size=run.input_size) for name in skeletons]
    return MultiDatasetEstimator(backbone, heads)
