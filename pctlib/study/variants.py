"""Variants of one idea, trained alike for several seeds: their runs, and what to show of them."""

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pctlib.io import finite, read_json, write_json
from pctlib.reporting.columns import Column, column
from pctlib.reporting.records import read_history
from pctlib.reporting.run_card import RunCard, load_run_card
from pctlib.reporting.tables import Interval, interval_ends, mean_interval
from pctlib.workflow.pages import FAILED, slug
from pctlib.workflow.seals import damaged, seal, set_aside, unseal

if TYPE_CHECKING:
    from pctlib.study.page import OpenPage

ACCURACY = ("PCK@0.1 all", "PCK@0.1 seen", "PCK@0.1 hidden", "NME all", "AP")
"""What a page of variants of one network shows of each."""

_RESULTS = ("model.safetensors", "predictions.npz")  # of a training that did not fail
_METRICS, _CARD = "metrics.json", "run_card.json"


class Study(Protocol):
    """What a page trains: one thing in several variants, all else equal."""

    group: str = ""
    """Folder of its runs below that of the page, where a page has several studies."""

    @classmethod
    def of(cls, page: "OpenPage") -> Self:
        """Return the study of an opened page; what cannot work is refused here, before any training."""

    @property
    def variants(self) -> Sequence[str]:
        """The names of the variants, in the order of the tables."""

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one variant, or read it back, and return its metrics.

        Raises:
            ValueError: for another variant, or as `pctlib.training.loop.train`.
        """


def check_variant(variant: str, known: Sequence[str]) -> None:
    """Refuse a variant that a study does not have.

    Raises:
        ValueError: names those it has.
    """
    if variant not in known:
        raise ValueError(f"variant: expected one of {list(known)}, got {variant!r}")


def run_folder(runs: str | Path, variant: str) -> Path:
    """Return the folder of a variant below that of its seed."""
    return Path(runs) / slug(variant)


def train_variants(
    train: Callable[[str, int, Path], dict[str, Any]],
    variants: Sequence[str],
    *,
    seeds: Sequence[int],
    runs_dir: str | Path,
    card: Callable[[str, int], RunCard] | None = None,
    all_may_fail: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Train every variant with every seed; a variant that fails is written down, and the others go on.

    A run whose card has the settings of the new one is read back. Where they differ, a training that is
    finished is still not trained again, as `pctlib.training.loop.train` sees to it, but measured anew. What
    an earlier success has left is removed where a variant fails, so that nobody takes it for this one.

    Args:
        train: (variant, seed, folder of the run) -> its metrics.
        variants: names, each a folder (`run_folder`) below `runs_dir/seed<seed>`.
        seeds: in order.
        runs_dir: gets `metrics.json` and the card of each run.
        card: (variant, seed) -> the card of a run that starts now, with all that makes it this one as its
            settings; None: no run is read back, and none has a card.
        all_may_fail: where the page has more to show than these runs.
        progress: show a progress bar.

    Returns:
        One row a run: `variant`, `seed`, `failed` (why; missing where it did not) and the metrics.

    Raises:
        RuntimeError: if every run failed and `all_may_fail` is False; says why the last one did.
    """
    rows = []
    runs = [(seed, variant) for seed in seeds for variant in variants]
    bar = tqdm(runs, unit="run", disable=not progress)
    for seed, variant in bar:
        bar.set_postfix_str(f"{variant}, seed {seed}")
        folder = run_folder(Path(runs_dir) / f"seed{seed}", variant)
        started = card(variant, seed) if card is not None else None
        metrics = _finished(folder, started) or _run(train, variant, seed, folder, started)
        rows.append({"variant": variant, "seed": seed} | metrics)
    frame = pd.DataFrame(rows)
    if not all_may_fail and FAILED in frame and frame[FAILED].notna().all():
        raise RuntimeError(f"all {len(frame)} runs failed, the last one with: {frame[FAILED].iloc[-1]}")
    return frame


