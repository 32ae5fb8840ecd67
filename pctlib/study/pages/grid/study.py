"""Ablation of the codebook: sizes V by numbers of tokens M, and what a row of the grid gives from images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from pctlib.io import read_json
from pctlib.profiles.profile import Profile
from pctlib.reporting.run_card import load_run_card
from pctlib.study.page import OpenPage
from pctlib.study.pages.grid.trainings import CLASSIFIERS, POINTS, point_name
from pctlib.study.people import Splits
from pctlib.study.poses import Poses, load_both
from pctlib.study.predictions import judge
from pctlib.study.stages.classifier import FrozenStages, train_classifier
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import (
    adopt_tokenizer,
    evaluate_tokenizer,
    load_tokenizer,
    train_tokenizer,
)
from pctlib.study.variants import FAILED, check_variant, run_folder

ERROR, AP, USAGE, PERPLEXITY = "error px", "AP", "codebook usage", "codebook perplexity"
SECONDS, BITS = "training seconds", "bits"
STARTED, WALL = "started", "wall seconds"
WORK = "seconds of training and measuring"


@dataclass
class GridTokenizers:
    """Train the tokenizer of every point of the grid, as notebook 01 does, on the grid's short schedule.

    Attributes:
        profile: of the study, with the section "grid".
        splits: training and validation people, with images where a tokenizer is guided.
        study_dir: holds `heatmap-seed<seed>`, whose backbone guides.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    study_dir: str | Path
    progress: bool = True

    group = POINTS

    @classmethod
    def of(cls, page: OpenPage) -> "GridTokenizers":
        """Return the study of a page."""
        return cls(page.settings, page.splits, page.study_dir)

    @property
    def variants(self) -> list[str]:
        """Names of the points."""
        return list(self._points)

    @cached_property
    def _points(self) -> dict[str, tuple[int, int]]:
        """V and M of each point."""
        grid = self.profile.grid
        points = [(entries, tokens) for entries in grid.codebook_sizes for tokens in grid.num_tokens]
        return {point_name(*point): point for point in points}

    @cached_property
    def _poses(self) -> tuple[Poses, Poses]:
        return load_both(self.splits, self.profile)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train the tokenizer of a point and return what its reconstruction loses.

        Raises:
            ValueError: for another point, or as `train_tokenizer`.
            FileNotFoundError: if it is guided and the heatmap model of the seed is missing.
        """
        check_variant(variant, self.variants)
        entries, tokens = self._points[variant]
        sizes = self.profile.tokenizer
        training = sizes.training.model_copy(update={"epochs": self.profile.grid.epochs})
        changes = {"codebook_size": entries, "num_tokens": tokens, "training": training}
        profile = self.profile.model_copy(update={"tokenizer": sizes.model_copy(update=changes)})
        guided = sizes.guide_ratio > 0
        guide = load_heatmap(Path(self.study_dir) / f"heatmap-seed{seed}").backbone if guided else None
        train, val = self._poses
        options = {"seed": seed, "out_dir": folder, "guide": guide, "progress": self.progress}
        result = train_tokenizer(profile, train, val_poses=val, **options)
        return evaluate_tokenizer(result.model, val) | {SECONDS: result.seconds}


def point_folder(runs_dir: str | Path, entries: int, tokens: int, seed: int) -> Path:
    """Return the folder of one tokenizer of the grid, below that of the page."""
    return run_folder(Path(runs_dir) / POINTS / f"seed{seed}", point_name(entries, tokens))


def read_points(profile: Profile, runs_dir: str | Path, seeds: Sequence[int]) -> pd.DataFrame:
    """Return what the tokenizers of the grid left behind, one row a point and seed.

    Returns:
        V, M, seed, bits (M log2 V), the metrics of the point, when its last run started (seconds since 1970),
        the wall seconds of this run, the seconds of training and measuring over all runs, and `failed` (why;
        missing where it did not).

    Raises:
        FileNotFoundError: if a point was not run.
    """
    grid, rows = profile.grid, []
    for seed in seeds:
        for entries in grid.codebook_sizes:
            for tokens in grid.num_tokens:
                row = {"V": entries, "M": tokens, "seed": seed, BITS: tokens * math.log2(entries)}
                rows.append(row | _read_point(point_folder(runs_dir, entries, tokens, seed)))
    return pd.DataFrame(rows)


def _read_point(folder: Path) -> dict[str, float | str]:
    """Return metrics and times of a point, or why it failed; files of an earlier success do not count."""
    if not (folder / "metrics.json").is_file():
        raise FileNotFoundError(f"{folder}: this point was not trained; make study does, or notebook 04")
    metrics = read_json(folder / "metrics.json")
    if FAILED in metrics:
        return {FAILED: metrics[FAILED]}
    card = load_run_card(folder / "run_card.json")
    times = {
        STARTED: datetime.fromisoformat(card.started).timestamp(),
        WALL: sum(card.wall_times.values()),
        WORK: max(sum(card.wall_times.values()), metrics[SECONDS]),  # of one read back, what it once took
    }
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)} | times


class RowClassifiers:
    """Train the token classifier for every V of one row of the grid, on one frozen backbone a seed.

    Args:
        profile: of the study; its section "grid" says which M and how many epochs.
        splits: training and validation people with images.
        study_dir: holds the heatmap backbone of each seed.
        runs_dir: holds the tokenizers of the grid.
        progress: show progress bars.
    """

    def __init__(
        self,
        profile: Profile,
        splits: Splits,
        *,
        study_dir: str | Path,
        runs_dir: str | Path,
        progress: bool = True,
    ) -> None:
        sizes, epochs = profile.classifier, profile.grid.classifier_epochs
        training = sizes.training.model_copy(update={"epochs": epochs})
        views = min(sizes.cached_views, profile.grid.classifier_views)
        changed = sizes.model_copy(update={"training": training, "cached_views": views})
        self.profile = profile.model_copy(update={"classifier": changed})
        self.progress = progress
        self.runs_dir = Path(runs_dir)
        self._frozen = FrozenStages(splits, study_dir, progress=progress)

    group = CLASSIFIERS

    @classmethod
    def of(cls, page: OpenPage) -> "RowClassifiers":
        """Return the study of a page."""
        return cls(page.settings, page.splits, study_dir=page.study_dir, runs_dir=page.folder)

    @property
    def variants(self) -> list[str]:
        """Names of the runs: one for every V."""
        return [f"V{entries}" for entries in self.profile.grid.codebook_sizes]

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train and measure the classifier of one tokenizer.

        Raises:
            ValueError: if the training of its tokenizer failed.
            FileNotFoundError: if the tokenizer or the backbone is missing.
        """
        check_variant(variant, self.variants)
        entries, tokens = int(variant[1:]), self.profile.grid.classified_tokens
        source = point_folder(self.runs_dir, entries, tokens, seed)
        if FAILED in (point := _read_point(source)):
            raise ValueError(f"there is no tokenizer to classify the tokens of: {point[FAILED]}")
        settings = adopt_tokenizer(self.profile, source)
        stage = self._frozen.of(seed, self.profile)
        tokenizer = load_tokenizer(source)
        result = train_classifier(
            settings, stage, tokenizer, seed=seed, out_dir=folder, progress=self.progress
        )
        found = stage.predict(result.model, flip_test=settings.classifier.flip_test)
        return judge(stage.val_crops.people, found) | {"V": entries, "M": tokens}
