"""What a few images buy trained weights: before and after, head alone or all, and against no weights."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pctlib.data.overlap import PixelHashes, without_shared
from pctlib.data.people import People
from pctlib.models.estimator import FrozenBackbone, PoseEstimator
from pctlib.paths import project_root
from pctlib.profiles.finetune import FinetuneProfile
from pctlib.profiles.profile import Profile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.page import OpenPage
from pctlib.study.pages.finetune.start import Start, build_network, read_start
from pctlib.study.pages.finetune.trainings import BEFORE, HEAD, SCRATCH
from pctlib.study.people import Splits
from pctlib.study.runs import Fitted, RunDescription, fit_estimator, save_fitted
from pctlib.study.tasks import EstimatorTask
from pctlib.study.variants import check_variant
from pctlib.training.fingerprint import weights_of


@dataclass
class FinetuneStudy:
    """Trains the variants; crops are those of the weights' own tests, cut once for all of them.

    Attributes:
        profile: of the study, with the section "finetune".
        splits: training people, of a few images, and validation people.
        progress: show progress bars.

    Raises:
        FileNotFoundError: if the weights are not there.
        ValueError: if they cannot start a training on these keypoints.
    """

    profile: Profile
    splits: Splits
    progress: bool = True

    group = ""

    @classmethod
    def of(cls, page: OpenPage) -> "FinetuneStudy":
        """Return the study of a page, and count on its card what is learned from and taken over.

        Raises:
            ValueError: if images of the training set are measured on and the profile refuses them.
        """
        splits = few_images(page.splits, page.section)
        study = cls(page.settings, splits)
        page.card.counts = splits.counts() | study.start.counts()
        return study

    @property
    def section(self) -> FinetuneProfile:
        """The part of the profile."""
        return self.profile.finetune

    @property
    def variants(self) -> tuple[str, ...]:
        """Those of the profile."""
        return self.section.variants

    @cached_property
    def start(self) -> Start:
        """The trained weights."""
        skeleton, index = self.splits.train.skeleton, self.section.dataset_index
        return read_start(self.section.initial_weights, skeleton, dataset_index=index)

    @cached_property
    def train_crops(self) -> Crops:
        """The crops of the people to learn from."""
        return self._crops(self.splits.train, training=True)

    @cached_property
    def val_crops(self) -> Crops:
        """The crops of the people to measure on."""
        return self._crops(self.splits.val, training=False)

    def _crops(self, people: People, *, training: bool) -> Crops:
        run = self.start.run
        height, width = run.input_size
        size = {"input_height": height, "input_width": width, "evaluation_padding": run.padding}
        crop = self.profile.crop.model_copy(update=size)
        sized = self.profile.model_copy(update={"crop": crop})
        return Crops(people, sized, training=training, udp=run.udp)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one variant, or measure the weights as they start; save the run and return its metrics."""
        check_variant(variant, self.variants)
        model = self.start.network(seed, scratch=variant == SCRATCH)
        if variant == HEAD:
            model = FrozenBackbone(model.backbone, model.representation)
        if variant == BEFORE:
            return self._measure(model, folder).metrics | {"weights learned (M)": 0.0}
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return self._fit(variant, model, seed, folder).metrics | {"weights learned (M)": learned / 1e6}

    def _measure(self, model: PoseEstimator, folder: Path) -> Fitted:
        model = model.to(self.profile.torch_device).eval()
        predictions = predict_people(model, self.val_crops, flip_test=True)
        run = RunDescription.of_crops(self.start.run.kind, self.val_crops, self.start.run.sizes)
        return save_fitted(model, [], predictions, crops=self.val_crops, out_dir=folder, run=run)

    def _fit(self, variant: str, model: PoseEstimator, seed: int, folder: Path) -> Fitted:
        task = EstimatorTask(
            model,
            self.train_crops,
            val_crops=self.val_crops,
            augmentation=self.section.augmentation,
            identity={"variant": variant, "weights": weights_of(self.start.trained.model)},
        )
        return fit_estimator(
            task,
            settings=self.section.training,
            seed=seed,
            out_dir=folder,
            kind=self.start.run.kind,
            sizes=self.start.run.sizes,
            device=self.profile.device,
            progress=self.progress,
        )


def few_images(splits: Splits, section: FinetuneProfile, *, hashes: PixelHashes | None = None) -> Splits:
    """Return splits with the people of the first training images alone, none of which is measured on.

    Args:
        splits: of the data set.
        section: how many images, and what becomes of those that are measured on.
        hashes: of pixels; None: kept below the project's data.

    Raises:
        ValueError: as `without_shared`.
    """
    people = splits.train
    if section.train_images is not None:
        first = list(dict.fromkeys(people.image_ids.tolist()))[: section.train_images]
        people = people.select(np.isin(people.image_ids, first))
    hashes = hashes or PixelHashes(project_root() / "data" / "pixel-hashes.json")
    (train,) = without_shared([people], [splits.val], section.test_images, hashes)
    return replace(splits, train=train)


def build_run(run: RunDescription) -> PoseEstimator:
    """Return the untrained network of a run that started from published weights."""
    return build_network(run)
