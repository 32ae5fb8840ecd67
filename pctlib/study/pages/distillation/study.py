"""DWPose's two stages: a student without and with a teacher, a new head without and with the first stage."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pctlib.complexity import count_flops, count_parameters
from pctlib.data.people import concatenate
from pctlib.data.ubody import read_ubody
from pctlib.distillation.dwpose import (
    HeadDistillation,
    StudentDistillation,
    check_memory,
)
from pctlib.metrics.wholebody import part_ap, part_errors
from pctlib.models.estimator import PoseEstimator
from pctlib.paths import resolve
from pctlib.profiles.pages import DistillationProfile, SimCCModelProfile
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.crops import CropCache, SectionCrops, predict_people
from pctlib.study.page import OpenPage
from pctlib.study.pages.distillation.models import (
    build_head,
    build_model,
    build_simcc,
    constants_of,
    published_teacher,
    sizes_of,
)
from pctlib.study.pages.distillation.tasks import NewHeadTask, StudentTask
from pctlib.study.pages.distillation.trainings import NEITHER, STEADY, TAUGHT_BY, TEACHER, VARIANTS
from pctlib.study.people import Splits
from pctlib.study.predictions import load_predictions
from pctlib.study.runs import Fitted, RunDescription, fit_estimator, load_estimator, save_fitted
from pctlib.study.tasks import EstimatorTask
from pctlib.study.teachers import read_teacher
from pctlib.study.variants import check_variant, run_folder
from pctlib.training.fingerprint import weights_of
from pctlib.training.plan import mix_seed
from pctlib.training.settings import TrainingSettings


@dataclass
class DistillationStudy(SectionCrops):
    """Trains teacher, students and new heads of one study; its crops are decoded once for all of them.

    What cannot work is refused here, before anything is trained.

    Attributes:
        profile: of the study, with the section "distillation".
        splits: training and validation people, with or without labels.
        progress: show progress bars.

    Raises:
        FileNotFoundError: if the profile names weights of a teacher, or a UBody, that are not there.
        ValueError: if those are damaged, UBody has other keypoints than the study's people, teacher and
            student differ in keypoints, bins or feature grid, or a step of stage one does not fit in memory.
    """

    profile: Profile
    splits: Splits
    progress: bool = True

    group = ""
    variants = VARIANTS

    @classmethod
    def of(cls, page: OpenPage) -> "DistillationStudy":
        """Return the study of a page."""
        return cls(page.settings, page.people(whole_body=True))

    def __post_init__(self) -> None:
        if self.section.ubody:
            more = read_ubody(resolve(self.section.ubody), skip_invalid=self.profile.skip_broken)
            self.splits = replace(self.splits, train=concatenate([self.splits.train, more]))
        student, teacher = self.new_student(seed=0), self.new_teacher(seed=0)
        self._pair(student, teacher, decay=True)

    @property
    def section(self) -> DistillationProfile:
        """The part of the profile."""
        return self.profile.distillation

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that are learned."""
        return self.splits.train.skeleton

    @cached_property
    def crops(self) -> CropCache:
        """All crops that are cut, as RTMPose does: alike in training and evaluation."""
        crop = self.profile.crop.model_copy(update={"evaluation_padding": self.profile.crop.padding})
        return CropCache(self.profile.model_copy(update={"crop": crop}))

    def new_teacher(self, *, seed: int) -> PoseEstimator:
        """Return the teacher before this study trains it: with the weights given, or untrained."""
        torch.manual_seed(mix_seed(seed, "distillation: teacher"))
        built = build_model(self.section, self.section.teacher, self.skeleton)
        weights = self.section.teacher_weights
        return read_teacher(weights, built, published_teacher) if weights else built

    def new_student(self, *, seed: int) -> PoseEstimator:
        """Return an untrained student; of one seed it is the same in every variant."""
        torch.manual_seed(mix_seed(seed, "distillation: student"))
        return build_model(self.section, self.section.student, self.skeleton)

    def load(self, variant: str, runs: str | Path) -> PoseEstimator:
        """Return a trained variant, in eval mode.

        Args:
            variant: one of `VARIANTS`.
            runs: has a folder for each variant.

        Raises:
            FileNotFoundError: if it is not trained yet.
            ValueError: if its weights do not fit.
        """
        return load_estimator(run_folder(runs, variant)).model

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one of `VARIANTS`; what it learns from lies in the folders beside. Return its metrics.

        Raises:
            FileNotFoundError: if what it learns from is not trained yet.
            ValueError: for another variant, or as `pctlib.training.loop.train`.
        """
        check_variant(variant, VARIANTS)
        if variant == TEACHER:
            fitted = self._fit_teacher(seed, folder)
        elif variant == NEITHER:
            fitted = self._fit_labels(self.new_student(seed=seed), self.section.student, seed, folder)
        elif TAUGHT_BY[variant] != TEACHER:
            fitted = self._fit_head(seed, folder, self.load(TAUGHT_BY[variant], folder.parent))
        else:
            fitted = self._fit_student(seed, folder, decay=variant != STEADY)
        return fitted.metrics | self._parts(folder) | self._size(fitted.model)

    def _fit_teacher(self, seed: int, folder: Path) -> Fitted:
        teacher = self.new_teacher(seed=seed)
        if not self.section.teacher_weights:
            return self._fit_labels(teacher, self.section.teacher, seed, folder)
        teacher = teacher.to(self.profile.torch_device, memory_format=torch.channels_last).eval()
        found = predict_people(teacher, self.val_crops, flip_test=self.section.flip_test)
        run = RunDescription.of_crops("distillation", self.val_crops, sizes_of(teacher))
        return save_fitted(teacher, [], found, crops=self.val_crops, out_dir=folder, run=run)

    def _fit_labels(self, model: PoseEstimator, size: SimCCModelProfile, seed: int, folder: Path) -> Fitted:
        task = EstimatorTask(model, self.train_crops, **self._data(size.training))
        return self._fit(task, size.training, seed, folder)

    def _fit_student(self, seed: int, folder: Path, *, decay: bool) -> Fitted:
        training = self.section.student.training
        student, teacher = self.new_student(seed=seed), self.load(TEACHER, folder.parent)
        identity = {
            "teacher": weights_of(teacher),
            "losses": vars(constants_of(self.section)),
            "decay": decay,
            "labels": self.section.labels,
        }
        pair = self._pair(student, teacher, decay=decay)
        task = StudentTask(
            pair, self.train_crops, labels=self.section.labels, **self._data(training, identity)
        )
        return self._fit(task, training, seed, folder)

    def _fit_head(self, seed: int, folder: Path, trained: PoseEstimator) -> Fitted:
        identity = {"teacher": weights_of(trained), "losses": vars(constants_of(self.section))}
        torch.manual_seed(mix_seed(seed, "distillation: new head"))
        head = build_head(self.section, self.section.student, trained.backbone, self.skeleton)
        pair = HeadDistillation(trained, head, constants=constants_of(self.section))
        training, views = self.section.head_training, self.section.head_views
        data = self._data(training, identity)
        task = NewHeadTask(pair, self.train_crops, views=views, seed=seed, **data)
        return self._fit(task, training, seed, folder)

    def _pair(self, student: PoseEstimator, teacher: PoseEstimator, *, decay: bool) -> StudentDistillation:
        """Put student and teacher on the device; refuse what does not fit each other or in memory."""
        training = self.section.student.training
        options = {"max_epochs": training.epochs, "constants": constants_of(self.section), "decay": decay}
        pair = StudentDistillation(student, teacher, **options).to(self.profile.torch_device)
        images = torch.zeros(training.batch_size // training.accumulation_steps, 3, *self.section.input_size)
        check_memory(pair, images.to(self.profile.torch_device))
        return pair

    def _data(self, training: TrainingSettings, identity: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the tasks of all variants are told of people and augmentation."""
        section = self.section
        known = section.model_dump(mode="json", include={"head", "augmentation", "late_augmentation"})
        late = None
        if section.late_augmentation is not None:
            late = (max(0, training.epochs - section.late_epochs), section.late_augmentation)
            known["late_from"] = late[0]
        return {
            "val_crops": self.val_crops,
            "augmentation": section.augmentation,
            "late": late,
            "identity": known | (identity or {}),
        }

    def _fit(self, task: EstimatorTask, training: TrainingSettings, seed: int, folder: Path) -> Fitted:
        return fit_estimator(
            task,
            settings=training,
            seed=seed,
            out_dir=folder,
            kind="distillation",
            sizes=sizes_of(task.estimator(task.model)),
            flip_test=self.section.flip_test,
            device=self.profile.device,
            progress=self.progress,
        )

    def _parts(self, folder: Path) -> dict[str, float]:
        """Return AP, error and share of correct keypoints of each part, of the predictions of a run."""
        people = self.val_crops.people
        found = load_predictions(folder / "predictions.npz", people)
        values = {}
        if people.skeleton.sigmas is not None:
            ap = part_ap(people, found.keypoints_image, found.scores.mean(axis=1))
            values |= {f"AP {part}": value for part, value in ap.items()}
        for part, errors in part_errors(people, found.keypoints_image).items():
            values |= {f"{name} {part}": value for name, value in errors.items()}
        return values

    def _size(self, model: PoseEstimator) -> dict[str, float]:
        gflops = count_flops(model, self.section.input_size).gflops
        return {"parameters (M)": count_parameters(model) / 1e6, "GFLOPs": gflops}


def build_run(run: RunDescription) -> PoseEstimator:
    """Return the untrained teacher or student of a run."""
    return build_simcc(run.sizes, run.skeleton, input_size=run.input_size)
