"""Ablation of the codebook: sizes V by numbers of tokens M, and what a row of the grid gives from images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pctlib.io import read_json
from pctlib.profiles import Profile
from pctlib.reporting.tables import Interval, mean_interval
from pctlib.study.classifier import FrozenStage, freeze_backbone, train_classifier
from pctlib.study.crops import predict_people
from pctlib.study.data import Splits
from pctlib.study.heatmap import load_heatmap
from pctlib.study.predictions import judge
from pctlib.study.tokenizer import adopt_tokenizer, load_tokenizer
from pctlib.study.variants import FAILED

ERROR, AP, USAGE, PERPLEXITY = "error px", "AP", "codebook usage", "codebook perplexity"
SECONDS, BITS = "training seconds", "bits"
COLUMNS = {
    ERROR: "error (px)",
    AP: "OKS-AP",
    USAGE: "entries in use",
    PERPLEXITY: "perplexity",
    SECONDS: "training (s)",
}


def point_folder(entries: int, tokens: int, seed: int) -> str:
    """Return the folder of one tokenizer below that of the grid."""
    return f"V{entries}-M{tokens}-seed{seed}"


def read_points(profile: Profile, runs_dir: str | Path, seeds: Sequence[int]) -> pd.DataFrame:
    """Return what the tokenizers of the grid left behind, one row a point and seed.

    Returns:
        V, M, seed, bits (M log2 V), `failed` (why; missing where it did not) and the metrics of the point.

    Raises:
        FileNotFoundError: if a point was not run.
    """
    grid, rows = profile.grid, []
    for seed in seeds:
        for entries in grid.codebook_sizes:
            for tokens in grid.num_tokens:
                metrics = read_json(Path(runs_dir) / point_folder(entries, tokens, seed) / "metrics.json")
                known = {k: v for k, v in metrics.items() if isinstance(v, int | float | str)}
                bits = tokens * math.log2(entries)
                rows.append({"V": entries, "M": tokens, "seed": seed, BITS: bits, **known})
    return pd.DataFrame(rows)


def grid_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return one row a point: means over the seeds with 95 % intervals; failed points keep their row."""
    rows = []
    for (entries, tokens), runs in points.groupby(["V", "M"], sort=True):
        row: dict[str, Any] = {"point": f"V {entries}, M {tokens}", "V": entries, "M": tokens}
        row["bits per pose"] = float(runs[BITS].iloc[0])
        row |= {title: _interval(runs, metric) for metric, title in COLUMNS.items()}
        if FAILED in points:
            row["failed runs"] = int(runs[FAILED].notna().sum())
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(runs: pd.DataFrame, metric: str) -> Interval | float:
    values = runs[metric].dropna().to_numpy(float) if metric in runs else np.array([])
    return mean_interval(values) if len(values) else math.nan


