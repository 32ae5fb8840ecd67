"""Stage I in 3D: tokenizers of poses in millimetres, that of the methods and a grid of M and V."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.profiles.profile import Profile
from pctlib.study.pages.pose3d.people import splits_3d
from pctlib.study.pages.pose3d.trainings import BASE, TOKENIZERS, size_name, tokenizer_names
from pctlib.study.people import Splits, first_people
from pctlib.study.poses import Poses, load_poses
from pctlib.study.predictions_3d import ROOT, Predictions3D, judge_3d
from pctlib.study.stages.tokenizer import evaluate_tokenizer, load_tokenizer, reconstruct, train_tokenizer
from pctlib.study.variants import check_variant, run_folder

if TYPE_CHECKING:
    from pctlib.study.page import OpenPage


@dataclass
class Tokenizers3D:
    """Trains and measures tokenizers of 3D poses.

    Attributes:
        profile: of the study, with the section "pose3d".
        splits: training and validation people with 3D joints.
        runs: holds the trainings of this page.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    runs: str | Path
    progress: bool = True

    group = TOKENIZERS

    @classmethod
    def of(cls, page: "OpenPage") -> "Tokenizers3D":
        """Return the study of a page."""
        return cls(page.settings, splits_3d(page.splits, page.settings), page.folder)

    @property
    def variants(self) -> list[str]:
        """The names of the tokenizers."""
        return tokenizer_names(self.profile)

    def profile_of(self, variant: str) -> Profile:
        """Return the profile of one tokenizer: that of the methods, or its sizes in the grid's schedule."""
        section = self.profile.pose3d
        sizes = section.tokenizer
        if variant != BASE:
            pairs = ((m, v) for m in section.num_tokens for v in section.codebook_sizes)
            num_tokens, codebook_size = next(pair for pair in pairs if size_name(*pair) == variant)
            epochs = {"epochs": section.grid_epochs, "evaluate_every": section.grid_epochs}
            changes = {"num_tokens": num_tokens, "codebook_size": codebook_size}
            changes["training"] = sizes.training.model_copy(update=epochs)
            sizes = sizes.model_copy(update=changes)
        return self.profile.model_copy(update={"tokenizer": sizes})

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train one tokenizer; return the errors of its reconstruction, codebook use and sizes.

        Raises:
            ValueError: for another variant, or as `train_tokenizer`.
        """
        check_variant(variant, self.variants)
        train_poses, val_poses = self.poses
        profile = self.profile_of(variant)
        result = train_tokenizer(
            profile, train_poses, val_poses=val_poses, seed=seed, out_dir=folder, progress=self.progress
        )
        model = result.model.eval()
        sizes = profile.tokenizer
        return (
            evaluate_tokenizer(model, val_poses)
            | judge_3d(val_poses.people, reconstruction_3d(model, val_poses))
            | {
                "M": sizes.num_tokens,
                "V": sizes.codebook_size,
                "bits": sizes.num_tokens * math.log2(sizes.codebook_size),
                "training seconds": result.seconds,
            }
        )

    def load(self, seed: int) -> PoseTokenizer:
        """Return the trained tokenizer of the methods, in eval mode.

        Raises:
            FileNotFoundError: if it is not trained.
        """
        return load_tokenizer(run_folder(Path(self.runs) / TOKENIZERS / f"seed{seed}", BASE))

    @cached_property
    def poses(self) -> tuple[Poses, Poses]:
        """Training and validation poses, relative to the pelvis."""
        some = first_people(self.splits, self.profile.pose3d.train_people)
        profile = self.profile_of(BASE)
        parts = ((some.train, True), (some.val, False))
        return tuple(load_poses(part, profile, training=training, num_dims=3) for part, training in parts)


def reconstruction_3d(model: PoseTokenizer, poses: Poses) -> Predictions3D:
    """Return poses written as tokens and read back, relative to their own pelvis."""
    restored = reconstruct(model, poses)[0].cpu().numpy()
    return Predictions3D(restored - restored[:, ROOT, None], np.ones(restored.shape[:2], dtype=np.float32))
