"""What page 14 tells: tokenizers and methods, by activity and occlusion, and the finding in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pctlib.metrics.mpjpe import mpjpe_by_action
from pctlib.reporting.columns import Column
from pctlib.reporting.tables import published
from pctlib.study.findings import change_in_words, failures, interval_note
from pctlib.study.floor import FLOOR
from pctlib.study.pages.pose3d.measure import SUPPOSED
from pctlib.study.pages.pose3d.methods import Methods3D
from pctlib.study.pages.pose3d.trainings import BASE, DIRECT, LIFTED, LIFTED_TRUE, PCT, VOLUME
from pctlib.study.predictions_3d import (
    Predictions3D,
    errors_by_level,
    judge_3d,
    mean_pose_3d,
    truth_3d,
)
from pctlib.study.variants import FAILED, summarise

BOUND = "tokenizer's reconstruction"
TRUE_ROOT, SUPPOSED_ROOT = ", true root depth", ", root depth from bones"
ERROR, HIDDEN_ERROR = "MPJPE (mm)", "hidden joints (mm)"
_COLUMNS = {
    "MPJPE mm": Column("MPJPE", "mm", best="min"),
    "PA-MPJPE mm": Column("PA-MPJPE", "mm"),
    "N-MPJPE mm": Column("N-MPJPE", "mm"),
    "MPJPE mm seen": Column("seen joints", "mm"),
    "MPJPE mm hidden": Column("hidden joints", "mm", best="min"),
    "plane mm": Column("along the image", "mm"),
    "depth mm": Column("along depth", "mm"),
}
_USE = {
    "codebook usage": Column("entries used", "%", 100.0),
    "codebook perplexity": Column("perplexity"),
}
_TITLES = {metric: column.heading for metric, column in _COLUMNS.items()}


def tokenizer_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a tokenizer: sizes, errors of the reconstruction, and use of the codebook.

    Args:
        frame: of `train_variants` with `Tokenizers3D`.
    """
    kept = ("MPJPE mm", "PA-MPJPE mm", "plane mm", "depth mm")
    columns = {metric: _COLUMNS[metric] for metric in kept} | _USE
    table = summarise(frame, columns, name="tokenizer")
    sizes = frame.groupby("variant", sort=False)[["M", "V", "bits"]].first()
    for place, column in enumerate(sizes, start=1):
        table.insert(place, column, sizes[column].to_numpy())
    return table


