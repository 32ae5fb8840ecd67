"""Training the networks of the comparison, and reading them back."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pctlib.complexity import count_flops, count_parameters
from pctlib.data.people import People
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import Profile
from pctlib.profiles.sections import AugmentationProfile, ClassifierProfile
from pctlib.study.crops import CropCache, Crops
from pctlib.study.floor import floor_of
from pctlib.study.page import OpenPage
from pctlib.study.pages.comparison.heads import Parts
from pctlib.study.pages.comparison.networks import (
    Variant,
    as_read,
    build_variant,
    comparison_section,
    frozen_network,
    sized_profile,
    variants,
)
from pctlib.study.pages.comparison.trainings import FROZEN, PCT, RIVAL, VIT, WHOLE
from pctlib.study.people import Splits, first_people
from pctlib.study.poses import load_both
from pctlib.study.runs import (
    Fitted,
    RunDescription,
    fit_estimator,
    load_estimator,
    read_run,
    save_fitted,
)
from pctlib.study.speed import speeds
from pctlib.study.stages.classifier import FrozenStages, train_head
from pctlib.study.stages.tokenizer import adopt_tokenizer, load_tokenizer, train_tokenizer
from pctlib.study.tasks import EstimatorTask
from pctlib.study.variants import check_variant
from pctlib.training.fingerprint import weights_of
from pctlib.training.plan import mix_seed
from pctlib.training.settings import TrainingSettings

_WEIGHTS = "comparison: weights"  # one draw for all: heads of one shape start alike


class Run(NamedTuple):
    """One variant with one seed: its profile, the frozen parts of a variant of tokens, and its folder."""

    name: str
    variant: Variant
    profile: Profile
    parts: Parts | None
    seed: int
    folder: Path


class Recipe(NamedTuple):
    """Who a network that is trained whole learns from, and how."""

    people: People
    settings: TrainingSettings
    augmentation: AugmentationProfile


class WholeTask(EstimatorTask):
    """Learn backbone and representation together; measured once, after training, by `fit_estimator`."""

    def evaluate(self, model: PoseEstimator) -> dict[str, float]:
        """Return no metrics."""
        return {}


class Comparison:
    """Train and measure one network after another: the function that `train_variants` calls.

    Crops and features are made once and shared. Tokens are those of the study's tokenizer, or, where the
    comparison learns from fewer people than the study, of one that has learned from these alone.

    Args:
        profile: with a comparison.
        splits: training and validation people.
        study_dir: folder of the study: has `tokenizer-seed<seed>` and `heatmap-seed<seed>`.
        progress: show progress bars.

    Raises:
        ValueError: if the profile has no comparison or names an unknown rival.
    """

    def __init__(
        self, profile: Profile, splits: Splits, *, study_dir: str | Path, progress: bool = True
    ) -> None:
        self.profile, self.study_dir, self.progress = profile, Path(study_dir), progress
        self.section = comparison_section(profile)
        self.variants = variants(profile)
        self.splits = first_people(splits, self.section.train_people)
        self._fewer = self.splits is not splits
        self._crops = CropCache(profile)
        self._frozen = FrozenStages(self.splits, study_dir, progress=progress)
        self._tokenizers: set[Path] = set()  # that are trained

    group = ""

    @classmethod
    def of(cls, page: OpenPage) -> "Comparison":
        """Return the study of a page."""
        return cls(page.settings, page.splits, study_dir=page.study_dir)

    def __call__(self, name: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train, save and measure a variant.

        Args:
            name: a key of `variants(profile)`.
            seed: of weights, order and draws.
            folder: gets `model.safetensors`, `model.json` and `predictions.npz`.

        Returns:
            Metrics of the validation people, cost, and what the variant is.

        Raises:
            FileNotFoundError: if the tokenizer or the heatmap backbone of the seed is missing.
            ValueError: as `build_variant` and `pctlib.training.loop.train`.
        """
        check_variant(name, list(self.variants))
        variant = self.variants[name]
        tokenizer = self._tokenizer(seed, folder.parent) if variant.representation == PCT else None
        profile = self._profile(variant, seed, tokenizer)
        train = {FROZEN: self._train_frozen, WHOLE: self._train_whole, RIVAL: self._train_rival}
        fitted = train[variant.kind](Run(name, variant, profile, self._parts(seed, tokenizer), seed, folder))
        size = sized_profile(variant, profile).crop.input_size
        return {
            **variant._asdict(),
            **fitted.metrics,
            "parameters (M)": count_parameters(fitted.model) / 1e6,
            "GFLOPs": count_flops(fitted.model, size).gflops,
        }

    @property
    def val_crops(self) -> Crops:
        """The crops of the validation people at the input of the frozen variants."""
        return self._crops.cut(self.splits.val, training=False)

    @property
    def people(self) -> People:
        """The validation people that were measured: those whose image could be read."""
        return self.val_crops.people

    @property
    def floor(self) -> dict[str, float]:
        """What the mean pose of the training people reaches, in the crops of the frozen variants."""
        train = self._crops.cut(self.splits.train, training=True)
        return floor_of(train, self._crops.cut(self.splits.val, training=False))

    def _folder(self, step: str, seed: int) -> Path:
        return self.study_dir / f"{step}-seed{seed}"

    def _tokenizer(self, seed: int, runs: Path) -> Path:
        """Return the folder of a tokenizer that has learned from the people of this comparison."""
        if not self._fewer:
            return self._folder("tokenizer", seed)
        folder = runs / "tokenizer"
        if folder not in self._tokenizers:
            train, val = load_both(self.splits, self.profile)
            guide = self._frozen.backbone(seed) if self.profile.tokenizer.guide_ratio else None
            options = {"guide": guide, "progress": self.progress}
            train_tokenizer(self.profile, train, val_poses=val, seed=seed, out_dir=folder, **options)
            self._tokenizers.add(folder)
        return folder

    def _profile(self, variant: Variant, seed: int, tokenizer: Path | None) -> Profile:
        """Return the profile with the sections that the trained parts of a variant were built from."""
        profile = self.profile
        if tokenizer is not None:
            profile = adopt_tokenizer(profile, tokenizer)
        if variant.kind == FROZEN or (tokenizer is not None and profile.tokenizer.guide_ratio):
            trained = read_run(self._folder("heatmap", seed)).sizes["profile"]
            heatmap = Profile.model_validate(trained).heatmap
            profile = profile.model_copy(update={"heatmap": heatmap})
        return profile

    def _parts(self, seed: int, folder: Path | None) -> Parts | None:
        """Return the trained tokenizer, with its guide; None where there is none."""
        if folder is None:
            return None
        tokenizer = load_tokenizer(folder)
        return Parts(tokenizer, self._frozen.backbone(seed) if tokenizer.guided else None)

    def _train_frozen(self, run: Run) -> Fitted:
        frozen = self.profile.model_copy(update={"classifier": self._frozen_classifier()})
        stage = self._frozen.of(run.seed, frozen, crops=self._crops)
        torch.manual_seed(mix_seed(run.seed, _WEIGHTS))
        options = {"backbone": stage.backbone, "parts": run.parts}
        network = frozen_network(run.variant, run.profile, self.splits.train.skeleton, **options)
        result = train_head(
            run.profile.model_copy(update={"classifier": self._frozen_classifier()}),
            stage,
            network.representation,
            seed=run.seed,
            out_dir=run.folder,
            identity=_identity(run, stage.backbone),
            progress=self.progress,
        )
        return save_fitted(
            result.model,
            result.history,
            stage.predict(result.model, flip_test=self.section.flip_test),
            crops=stage.val_crops,
            out_dir=run.folder,
            run=RunDescription.of_crops("comparison", stage.val_crops, _sizes(run)),
        )

    def _frozen_classifier(self) -> ClassifierProfile:
        """Return the classifier's section with the epochs and views of the frozen variants."""
        classifier, frozen = self.profile.classifier, self.section.frozen
        training = classifier.training.model_copy(update={"epochs": frozen.epochs})
        return classifier.model_copy(update={"cached_views": frozen.views, "training": training})

    def _train_whole(self, run: Run) -> Fitted:
        whole, own = self.section.whole, {}
        recipe = Recipe(self.splits.train, whole.training, run.profile.heatmap.augmentation)
        if run.variant.backbone == VIT:
            recipe = recipe._replace(settings=whole.vitpose.training, augmentation=whole.vitpose.augmentation)
            own = whole.vitpose.model_dump(mode="json", exclude={"training"})
        return self._fit(run, recipe, own=own)

    def _train_rival(self, run: Run) -> Fitted:
        augmentation = run.profile.heatmap.augmentation
        recipe = Recipe(self._rivals_learn_from, self.section.rivals.training, augmentation)
        return self._fit(run, recipe, own={})

    @cached_property
    def _rivals_learn_from(self) -> People:
        return first_people(self.splits, self.section.rivals.train_people).train

    def _fit(self, run: Run, recipe: Recipe, *, own: dict[str, Any]) -> Fitted:
        """Train a network that shares nothing but people and crops with others."""
        cut, size = self._crops.cut, sized_profile(run.variant, run.profile).crop.input_size
        learned_from = cut(recipe.people, size, training=True)
        measured_on = cut(self.splits.val, size, training=False)
        torch.manual_seed(mix_seed(run.seed, _WEIGHTS))
        model = build_variant(run.variant, run.profile, self.splits.train.skeleton, parts=run.parts)
        learned = {"augmentation": recipe.augmentation, "identity": _identity(run, None) | own}
        return fit_estimator(
            WholeTask(model, learned_from, val_crops=measured_on, **learned),
            settings=recipe.settings,
            seed=run.seed,
            out_dir=run.folder,
            kind="comparison",
            sizes=_sizes(run),
            flip_test=self.section.flip_test,
            device=run.profile.device,
            progress=self.progress,
        )