def _finished(folder: Path, card: RunCard | None) -> dict[str, Any]:
    """Return the metrics of a run that was made by the same settings and did not fail; else nothing."""
    if found := damaged(folder):
        kept = set_aside(folder, [path for path, _ in found])
        names = ", ".join(str(path.relative_to(folder)) for path, _ in found)
        tqdm.write(f"{folder}: {names} damaged, so the run is made again; what is left: {kept}")
        return {}
    if card is None or not ((folder / _METRICS).is_file() and (folder / _CARD).is_file()):
        return {}
    try:
        same = load_run_card(folder / _CARD).settings == card.settings
        metrics = read_json(folder / _METRICS)
    except ValueError:  # damaged, or of another version of the project
        return {}
    known = same and FAILED not in metrics
    return {key: math.nan if value is None else value for key, value in metrics.items()} if known else {}


def _run(
    train: Callable[[str, int, Path], dict[str, Any]],
    variant: str,
    seed: int,
    folder: Path,
    card: RunCard | None,
) -> dict[str, Any]:
    """Train a variant and write down its metrics, and then its card and seal: a killed run has none."""
    unseal(folder)
    (folder / _CARD).unlink(missing_ok=True)
    if card is None:
        metrics = _attempt(train, variant, seed, folder)
    else:
        with card.timed("training"):
            metrics = _attempt(train, variant, seed, folder)
    write_json(folder / _METRICS, finite(metrics))
    if card is not None:
        card.save(folder / _CARD)
        seal(folder)
    return metrics


def _attempt(
    train: Callable[[str, int, Path], dict[str, Any]], variant: str, seed: int, folder: Path
) -> dict[str, Any]:
    try:
        return train(variant, seed, folder)
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        tqdm.write(traceback.format_exc())
        for name in _RESULTS:
            (folder / name).unlink(missing_ok=True)
        return {FAILED: f"{type(error).__name__}: {error}"}


def summarise(
    frame: pd.DataFrame, columns: Sequence[str] | Mapping[str, Column], *, name: str = "variant"
) -> pd.DataFrame:
    """Return one row a variant, in their order: means over the seeds with 95 % intervals.

    Args:
        frame: of `train_variants`.
        columns: metrics, or metric -> its column where a page needs another than that of all tables.
        name: title of the first column.

    Returns:
        `name`, the headings, and, if a run failed, "failed runs".
    """
    shown = columns if isinstance(columns, Mapping) else {metric: column(metric) for metric in columns}
    rows = []
    for variant, runs in frame.groupby("variant", sort=False):
        row: dict[str, Any] = {name: variant}
        row |= {shown[metric].heading: interval_of(runs, metric, shown[metric].scale) for metric in shown}
        if FAILED in frame:
            row["failed runs"] = int(runs[FAILED].notna().sum())
        rows.append(row)
    return pd.DataFrame(rows)


def interval_of(runs: pd.DataFrame, metric: str, scale: float = 1.0) -> Interval | float:
    """Return the mean of a metric over runs with its 95 % interval, scaled; NaN where none has it."""
    values = runs[metric].to_numpy(float) if metric in runs else np.array([])
    values = scale * values[np.isfinite(values)]
    return mean_interval(values) if len(values) else math.nan


def bars_of(
    frame: pd.DataFrame,
    metrics: Mapping[str, str],
    *,
    series: str = "joints",
    scale: float = 100.0,
    above: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return the bars of a figure: one row a variant and metric that was measured.

    Args:
        frame: of `train_variants`.
        metrics: metric -> its name in the figure.
        series: column of those names.
        scale: of the values.
        above: metric -> what its bars start from, such as the mean pose; None: from 0.

    Returns:
        `variant`, `series`, and the scaled `value` with the ends of its interval, `low` and `high`.
    """
    rows = []
    for variant, runs in frame.groupby("variant", sort=False):
        for metric, label in metrics.items():
            start = scale * above[metric] if above else 0.0
            ends = interval_ends(interval_of(runs, metric, scale))
            ends = {key: end - start for key, end in ends.items()}
            rows.append({"variant": variant, series: label} | ends)
    return pd.DataFrame(rows, columns=["variant", series, "value", "low", "high"]).dropna(subset="value")


def read_histories(runs: str | Path, variants: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the history of each finished variant of one seed; `runs` has a folder for each."""
    files = {variant: run_folder(runs, variant) / "history.jsonl" for variant in variants}
    return {variant: read_history(file) for variant, file in files.items() if file.is_file()}
