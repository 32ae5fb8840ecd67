"""What the comparison says: its tables, measured beside published, and a finding in plain words."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pctlib.data.people import People
from pctlib.models.published import RIVALS
from pctlib.profiles.pages import ComparisonProfile, WholeNetworksProfile
from pctlib.reporting.columns import Column, column, shown
from pctlib.reporting.complexity import complexity_table
from pctlib.reporting.tables import beside, published
from pctlib.study.findings import difference_in_words, one_seed_note
from pctlib.study.floor import FLOOR, with_floor
from pctlib.study.pages.comparison.heads import HEADS, PCT
from pctlib.study.pages.comparison.networks import FROZEN, RIVAL, VIT, WHOLE, Variant
from pctlib.study.predictions import Predictions, load_predictions
from pctlib.study.variants import bars_of, run_folder, summarise

BASE = "heatmap_dark"  # what tokens are compared with
SHARES = ("PCK@0.1 seen", "PCK@0.1 hidden", "NME seen", "NME hidden", "AP")
KEPT = Column("hidden minus seen", "points", 100.0)  # of PCK
COSTS = ("parameters (M)", "GFLOPs")
SHOWN = ("coordinates", "heatmap_dark", "simcc", PCT)  # in pictures
_TABLE_1, _VITPOSE = "coco_body_pct_table1", "coco_val_vitpose"


class Paper(NamedTuple):
    """Where a system stands in the published tables: (method, backbone, input size) of two of them."""

    table_1: tuple[str, str, str]
    vitpose: tuple[str, str, str] | None = None


# variant -> the published system it is a small version of
PAPERS: Mapping[str, Paper] = {
    "frozen-pct": Paper(("PCT", "Swin-Base", "256x256")),
    "vitpose": Paper(("ViTPose", "ViT-Base", "256x192"), ("ViTPose-B", "ViT-B", "256x192")),
    "rival-simple_baseline": Paper(
        ("SimpleBaseline", "ResNet-152", "384x288"), ("SimpleBaseline", "ResNet-152", "256x192")
    ),
    "rival-hrnet": Paper(("HRNet", "HRNet-W48", "384x288"), ("HRNet", "HRNet-W48", "384x288")),
    "rival-simcc": Paper(("SimCC", "HRNet-W48", "384x288")),
    "rival-hrformer": Paper(("HRFormer", "HRFormer-B", "384x288"), ("HRFormer-B", "HRFormer-B", "384x288")),
    "rival-transpose_h": Paper(
        ("TransPose", "HRNet-W48", "256x192"), ("TransPose-H/A6", "HRNet-W48", "256x192")
    ),
    "rival-token_pose_l": Paper(
        ("TokenPose", "HRNet-W48", "256x192"), ("TokenPose-L/D24", "HRNet-W48", "256x192")
    ),
    "rival-prtr": Paper(("PRTR", "HRNet-W32", "384x288")),
}


def results_table(
    frame: pd.DataFrame,
    variants: Mapping[str, Variant],
    kind: str,
    *,
    floor: Mapping[str, float],
    speed: Mapping[str, Mapping[int, float]],
) -> pd.DataFrame:
    """Return one row a network of one kind, and first the mean pose.

    Args:
        frame: of `train_variants`.
        variants: of the profile.
        kind: "frozen", "whole" or "rival".
        floor: metrics of the mean pose.
        speed: images/s by variant and batch size.

    Returns:
        "representation" and "backbone" (for rivals "system"), metrics in per cent as means with intervals
        over the seeds, "hidden minus seen (points)" of PCK, "parameters (M)", "GFLOPs", images/s, and, if a
        run failed, "failed runs".
    """
    names = [name for name, variant in variants.items() if variant.kind == kind]
    rows = frame[frame.variant.isin(names)].copy()
    rows["kept"] = rows["PCK@0.1 hidden"] - rows["PCK@0.1 seen"]
    columns = {metric: column(metric) for metric in SHARES} | {"kept": KEPT}
    headings = [c.heading for c in columns.values()]
    table = summarise(rows, columns) if len(rows) else pd.DataFrame(columns=["variant", *headings])
    for cost in COSTS:
        table[cost] = table.variant.map(rows.groupby("variant")[cost].first())
    for batch in sorted({batch for values in speed.values() for batch in values}):
        rates = [speed.get(name, {}).get(batch, np.nan) for name in table.variant]
        table[f"images/s, batch {batch}"] = rates
    kept = KEPT.scale * (floor["PCK@0.1 hidden"] - floor["PCK@0.1 seen"])
    table = with_floor(table, shown(floor, SHARES) | {KEPT.heading: kept})
    return _named(table, variants, kind)


def _named(table: pd.DataFrame, variants: Mapping[str, Variant], kind: str) -> pd.DataFrame:
    """Replace the names of variants by what a reader knows."""
    found = [variants.get(name) for name in table.variant]
    if kind == RIVAL:
        names = [v.backbone if v else FLOOR for v in found]
        table.insert(0, "system", names)
        return table.drop(columns="variant")
    table.insert(0, "representation", [v.title if v else FLOOR for v in found])
    if kind == WHOLE:
        table.insert(1, "backbone", [v.backbone if v else None for v in found])
    return table.drop(columns="variant")


def frozen_predictions(
    runs: str | Path, variants: Mapping[str, Variant], people: People, *, shown: Sequence[str] = SHOWN
) -> dict[str, Predictions]:
    """Return what heads on the frozen features found, by short title; those that failed are left out.

    Args:
        runs: folder of one seed, with a folder for each variant.
        variants: of the profile.
        people: that were measured.
        shown: representations, where the profile has them.

    Raises:
        ValueError: if the predictions are of other people.
    """
    files = {name: run_folder(runs, name) / "predictions.npz" for name in variants}
    wanted = {name: v for name, v in variants.items() if v.kind == FROZEN and v.representation in shown}
    titles = {name: v.title.partition(" (")[0] for name, v in wanted.items() if files[name].is_file()}
    return {title: load_predictions(files[name], people) for name, title in titles.items()}


def bar_frame(
    frame: pd.DataFrame, variants: Mapping[str, Variant], kind: str, *, floor: Mapping[str, float]
) -> pd.DataFrame:
    """Return by how many points of PCK@0.1 the networks of a kind are above the mean pose.

    Returns:
        "network", "joints" ("seen" or "hidden"), "value", "low", "high".
    """
    names = [name for name, variant in variants.items() if variant.kind == kind]
    joints = {"PCK@0.1 seen": "seen", "PCK@0.1 hidden": "hidden"}
    bars = bars_of(frame[frame.variant.isin(names)], joints, above=floor)
    titles = {name: v.title if kind == FROZEN else f"{v.title}\n{v.backbone}" for name, v in variants.items()}
    return bars.rename(columns={"variant": "network"}).assign(network=bars["variant"].map(titles))


def published_beside(
    frame: pd.DataFrame, variants: Mapping[str, Variant], *, input_sizes: Mapping[str, tuple[int, int]]
) -> pd.DataFrame:
    """Return the systems of the published tables beside what was run of each here.

    Args:
        frame: of `train_variants`.
        variants: of the profile.
        input_sizes: (height, width) of each variant's images.

    Returns:
        Columns as `beside` makes them, on "system".
    """
    papers, ours = [], []
    for name in variants:
        paper = _paper(name)
        runs = frame[frame.variant == name]
        if paper is None or runs.empty or not runs["GFLOPs"].notna().any():
            continue
        row = _row(_TABLE_1, paper.table_1)
        system = paper.table_1[0]
        network = ", ".join(paper.table_1[1:])
        size = f"{input_sizes[name][0]}x{input_sizes[name][1]}"
        measured = {"network": f"{name}, {size}", "AP": 100 * runs["AP"].mean() if "AP" in runs else np.nan}
        parameters = _row(_VITPOSE, paper.vitpose).params_m if paper.vitpose else np.nan
        values = {"AP, COCO val": row.val_ap, "parameters (M)": parameters, "GFLOPs": row.gflops}
        papers.append({"system": system, "network": network, **values})
        ours.append({"system": system, **measured, **{cost: runs[cost].dropna().iloc[0] for cost in COSTS}})
    columns = ["system", "network"]
    return beside(
        *(pd.DataFrame(side, columns=None if side else columns) for side in (papers, ours)), on="system"
    )


def _paper(name: str) -> Paper | None:
    """Return where a variant stands in the published tables; None where it does not."""
    if name in PAPERS:
        return PAPERS[name]
    system = RIVALS.get(name.removeprefix(f"{RIVAL}-"))
    rows = {number.table: number.row for number in system.published} if system else {}
    if _TABLE_1 not in rows:
        return None
    row = rows[_TABLE_1]
    return Paper((row["method"], row["backbone"], row["input_size"]))


def _row(table: str, key: tuple[str, str, str]) -> Any:
    """Return the row of a published table for (method, backbone, input size)."""
    frame = published(table)
    size = "input_size" if "input_size" in frame else "input_resolution"
    found = frame[(frame.method == key[0]) & (frame.backbone == key[1]) & (frame[size] == key[2])]
    if len(found) != 1:
        raise ValueError(f"{table}: expected one row {key}, got {len(found)}")
    return next(found.itertuples())


def sizes_table(names: Iterable[str] | None = None) -> pd.DataFrame:
    """Return parameters and GFLOPs of systems at published sizes: counted here beside the tables'.

    Args:
        names: keys of `RIVALS`; None: all.

    Returns:
        Columns ("", ...), ("published", ...) and ("measured", ...); "difference (%)" is from what is right:
        the corrected number where the table's is wrong.
    """
    frame = complexity_table(names)
    right = frame.corrected.fillna(frame.published)
    notes = zip(frame.remark, frame.built, strict=True)
    return pd.DataFrame(
        {
            ("", "system"): frame.system,
            ("", "quantity"): frame.quantity,
            ("published", "as"): frame.method,
            ("published", "value"): frame.published,
            ("published", "corrected"): frame.corrected,
            ("measured", "counted likewise"): frame.measured,
            ("measured", "difference (%)"): 100 * (frame.measured / right - 1),
            ("measured", "counted plainly"): frame.plain,
            ("", "remark"): [" ".join(filter(None, pair)) for pair in notes],
        }
    )


def finding(
    frame: pd.DataFrame,
    variants: Mapping[str, Variant],
    *,
    floor: Mapping[str, float],
    section: ComparisonProfile,
) -> str:
    """Return in plain words which representation keeps hidden joints, with the numbers.

    Args:
        frame: of `train_variants`.
        variants: of the profile.
        floor: metrics of the mean pose.
        section: says how long the heads learned, and from how many people.
    """
    metric = "PCK@0.1 hidden"
    titles = {name: variant.title for name, variant in variants.items() if variant.kind == FROZEN}
    frozen = frame[frame.variant.isin(titles)]
    frozen = frozen.assign(variant=frozen.variant.map(titles))
    means = frozen.groupby("variant")[metric].mean().dropna().sort_values()
    parts = []
    if len(means) > 1:
        on = f" on {section.train_people} people" if section.train_people else ""
        most, fewest = (f"{name} ({100 * means[name]:.1f} %)" for name in means.index[[-1, 0]])
        epochs = section.frozen.epochs
        parts.append(
            f"On the same frozen features, after {epochs} epoch{'s' * (epochs != 1)}{on}, {most} finds most "
            f"hidden joints and {fewest} fewest; the mean pose finds {100 * floor[metric]:.1f} %."
        )
    pair = (HEADS[PCT].title, HEADS[BASE].title)
    if set(pair) <= set(titles.values()):
        for joints in ("hidden", "seen"):
            what = f"points of PCK@0.1, {joints} joints"
            parts.append(difference_in_words(frozen, f"PCK@0.1 {joints}", *pair, what=what))
    parts += [
        _whole_networks(frame, variants, floor[metric], section.whole),
        _from_scratch(frame, section.whole),
        one_seed_note(frame),
    ]
    return " ".join(filter(None, parts))


def _from_scratch(frame: pd.DataFrame, whole: WholeNetworksProfile | None) -> str:
    """Return what the weights buy that the networks start from; empty where none starts from nothing."""
    if whole is None:
        return ""
    means, started = 100 * frame.groupby("variant")["PCK@0.1 hidden"].mean(), whole.backbones[0].name
    pairs = {n: (f"{whole.scratch_title}-{n}", f"{started}-{n}") for n in whole.from_scratch}
    parts = [
        f"{HEADS[name].title} {means[scratch]:.1f} % in place of {means[other]:.1f} %"
        for name, (scratch, other) in pairs.items()
        if np.isfinite(means.reindex([scratch, other])).all()
    ]
    return f"From scratch, {started} finds of hidden joints: {', '.join(parts)}." if parts else ""


def _whole_networks(
    frame: pd.DataFrame, variants: Mapping[str, Variant], floor: float, section: WholeNetworksProfile | None
) -> str:
    """Return how the networks that were trained whole stand: means over what all representations have."""
    metric = "PCK@0.1 hidden"
    whole = {name: variant for name, variant in variants.items() if variant.kind == WHOLE}
    rows = frame[frame.variant.isin(whole)].dropna(subset=metric)
    if rows.empty:
        return ""
    rows = rows.assign(
        representation=rows.variant.map(lambda name: whole[name].representation),
        backbone=rows.variant.map(lambda name: whole[name].backbone),
    )
    alone = {VIT, section.scratch_title if section else VIT}  # with one representation each
    wide = rows[~rows.backbone.isin(alone)].pivot(
        index=["backbone", "seed"], columns="representation", values=metric
    )
    means = wide.dropna().mean().dropna().sort_values(ascending=False)
    text = ""
    if len(means):
        listed = ", ".join(f"{HEADS[name].title} {100 * value:.1f} %" for name, value in means.items())
        left_out = len(wide) - len(wide.dropna())
        failed = f" ({left_out} of {len(wide)} left out, as a training failed)" if left_out else ""
        text = f"Whole networks, mean over backbones and seeds{failed}, hidden joints: {listed}."
    below = int((rows[metric] <= floor).sum())
    if below:
        text += f" {below} of the {len(rows)} whole networks do not beat the mean pose: they are too short."
    return text.strip()
