"""From images to 3D in five ways, on one frozen backbone, equal people and equal epochs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.models.representations.lifting import Lifting
from pctlib.paths import resolve
from pctlib.profiles.profile import Profile
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import Features, FrozenStage, mirrored_features
from pctlib.study.pages.pose3d.measure import PREDICTIONS, measure
from pctlib.study.pages.pose3d.people import lifting_features, splits_3d
from pctlib.study.pages.pose3d.study import Seen3D, build_head, describe, lifted_skeleton, settings_3d
from pctlib.study.pages.pose3d.trainings import BASE, LIFTED, LIFTED_TRUE, METHODS, PCT, TOKENIZERS
from pctlib.study.people import Splits, first_people
from pctlib.study.predictions_3d import Predictions3D, load_predictions_3d, truth_3d
from pctlib.study.runs import RunDescription, load_run, read_run, save_run
from pctlib.study.stages.classifier import freeze_backbone, train_head
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import load_tokenizer
from pctlib.study.variants import check_variant, run_folder
from pctlib.training.plan import mix_seed

if TYPE_CHECKING:
    from pctlib.study.page import OpenPage


Finder = Callable[[Tensor], tuple[Representation, Keypoints]]
"""Images [N, 3, H, W] -> what is found in them, and the head that says in which space."""


@dataclass
class Frozen:
    """What the methods of one seed share.

    Attributes:
        heatmap: the model whose backbone is frozen, and whose 2D poses are lifted.
        stage: the frozen backbone, its people and their features.
        mirrored: features of the mirrored validation people; None: no flip test.
        run: what the model is.
    """

    heatmap: PoseEstimator
    stage: FrozenStage
    mirrored: Features | None
    run: RunDescription


@dataclass
class Methods3D:
    """Trains and measures the methods; a seed's features are computed once for all of them.

    Attributes:
        profile: of the study, with the section "pose3d".
        splits: training and validation people with 3D joints, and images.
        study_dir: holds `heatmap-seed<seed>`.
        runs: holds the tokenizers and methods of this page.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    study_dir: str | Path
    runs: str | Path
    progress: bool = True
    _frozen: tuple[int, Frozen] | None = field(default=None, init=False, repr=False)

    group = METHODS

    @classmethod
    def of(cls, page: "OpenPage") -> "Methods3D":
        """Return the study of a page."""
        return cls(page.settings, splits_3d(page.splits, page.settings), page.study_dir, page.folder)

    @property
    def variants(self) -> list[str]:
        """The names of the methods."""
        return list(self.profile.pose3d.methods)

    @cached_property
    def people(self) -> Splits:
        """The people to learn from, as many as the profile says, and those to measure on."""
        return first_people(self.splits, self.profile.pose3d.train_people)

    @property
    def settings(self) -> Profile:
        """The profile with the stages of this page in the place of those of 2D."""
        return settings_3d(self.profile)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train one method, or read it back; save its weights and predictions, and return its errors.

        Raises:
            ValueError: for another variant, or as `train_head`.
            FileNotFoundError: if the heatmap model, or for tokens the tokenizer, of the seed is missing.
        """
        check_variant(variant, self.variants)
        frozen, settings = self.frozen(seed), self.settings
        torch.manual_seed(mix_seed(seed, f"pose3d: weights of {variant}"))
        head, stage = self.build(variant, seed), frozen.stage
        if isinstance(head, Lifting):
            stage = self._lifted_stage(variant, frozen, head)
            schedule = {"training": self.profile.pose3d.lifting.training}
            settings = settings.model_copy(
                update={"classifier": settings.classifier.model_copy(update=schedule)}
            )
        result = train_head(
            settings, stage, head, seed=seed, out_dir=folder, identity={"method": variant},
            progress=self.progress,
        )  # fmt: skip
        head = result.model.representation.eval()
        skeleton_3d = self.people.train.skeleton_3d
        run = describe(variant, self.settings, frozen.run, skeleton_3d)
        save_run(folder, Seen3D(frozen.heatmap, head, skeleton_3d), run)
        trained = sum(p.numel() for p in head.parameters() if p.requires_grad)
        metrics = measure(head, stage, self.people.train, folder, mirrored=self._mirrored(head, frozen))
        return metrics | {"training seconds": result.seconds, "parameters (M)": trained / 1e6}

    def frozen(self, seed: int) -> Frozen:
        """Return the frozen backbone of a seed and its features; those of the last seed are kept."""
        if self._frozen is None or self._frozen[0] != seed:
            folder = resolve(self.study_dir) / f"heatmap-seed{seed}"
            heatmap = load_heatmap(folder)
            stage = freeze_backbone(
                self.settings, self.people, heatmap.backbone, seed=seed, progress=self.progress
            )
            mirrored = None
            if stage.val_features is not None and self.settings.classifier.flip_test:
                options = {"device": self.profile.torch_device, "progress": self.progress}
                mirrored = mirrored_features(heatmap.backbone, stage.val_crops, **options)
            heatmap.to(self.profile.torch_device).eval()
            self._frozen = seed, Frozen(heatmap, stage, mirrored, read_run(folder))
        return self._frozen[1]

    def build(self, variant: str, seed: int) -> Representation:
        """Return an untrained head; torch's global generator draws its weights."""
        tokenizer = None
        if variant == PCT:
            tokenizer = load_tokenizer(run_folder(Path(self.runs) / TOKENIZERS / f"seed{seed}", BASE))
        backbone, joints = self.frozen(seed).heatmap.backbone, self.people.train.skeleton_3d
        return build_head(variant, self.settings, backbone, joints, tokenizer=tokenizer)

    def load(self, variant: str, seed: int) -> Representation:
        """Return the trained head of a run, in eval mode.

        Raises:
            FileNotFoundError: if it is not trained.
            ValueError: if the weights do not fit.
        """
        run = load_run(run_folder(Path(self.runs) / METHODS / f"seed{seed}", variant))
        return run.head.to(self.profile.torch_device).eval()

    def predictions(self, variant: str, seed: int) -> Predictions3D:
        """Return what a run has predicted for the validation people, with the true depth of the root.

        Raises:
            FileNotFoundError: if there is no such run.
        """
        folder = run_folder(Path(self.runs) / METHODS / f"seed{seed}", variant)
        return load_predictions_3d(folder / PREDICTIONS, self.frozen(seed).stage.val_crops.people)

    def _mirrored(self, head: Representation, frozen: Frozen) -> Features | None:
        """Return what the flip test merges with; lifting has none, its input is symmetric by training."""
        return None if isinstance(head, Lifting) else frozen.mirrored

    def _lifted_stage(self, variant: str, frozen: Frozen, head: Lifting) -> FrozenStage:
        """Return the stage whose features are 2D poses, and standardise the head by them."""
        stage = frozen.stage
        train, val = (
            self._lifted(variant, frozen, crops, mirrored=crops is stage.train_crops)
            for crops in (stage.train_crops, stage.val_crops)
        )
        poses = torch.from_numpy(truth_3d(stage.train_crops.people))
        keypoints = train.maps[: len(poses)]
        head.standardise(keypoints, keypoints.isfinite().all(-1), poses)
        return FrozenStage(stage.backbone, stage.train_crops, stage.val_crops, train, val)

    def _lifted(self, variant: str, frozen: Frozen, crops: Crops, *, mirrored: bool) -> Features:
        people = crops.people
        if variant == LIFTED_TRUE:
            pixels = people.joints_image
            if pixels is None:
                raise ValueError(f"{people.source}: true 2D joints need the camera, the data set has none")
        else:
            pixels = predict_people(frozen.heatmap, crops).keypoints_image
        return lifting_features(
            people,
            pixels,
            np.ones(pixels.shape[:2], dtype=bool),
            skeleton=lifted_skeleton(variant, people.skeleton_3d),
            input_size=self.profile.crop.input_size,
            padding=self.profile.crop.evaluation_padding,
            mirrored=mirrored,
        )

    def finders(self, seed: int) -> dict[str, Finder]:
        """Return how each trained method that sees images finds poses in them.

        Raises:
            FileNotFoundError: if a method is not trained.
        """
        heatmap = self.frozen(seed).heatmap
        found: dict[str, Finder] = {}
        for variant in self.variants:
            if variant == LIFTED_TRUE:
                continue
            head = self.load(variant, seed)
            found[variant] = partial(_lift if variant == LIFTED else _read, heatmap, head)
        return found


def _read(model: PoseEstimator, head: Representation, images: Tensor) -> tuple[Representation, Keypoints]:
    return head, head.decode(head(model.backbone(images)))


def _lift(model: PoseEstimator, head: Representation, images: Tensor) -> tuple[Representation, Keypoints]:
    return head, head.decode(head([model.predict(images).keypoints]))
