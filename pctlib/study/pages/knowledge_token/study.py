"""ViTPose's transfer from large to small: no help, the teacher's heatmaps, its knowledge token, both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pctlib.checkpoints.vitpose import load_vitpose_into
from pctlib.data.augmentation import Inputs
from pctlib.distillation.knowledge_token import OutputDistillation, TokenTeacher, check_pair, with_token
from pctlib.models.estimator import PoseEstimator
from pctlib.models.token_vit import TokenViT, of_width
from pctlib.profiles.pages import KnowledgeTokenProfile, VitSizeProfile
from pctlib.profiles.profile import Profile
from pctlib.study.crops import SectionCrops, predict_people
from pctlib.study.page import OpenPage
from pctlib.study.pages.knowledge_token.trainings import (
    BOTH,
    NONE,
    OUTPUT,
    RANDOM,
    STUDENTS,
    TAUGHT,
    TEACHER,
    VARIANTS,
)
from pctlib.study.pages.vitpose import build_vitpose
from pctlib.study.people import Splits
from pctlib.study.runs import Fitted, RunDescription, fit_estimator, save_fitted
from pctlib.study.tasks import EstimatorTask
from pctlib.study.teachers import read_teacher
from pctlib.study.variants import check_variant, run_folder
from pctlib.training.fingerprint import fingerprint, weights_of
from pctlib.training.plan import mix_seed


class TransferTask(EstimatorTask):
    """Learn a student from labels and a teacher's heatmaps; the teacher sees each batch once.

    Made as `EstimatorTask`, with student and teacher as the model.
    """

    model: OutputDistillation

    def loss(self, model: OutputDistillation, batch: Inputs) -> tuple[dict[str, Tensor], None]:
        """Return the error to the labels and that to the teacher."""
        return model.losses(batch.images, self.target(model.student, batch)), None

    def estimator(self, model: OutputDistillation) -> PoseEstimator:
        """Return the student."""
        return model.student


@dataclass
class KnowledgeTokenStudy(SectionCrops):
    """Trains teacher, token and students of one study; its crops are decoded once for all of them.

    Attributes:
        profile: of the study, with the section "knowledge_token".
        splits: training and validation people.
        flip_test: measure with the mirrored images merged.
        progress: show progress bars.

    Raises:
        FileNotFoundError: if the profile names weights of a teacher that are not there.
        ValueError: if those weights, or the teacher, do not fit the student.
    """

    profile: Profile
    splits: Splits
    flip_test: bool = True
    progress: bool = True
    _kept: dict[tuple[str, int], Fitted] = field(default_factory=dict, repr=False)

    group = ""
    variants = VARIANTS

    @classmethod
    def of(cls, page: OpenPage) -> "KnowledgeTokenStudy":
        """Return the study of a page."""
        return cls(page.settings, page.splits)

    def __post_init__(self) -> None:
        check_pair(self.build_student(seed=0), self.new_teacher(seed=0))

    @property
    def section(self) -> KnowledgeTokenProfile:
        """The part of the profile."""
        return self.profile.knowledge_token

    def new_teacher(self, *, seed: int) -> PoseEstimator:
        """Return the teacher before this study trains it: with the given weights, or untrained."""
        torch.manual_seed(mix_seed(seed, "knowledge token: teacher"))
        built = self._build(self.section.teacher)
        weights = self.section.teacher_weights
        return read_teacher(weights, built, published_teacher) if weights else built

    def build_student(self, *, seed: int, token: Tensor | None = None) -> PoseEstimator:
        """Return an untrained student, with a token beside its patches if one is given.

        Args:
            seed: of the weights, which are the same with a token and without.
            token: [C] of any width; any values if trained weights are to be loaded.
        """
        torch.manual_seed(mix_seed(seed, "knowledge token: student"))
        student = self._build(self.section.student)
        return student if token is None else with_token(student, of_width(token, self.section.student.dim))

    def _build(self, size: VitSizeProfile) -> PoseEstimator:
        return build_vitpose(size, self.splits.train.skeleton, input_size=self.section.input_size)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one of `VARIANTS`, and what it learns from in the folders beside; return its metrics.

        Raises:
            ValueError: for another variant, or as `pctlib.training.loop.train`.
        """
        check_variant(variant, VARIANTS)
        fitted = self.fit(variant, seed, folder.parent)
        return fitted.metrics | {"parameters (M)": sum(p.numel() for p in fitted.model.parameters()) / 1e6}

    def fit(self, variant: str, seed: int, runs: Path) -> Fitted:
        """Return a trained variant; teacher and token are trained, or read back, once for all students.

        Args:
            variant: one of `VARIANTS`.
            seed: of weights, order and draws.
            runs: has a folder for each variant.
        """
        if variant in STUDENTS:
            return self._fit_student(variant, seed, runs)
        if (variant, seed) not in self._kept:
            fit = self._fit_teacher if variant == TEACHER else self._fit_token
            self._kept[variant, seed] = fit(seed, runs)
        return self._kept[variant, seed]

    def _fit_teacher(self, seed: int, runs: Path) -> Fitted:
        teacher, size = self.new_teacher(seed=seed), self.section.teacher
        if not self.section.teacher_weights:
            return self._fit(teacher, size, seed, run_folder(runs, TEACHER))
        teacher.to(self.profile.torch_device).eval()
        predictions = predict_people(teacher, self.val_crops, flip_test=self.flip_test)
        run = RunDescription.of_crops("knowledge_token", self.val_crops, _sizes(teacher, size))
        out_dir = run_folder(runs, TEACHER)
        fitted = save_fitted(teacher, [], predictions, crops=self.val_crops, out_dir=out_dir, run=run)
        return Fitted(teacher, {k: v for k, v in fitted.metrics.items() if k != "training seconds"})

    def _fit_token(self, seed: int, runs: Path) -> Fitted:
        teacher = self.fit(TEACHER, seed, runs).model
        identity = {"teacher": weights_of(teacher)}
        draw = torch.Generator().manual_seed(mix_seed(seed, "knowledge token: token"))
        learner = TokenTeacher(teacher, generator=draw)
        size = self.section.teacher.model_copy(update={"training": self.section.token})
        return self._fit(learner, size, seed, run_folder(runs, TAUGHT), identity=identity)

    def _fit_student(self, variant: str, seed: int, runs: Path) -> Fitted:
        token = self._token(variant, seed, runs)
        student = self.build_student(seed=seed, token=token)
        identity: dict[str, Any] = {} if token is None else {"token": fingerprint(token)}
        folder = run_folder(runs, variant)
        if variant not in (OUTPUT, BOTH):
            return self._fit(student, self.section.student, seed, folder, identity=identity)
        teacher = self.fit(TEACHER, seed, runs).model
        identity["teacher"] = weights_of(teacher)
        pair = OutputDistillation(student, teacher)
        return self._fit(student, self.section.student, seed, folder, identity=identity, pair=pair)

    def _token(self, variant: str, seed: int, runs: Path) -> Tensor | None:
        """Return the learned token, or a random one as long, or None for students without."""
        if variant in (NONE, OUTPUT):
            return None
        token = self.fit(TAUGHT, seed, runs).model.token.cpu()
        if variant != RANDOM:
            return token
        draw = torch.Generator().manual_seed(mix_seed(seed, "knowledge token: random token"))
        random = torch.randn(len(token), generator=draw)
        return random * (token.norm() / random.norm())

    def _fit(
        self,
        model: PoseEstimator,
        size: VitSizeProfile,
        seed: int,
        folder: Path,
        *,
        identity: Mapping[str, Any] | None = None,
        pair: OutputDistillation | None = None,
    ) -> Fitted:
        """Train a model by its labels, or as the student of a pair."""
        known = {"size": size.model_dump(mode="json", exclude={"training"}), **(identity or {})}
        data = {"val_crops": self.val_crops, "augmentation": size.augmentation, "identity": known}
        task = EstimatorTask(model, self.train_crops, **data)
        if pair is not None:
            task = TransferTask(pair, self.train_crops, **data)
        return fit_estimator(
            task,
            settings=size.training,
            seed=seed,
            out_dir=folder,
            kind="knowledge_token",
            sizes=_sizes(model, size),
            flip_test=self.flip_test,
            device=self.profile.device,
            progress=self.progress,
        )


def _sizes(model: PoseEstimator, size: VitSizeProfile) -> dict[str, Any]:
    """Return what `build_run` builds a model from."""
    return {"vitpose": size.model_dump(mode="json"), "token": isinstance(model.backbone, TokenViT)}


def build_run(run: RunDescription) -> PoseEstimator:
    """Return an untrained teacher or student, with a token if the run has one."""
    size = VitSizeProfile(**run.sizes["vitpose"])
    model = build_vitpose(size, run.skeleton, input_size=run.input_size)
    return with_token(model, torch.zeros(size.dim)) if run.sizes["token"] else model


def published_teacher(built: PoseEstimator, state: dict[str, Tensor], path: Path) -> PoseEstimator:
    """Load an official ViTPose of the size, decoder and keypoints of `built` into it, and return it."""
    load_vitpose_into(built, state, path)
    return built