def grid_means(points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return means over the seeds of a metric, V by M; NaN where every run failed."""
    return points.pivot_table(index="V", columns="M", values=metric, aggfunc="mean", dropna=False)


def grid_finding(points: pd.DataFrame) -> str:
    """Return in words what more entries and more tokens buy, and where it stops."""
    sound = points[points[FAILED].isna()] if FAILED in points else points
    means = grid_means(sound, ERROR)
    along_v = _along(sound, "V", "M", "entries")
    along_m = _along(sound, "M", "V", "tokens")
    best = means.stack().idxmin()
    seeds = points["seed"].nunique()
    spread = f"over {seeds} seeds" if seeds > 1 else "with one seed, so without intervals"
    words = (
        f"The least reconstruction error, {means.stack().min():.2f} px, is that of V = {best[0]}, "
        f"M = {best[1]} ({spread}). {along_m} {along_v}"
    )
    failed = int(points[FAILED].notna().sum()) if FAILED in points else 0
    return words + (f" {failed} of {len(points)} runs failed." if failed else "")


def _along(points: pd.DataFrame, axis: str, other: str, what: str) -> str:
    """Return what the least and the largest value of an axis give, and from where on more does not help."""
    means = points.groupby(axis)[ERROR].mean()
    if len(means) < 2:
        return f"Only one number of {what} was tried."
    first, last = means.index[0], means.index[-1]
    words = (
        f"From {first} to {last} {what} the error goes from {means[first]:.2f} to {means[last]:.2f} px "
        f"(mean over {other})"
    )
    stop = saturation(points, axis, other)
    if stop is None:
        return f"{words}; no step up is worth its interval." if points["seed"].nunique() > 1 else f"{words}."
    return f"{words}; the last step up that helps ends at {stop}."


def saturation(points: pd.DataFrame, axis: str, other: str) -> int | None:
    """Return the value of an axis after which no step up lowers the error any more; None: no step does.

    A step helps if the mean over the seeds of the difference, averaged over the other axis, lies below zero
    by more than its 95 % interval; with one seed, if it lies below zero by more than 2 % of the error.
    """
    per_seed = points.groupby([axis, "seed"])[ERROR].mean().unstack("seed")  # [values, seeds]
    last = None
    for before, after in zip(per_seed.index[:-1], per_seed.index[1:], strict=True):
        step = (per_seed.loc[after] - per_seed.loc[before]).dropna()
        if step.empty:
            continue
        change = mean_interval(step)
        margin = 0.02 * per_seed.loc[before].mean() if change.half_width is None else change.half_width
        if change.mean < -margin:
            last = int(after)
    return last


class RowClassifiers:
    """Train the token classifier for every V of one row of the grid, on one frozen backbone a seed.

    Args:
        profile: of the study; its section "grid" says which M and how many epochs.
        splits: training and validation people with images.
        study_dir: holds the heatmap backbone of each seed.
        runs_dir: holds the tokenizers of the grid.
    """

    def __init__(self, profile: Profile, splits: Splits, *, study_dir: str | Path, runs_dir: str | Path):
        sizes = profile.classifier
        training = sizes.training.model_copy(update={"epochs": profile.grid.classifier_epochs})
        views = min(sizes.cached_views, profile.grid.classifier_views)
        changed = sizes.model_copy(update={"training": training, "cached_views": views})
        self.profile = profile.model_copy(update={"classifier": changed})
        self.splits = splits
        self.study_dir, self.runs_dir = Path(study_dir), Path(runs_dir)
        self._stage: tuple[int, FrozenStage] | None = None

    @property
    def variants(self) -> list[str]:
        """Names of the runs: one for every V."""
        return [f"V{entries}" for entries in self.profile.grid.codebook_sizes]

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, float]:
        """Train and measure the classifier of one tokenizer.

        Raises:
            FileNotFoundError: if its tokenizer failed.
        """
        tokens = self.profile.grid.classified_tokens
        source = self.runs_dir / point_folder(int(variant[1:]), tokens, seed)
        settings = adopt_tokenizer(self.profile, source)
        stage = self._stage_of(seed)
        result = train_classifier(settings, stage, load_tokenizer(source), seed=seed, out_dir=folder)
        found = predict_people(result.model, stage.val_crops, flip_test=settings.classifier.flip_test)
        return judge(stage.val_crops.people, found) | {"V": int(variant[1:]), "M": tokens}

    def _stage_of(self, seed: int) -> FrozenStage:
        """Return the frozen backbone of a seed with its features, computed once for all V."""
        if self._stage is None or self._stage[0] != seed:
            backbone = load_heatmap(self.study_dir / f"heatmap-seed{seed}").backbone
            self._stage = (seed, freeze_backbone(self.profile, self.splits, backbone, seed=seed))
        return self._stage[1]


def row_finding(classified: pd.DataFrame) -> str:
    """Return in words what the codebook size does to poses from images."""
    metric = "PCK@0.2 seen"
    means = classified.groupby("variant", sort=False)[metric].mean().dropna()
    if len(means) < 2:
        return "Too few classifiers of the row finished to compare them."
    best, worst = means.idxmax(), means.idxmin()
    seeds = classified["seed"].nunique()
    note = f"{seeds} seeds" if seeds > 1 else "one seed: no interval, so no finding"
    return (
        f"From images, {best} finds most of the seen joints ({100 * means[best]:.1f} % within 0.2 of the "
        f"box) and {worst} fewest ({100 * means[worst]:.1f} %; {note})."
    )