def _sizes(run: Run) -> dict[str, Any]:
    """Return what `build_run` builds a network from."""
    return {"variant": run.name, "profile": run.profile.model_dump(mode="json")}


def _identity(run: Run, backbone: nn.Module | None) -> dict[str, Any]:
    """Return what tells a run from others besides people, shapes and schedule: values and trained parts."""
    kept = {"crop", "heatmap", "classifier"}
    values = run.profile.model_dump(mode="json", include=kept, exclude={name: {"training"} for name in kept})
    parts = run.parts
    trained = [part for part in (backbone, parts and parts.tokenizer, parts and parts.guide) if part]
    return {
        "variant": run.name,
        **values,
        "trained": [weights_of(p) for p in trained],
    }


def build_run(run: RunDescription) -> PoseEstimator:
    """Return the untrained network of a run."""
    profile = as_read(Profile.model_validate(run.sizes["profile"]))
    variant = variants(profile)[run.sizes["variant"]]
    parts = Parts.untrained(profile, run.skeleton) if variant.representation == PCT else None
    return build_variant(variant, profile, run.skeleton, parts=parts)


def compared_speeds(folders: Mapping[str, str | Path], **options: Any) -> dict[str, dict[int, float]]:
    """Return images/s of trained networks by name and batch size, each for crops of its own size.

    Args:
        folders: name -> folder of the run.
        options: of `cost.speeds`.

    Raises:
        FileNotFoundError: if a folder holds no trained network.
        ValueError: if weights do not fit.
    """
    return speeds({name: load_estimator(folder)[:2] for name, folder in folders.items()}, **options)