def grid_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the reconstruction errors of the grid, one row a bar: "tokens", "entries" and "error"."""
    grid = frame[frame["variant"] != BASE].dropna(subset=["M", "MPJPE mm"])
    means = grid.groupby(["M", "V"], as_index=False)["MPJPE mm"].mean()
    tokens, entries = ([f"{name} {int(n)}" for n in means[name]] for name in ("M", "V"))
    return pd.DataFrame({"tokens": tokens, "entries": entries, "error": means["MPJPE mm"]})


def method_table(frame: pd.DataFrame, tokenizers: pd.DataFrame, study: Methods3D) -> pd.DataFrame:
    """Return one row a method, between the mean pose and the reconstruction that tokens cannot beat.

    Args:
        frame: of `train_variants` with `Methods3D`.
        tokenizers: the same with `Tokenizers3D`.
        study: that trained the methods.
    """
    people = study.people
    floor = judge_3d(people.val, mean_pose_3d(people.train, people.val))
    first = pd.DataFrame([{"method": FLOOR} | {title: floor[key] for key, title in _TITLES.items()}])
    table = summarise(frame, _COLUMNS, name="method")
    for column in ("parameters (M)", "training seconds"):
        if column in frame:
            table[column] = table["method"].map(frame.groupby("variant")[column].mean())
    parts = [first, table]
    supposed = {f"{SUPPOSED}{key}": column for key, column in _COLUMNS.items()}
    if set(supposed) <= set(frame):
        volume = frame[frame["variant"] == VOLUME]
        other = summarise(volume, supposed, name="method")
        other["method"] = VOLUME + SUPPOSED_ROOT
        table["method"] = table["method"].replace({VOLUME: VOLUME + TRUE_ROOT})
        parts.append(other)
    bound = summarise(tokenizers[tokenizers["variant"] == BASE], _COLUMNS, name="method")
    bound["method"] = BOUND
    whole = pd.concat([*parts, bound], ignore_index=True)
    return whole.drop(columns="failed runs", errors="ignore")


def found_by_method(frame: pd.DataFrame, study: Methods3D, seed: int) -> dict[str, Predictions3D]:
    """Return what the mean pose and each method that did not fail predict for the validation people."""
    people = study.people
    found = {FLOOR: mean_pose_3d(people.train, people.val)}
    runs = frame[frame["seed"] == seed]
    done = runs if FAILED not in runs else runs[runs[FAILED].isna()]
    return found | {name: study.predictions(name, seed) for name in done["variant"]}


def drawn(found: Mapping[str, Predictions3D]) -> list[str]:
    """Return the methods that drawings show: a rival and the tokens, or the last two there are."""
    wanted = [name for name in (DIRECT, PCT) if name in found]
    return wanted if len(wanted) == 2 else list(found)[-2:]


def activity_table(found: Mapping[str, Predictions3D], study: Methods3D) -> pd.DataFrame:
    """Return MPJPE by activity, one row an activity and one for each of both means, a column a method.

    Args:
        found: of `found_by_method`.
        study: that trained the methods.
    """
    people = study.people.val
    truth, actions = truth_3d(people), people.actions
    if actions is None:
        actions = np.full(len(people), "all")
    columns = {
        method: mpjpe_by_action(predictions.poses, truth, actions=actions)
        for method, predictions in found.items()
    }
    counts = next(iter(columns.values()))["poses"]
    table = pd.DataFrame({method: values["MPJPE"] for method, values in columns.items()})
    table.insert(0, "poses", counts)
    return table.rename_axis("activity").reset_index()


def level_bars(found: Mapping[str, Predictions3D], study: Methods3D) -> pd.DataFrame:
    """Return MPJPE by how much of the body others hide; empty where the data set does not say it."""
    people = study.people.val
    return pd.DataFrame([] if people.occlusion is None else errors_by_level(people, found))


def published_h36m() -> pd.DataFrame:
    """Return what papers report on Human3.6M, with PCT among them."""
    rows = pd.concat([published("h36m_mpjpe_pct"), published("h36m_mpjpe_tokens_later")], ignore_index=True)
    rows["source"] = rows["source"].fillna("PCT")
    titles = {
        "mpjpe_mm": "MPJPE (mm)",
        "pa_mpjpe_mm": "PA-MPJPE (mm)",
        "frames": "frames",
        "source": "source",
    }
    return _marked(rows, titles)


def published_threedpw() -> pd.DataFrame:
    """Return what papers report on 3DPW, its occluded part, and under the worst place of a patch."""
    titles = {}
    parts = {"threedpw": "3DPW", "occ": "3DPW-OCC", "advocc40": "patch 40 px", "advocc80": "patch 80 px"}
    for key, name in parts.items():
        titles |= {f"{key}_mpjpe": f"{name}: MPJPE (mm)", f"{key}_pa": f"{name}: PA-MPJPE (mm)"}
    return _marked(published("threedpw_occluded_tokens"), titles)


def _marked(rows: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    columns = [("", "method"), *(("published", title) for title in titles.values())]
    table = rows[["method", *titles]]
    return table.set_axis(pd.MultiIndex.from_tuples(columns), axis=1)


def finding(frame: pd.DataFrame, study: Methods3D) -> str:
    """Return in plain words whether tokens help in 3D: over all joints, on hidden ones, along depth."""
    people = study.people
    floor = judge_3d(people.val, mean_pose_3d(people.train, people.val))["MPJPE mm"]
    means = frame.groupby("variant")["MPJPE mm"].mean() if "MPJPE mm" in frame else pd.Series(dtype=float)
    errors = ", ".join(f"{name} {means[name]:.0f} mm" for name in study.variants if name in means)
    sentences = [f"MPJPE: {errors}; the mean pose, which ignores the image, {floor:.0f} mm."]
    asked = {"all joints": "MPJPE mm", "hidden joints": "MPJPE mm hidden", "depth": "depth mm"}
    for rival in (DIRECT, VOLUME, LIFTED):
        if {PCT, rival} <= set(means.index):
            changes = (
                f"{name} {change_in_words(frame, metric, PCT, rival, scale=1.0)}"
                for name, metric in asked.items()
            )
            sentences.append(f"Tokens against {rival}, in mm: {', '.join(changes)}.")
    if {LIFTED, LIFTED_TRUE} <= set(means.index):
        sentences.append(
            f"With true 2D joints, lifting errs by {means[LIFTED_TRUE]:.0f} mm: what the picture still hides."
        )
    return " ".join([*sentences, interval_note(frame), failures(frame)]).strip()
