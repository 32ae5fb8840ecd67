"""The other choices of PCT: tokenizers and token classifiers that differ from the profile's in one thing."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from pctlib.complexity import count_parameters
from pctlib.metrics.pck import mean_error
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer
from pctlib.paths import resolve
from pctlib.profiles.pages import ChoicesProfile
from pctlib.profiles.profile import Profile
from pctlib.study.features import FrozenStage
from pctlib.study.page import OpenPage
from pctlib.study.pages.choices import trainings
from pctlib.study.pages.choices.changes import changes_of
from pctlib.study.people import Splits, first_people
from pctlib.study.poses import Poses, load_both
from pctlib.study.predictions import judge
from pctlib.study.stages.classifier import FrozenStages, train_classifier
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import (
    adopt_tokenizer,
    evaluate_tokenizer,
    load_tokenizer,
    pose_tokenizer,
    reconstruct,
    train_tokenizer,
)
from pctlib.study.variants import check_variant, run_folder
from pctlib.training.plan import mix_seed

BOTH = "both losses"
CLASSIFIERS: dict[str, dict[str, float]] = {
    BOTH: {},
    "token loss only": {"keypoint_loss_weight": 0.0},
    "keypoint loss only": {"token_loss_weight": 0.0},
}
"""What each classifier changes in the section "classifier" of the profile."""

LOOKUPS = ("soft", "hard")


def hidden_joints(poses: Poses, share: float) -> Tensor:
    """Return bool [N, K], which joints the encoder is not shown: the same for every tokenizer and seed."""
    generator = torch.Generator().manual_seed(mix_seed("choices: hidden joints"))
    return torch.rand(poses.visible.shape, generator=generator) < share


@dataclass
class TokenizerChoices:
    """Trains and measures the tokenizers of a family; each set of poses is read once.

    Attributes:
        profile: of the study, with the section "choices".
        splits: training and validation people, with images where a tokenizer is guided.
        study_dir: holds `heatmap-seed<seed>`, whose backbone guides.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    study_dir: str | Path
    progress: bool = True
    _poses: dict[bool, tuple[Poses, Poses]] = field(default_factory=dict)

    group = trainings.TOKENIZERS

    @classmethod
    def of(cls, page: OpenPage) -> "TokenizerChoices":
        """Return the study of a page."""
        return cls(page.settings, page.splits, page.study_dir)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the tokenizers."""
        return self.section.tokenizers

    @property
    def section(self) -> ChoicesProfile:
        """The part of the profile."""
        return self.profile.choices

    def profile_of(self, variant: str) -> Profile:
        """Return the profile of one tokenizer: the base's on the short schedule, but for one thing.

        Raises:
            ValueError: if there is no such variant.
        """
        num_keypoints = self.splits.train.skeleton.num_keypoints
        changes = changes_of(variant, self.profile.tokenizer, num_keypoints=num_keypoints)
        epochs = self.section.tokenizer_epochs
        training = self.profile.tokenizer.training.model_copy(
            update={"epochs": epochs, "evaluate_every": epochs}
        )
        tokenizer = self.profile.tokenizer.model_copy(update={"training": training} | changes)
        classifier = self.profile.classifier
        if tokenizer.guide_ratio:  # such a tokenizer sees every image, so no features are kept
            classifier = classifier.model_copy(update={"cached_views": 0})
        return self.profile.model_copy(update={"tokenizer": tokenizer, "classifier": classifier})

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train one of `TOKENIZERS`; return its reconstruction metrics, sizes and costs.

        Raises:
            ValueError: for another variant, or as `train_tokenizer`.
            FileNotFoundError: if it is guided and the heatmap model of the seed is missing.
        """
        profile = self.profile_of(variant)
        guided = profile.tokenizer.guide_ratio > 0
        train_poses, val_poses = self._read(profile, guided)
        result = train_tokenizer(
            profile,
            train_poses,
            val_poses=val_poses,
            seed=seed,
            out_dir=folder,
            guide=_guide(self.study_dir, seed) if guided else None,
            progress=self.progress,
        )
        return self.measure(result.model, val_poses) | {"training seconds": result.seconds}

    def _read(self, profile: Profile, guided: bool) -> tuple[Poses, Poses]:
        """Return training and validation poses, with their images if guided."""
        if guided not in self._poses:
            self._poses[guided] = load_both(first_people(self.splits, self.section.train_people), profile)
        return self._poses[guided]

    def measure(self, model: PoseTokenizer | GuidedTokenizer, poses: Poses) -> dict[str, float]:
        """Return what a tokenizer loses of poses, also where joints are hidden from it, and its sizes."""
        model = model.eval()
        hidden = hidden_joints(poses, self.section.evaluation_hidden)
        image = poses.to_image(reconstruct(model, poses, hidden=hidden)[0])
        truth, labelled = poses.people.keypoints_image, poses.people.labelled
        tokenizer = pose_tokenizer(model)
        entries = tokenizer.codebook.codebook
        return evaluate_tokenizer(model, poses) | {
            "error px, some hidden": mean_error(image, truth, labelled),
            "error px of the hidden": mean_error(image, truth, labelled & hidden.numpy()),
            "bits": tokenizer.num_tokens * math.log2(len(entries)),
            "weights": count_parameters(tokenizer) - _learned(entries),
            "encoder weights": count_parameters(tokenizer.encoder),
        }


