"""Variants of one idea, trained alike for several seeds: their runs, and what to show of them."""

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pctlib.io import finite, write_json
from pctlib.reporting.tables import mean_interval

FAILED = "failed"
_RESULTS = ("model.safetensors", "predictions.npz")  # of a training that did not fail


def train_variants(
    train: Callable[[str, int, Path], dict[str, Any]],
    variants: Sequence[str],
    *,
    seeds: Sequence[int],
    runs_dir: str | Path,
    all_may_fail: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Train every variant with every seed; a variant that fails is written down, and the others go on.

    A variant whose training is finished is not trained again, as `pctlib.training.loop.train` sees to it.
    What an earlier success has left is removed where a variant fails, so that nobody takes it for this one.

    Args:
        train: (variant, seed, folder of the run) -> its metrics.
        variants: names, each a folder below `runs_dir/seed<seed>`.
        seeds: in order.
        runs_dir: gets `seed<seed>/<variant>/metrics.json`.
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
        folder = Path(runs_dir) / f"seed{seed}" / variant
        metrics = _attempt(train, variant, seed, folder)
        write_json(folder / "metrics.json", finite(metrics))
        rows.append({"variant": variant, "seed": seed} | metrics)
    frame = pd.DataFrame(rows)
    if not all_may_fail and FAILED in frame and frame[FAILED].notna().all():
        raise RuntimeError(f"all {len(frame)} runs failed, the last one with: {frame[FAILED].iloc[-1]}")
    return frame


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
    frame: pd.DataFrame,
    columns: dict[str, str],
    *,
    name: str = "variant",
    scale: float = 100.0,
) -> pd.DataFrame:
    """Return one row a variant, in their order: means over the seeds with 95 % intervals.

    Args:
        frame: of `train_variants`.
        columns: metric -> title of its column.
        name: title of the first column.
        scale: of the values; 100 for per cent.

    Returns:
        `name`, the titles, and, if a run failed, "failed runs".
    """
    rows = []
    for variant, runs in frame.groupby("variant", sort=False):
        row: dict[str, Any] = {name: variant}
        for metric, title in columns.items():
            values = runs[metric].to_numpy(float) if metric in runs else np.array([])
            values = scale * values[np.isfinite(values)]
            row[title] = mean_interval(values) if len(values) else np.nan
        if FAILED in frame:
            row["failed runs"] = int(runs[FAILED].notna().sum())
        rows.append(row)
    return pd.DataFrame(rows)