def _learned(entries: Tensor) -> int:
    """Return how many weights of a network the entries of its codebook are: none if they are averages."""
    return entries.numel() if isinstance(entries, nn.Parameter) else 0


def _guide(study_dir: str | Path, seed: int) -> Backbone:
    return load_heatmap(resolve(study_dir) / f"heatmap-seed{seed}").backbone


@dataclass
class ClassifierChoices:
    """Trains token classifiers on the frozen heatmap backbone and reads each out in both ways.

    The features of a seed's backbone are computed once for all its classifiers.

    Attributes:
        profile: of the study, with the section "choices".
        splits: training and validation people with images.
        study_dir: holds `tokenizer-seed<seed>` and `heatmap-seed<seed>`.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    study_dir: str | Path
    progress: bool = True

    group = trainings.CLASSIFIERS

    @classmethod
    def of(cls, page: OpenPage) -> "ClassifierChoices":
        """Return the study of a page."""
        return cls(page.settings, page.splits, page.study_dir)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the classifiers."""
        return self.section.classifiers

    @property
    def section(self) -> ChoicesProfile:
        """The part of the profile."""
        return self.profile.choices

    def profile_of(self, variant: str, seed: int) -> Profile:
        """Return the profile of one classifier, with the sizes of the tokenizer of the seed.

        Raises:
            ValueError: if there is no such variant.
            FileNotFoundError: if there is no tokenizer of the seed.
        """
        return self._shortened(variant, resolve(self.study_dir) / f"tokenizer-seed{seed}")

    def _shortened(self, variant: str, tokenizer: Path) -> Profile:
        """Return the profile of a classifier of the tokens of a trained tokenizer."""
        check_variant(variant, [*CLASSIFIERS, *trainings.CODES])
        profile = adopt_tokenizer(self.profile, tokenizer)
        sizes, epochs = profile.classifier, self.section.classifier_epochs
        training = sizes.training.model_copy(update={"epochs": epochs, "evaluate_every": epochs})
        views = 0 if profile.tokenizer.guide_ratio else self.section.views
        changes = {"training": training, "cached_views": views} | CLASSIFIERS.get(variant, {})
        return profile.model_copy(update={"classifier": sizes.model_copy(update=changes)})

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train one of `CLASSIFIERS`, or one of other codes; return "<look-up> <metric>" of both look-ups.

        Without flip test. A classifier of other codes learns the tokens of a tokenizer of this page, which
        lies beside it.

        Raises:
            ValueError: for another variant, or as `train_classifier`.
            FileNotFoundError: if the tokenizer or heatmap model of the seed is missing.
        """
        source = resolve(self.study_dir) / f"tokenizer-seed{seed}"
        if variant in trainings.CODES:
            page = folder.parents[2]
            source = run_folder(page / trainings.TOKENIZERS / f"seed{seed}", trainings.CODES[variant])
        profile = self._shortened(variant, source)
        stage = self._frozen.of(seed, profile)
        tokenizer = load_tokenizer(source)
        result = train_classifier(
            profile, stage, tokenizer, seed=seed, out_dir=folder, progress=self.progress
        )
        metrics = {"training seconds": result.seconds}
        for lookup in LOOKUPS:
            metrics |= {
                f"{lookup} {key}": value for key, value in _judge(result.model, stage, lookup).items()
            }
        return metrics

    @cached_property
    def _frozen(self) -> FrozenStages:
        some = first_people(self.splits, self.section.train_people)
        return FrozenStages(some, self.study_dir, progress=self.progress)


def _judge(model: PoseEstimator, stage: FrozenStage, lookup: str) -> dict[str, float]:
    """Return the metrics of the validation people with one way to look the entries up."""
    head = model.representation
    trained, head.lookup = head.lookup, lookup
    predictions = stage.predict(model)
    head.lookup = trained
    return judge(stage.val_crops.people, predictions)
