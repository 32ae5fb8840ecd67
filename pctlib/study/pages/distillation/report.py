"""What distillation gave the students: tables beside the published one, and the finding."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from pctlib.complexity import count_flops, count_parameters
from pctlib.metrics.wholebody import part_errors
from pctlib.models.rivals import rtm_pose
from pctlib.reporting.columns import Column, column
from pctlib.reporting.tables import beside, published
from pctlib.study.findings import difference_in_words, failures, not_better, one_seed_note
from pctlib.study.floor import mean_pose_of, with_floor
from pctlib.study.pages.distillation.study import DistillationStudy
from pctlib.study.pages.distillation.trainings import (
    BOTH,
    FIRST,
    NEITHER,
    SECOND,
    STEADY,
    TEACHER,
)
from pctlib.study.variants import bars_of, read_histories, summarise

PARTS = {"body": "body", "foot": "feet", "face": "face", "hand": "hands", "wholebody": "whole body"}
_STAGES = {("no", "no"): NEITHER, ("yes", "no"): FIRST, ("no", "yes"): SECOND, ("yes", "yes"): BOTH}
_PUBLISHED_SIZE = (256, 192)


def ablation_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the published ablation of the two stages beside this study's: AP of each part in per cent.

    Args:
        frame: of `train_variants`.
    """
    paper = published("dwpose_distillation_ablation")
    names = [_STAGES[pair] for pair in zip(paper.pop("first_stage"), paper.pop("second_stage"), strict=True)]
    paper = paper.rename(columns={f"{part}_ap": f"{title} AP" for part, title in PARTS.items()})
    paper.insert(0, "distillation", names)
    rows = frame[frame["variant"].isin(names)]
    measured = summarise(
        rows,
        {f"AP {part}": Column(f"{title} AP", scale=100.0) for part, title in _parts(frame).items()},
        name="distillation",
    )
    return beside(paper, measured, on="distillation")


def error_table(frame: pd.DataFrame, study: DistillationStudy) -> pd.DataFrame:
    """Return error and share of correct keypoints of each part, one row a variant and one for the mean pose.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    groups = {"NME": "mean error / box side (%)", "PCK": "keypoints within 5 % of it (%)"}
    columns = {(name, part): (groups[name], PARTS[part]) for name in groups for part in _parts(frame)}
    shown = {f"{name} {part}": Column(title, scale=100.0) for (name, part), title in columns.items()}
    found = mean_pose_of(study.train_crops, study.val_crops).keypoints_image
    floor = part_errors(study.val_crops.people, found)
    row = {title: 100 * floor[part][name] for (name, part), title in columns.items()}
    table = with_floor(summarise(frame, shown), row)
    return table.rename(columns={"variant": ("", "variant"), "failed runs": ("", "failed runs")})


def decay_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the error of each part with losses that fade, with losses that stay, and without a teacher."""
    rows = frame[frame["variant"].isin([NEITHER, STEADY, FIRST])]
    columns = {f"NME {part}": Column(title, scale=100.0) for part, title in _parts(frame).items()}
    named = {NEITHER: "no teacher", STEADY: "first stage, losses stay", FIRST: "first stage, losses fade"}
    table = summarise(rows, columns)
    return table.assign(variant=table["variant"].map(named))


def size_table(frame: pd.DataFrame, study: DistillationStudy) -> pd.DataFrame:
    """Return parameters and GFLOPs (10^9 multiply-adds) of teacher and student, and of the published sizes.

    The published networks are built at 256x192 without weights and counted, beside what their table says.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    height, width = study.section.input_size
    rows = []
    for role, variant in (("teacher", TEACHER), ("student", NEITHER)):
        runs = frame[frame["variant"] == variant].dropna(subset=["GFLOPs"])
        values = {name: runs[name].iloc[0] if len(runs) else None for name in ("parameters (M)", "GFLOPs")}
        rows.append({"network": f"{role} of this study, {height}x{width}"} | values)
    for size in "tsml":
        with torch.device("meta"):
            model = rtm_pose(size, _PUBLISHED_SIZE)
        values = {"parameters (M)": count_parameters(model) / 1e6}
        values["GFLOPs"] = count_flops(model, _PUBLISHED_SIZE).gflops
        rows.append({"network": f"DWPose-{size}, 256x192"} | values)
    table = published("coco_wholebody_dwpose")
    table = table[table["method"].str.startswith("DWPose") & (table["input_size"] == "256x192")]
    paper = pd.DataFrame(
        {"network": table["method"] + ", " + table["input_size"], "GFLOPs": table["gflops"]}
    ).reset_index(drop=True)
    return beside(paper, pd.DataFrame(rows), on="network")


def summary_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the results of all keypoints in per cent, one row a variant, as other pages show."""
    part = list(_parts(frame))[-1]
    within = Column("within 5 % of it", "%", 100.0, "max")
    columns = {f"NME {part}": column("NME all"), f"PCK {part}": within, f"AP {part}": column("AP")}
    return summarise(frame, columns)


def part_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of each part and variant in per cent of the box side, as `bars_of`."""
    metrics = {f"NME {part}": title for part, title in _parts(frame).items()}
    return bars_of(frame, metrics, series="part")


def student_histories(runs: str | Path) -> dict[str, pd.DataFrame]:
    """Return the history of the students of one seed that learn from labels; `runs` has a folder for each.

    The loss shown is that of the labels, which all of them have in common.
    """
    histories = read_histories(runs, (NEITHER, FIRST, STEADY))
    return {
        name: history.assign(train_loss=history["train_simcc"])
        for name, history in histories.items()
        if "train_simcc" in history
    }


def loss_terms(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return each term of the loss of each student in its first and in its last epoch, means over the steps.

    Terms are of very different sizes, so each is written with its own three digits.

    Args:
        histories: of `student_histories`.
    """
    rows = []
    for student, history in histories.items():
        for name in history.columns:
            term = name.removeprefix("train_")
            if term != name and term != "loss":
                first, last = (f"{value:.3g}" for value in history[name].iloc[[0, -1]])
                rows.append({"student": student, "term": term, "first epoch": first, "last epoch": last})
    return pd.DataFrame(rows)


def distillation_finding(frame: pd.DataFrame) -> str:
    """Return in plain words whether there was anything to learn, and what each stage and the decay bring."""
    part = list(_parts(frame))[-1]
    metric = f"NME {part}"
    means = 100 * frame.groupby("variant")[metric].mean()

    def words(variant: str, base: str) -> str:
        return difference_in_words(frame, metric, variant, base, what="points")

    teacher = f"Mean error of all keypoints ({PARTS[part]}), in per cent of the longer box side"
    if {TEACHER, NEITHER} <= set(means.dropna().index):
        teacher += f": teacher {means[TEACHER]:.1f}, student without it {means[NEITHER]:.1f}"
        teacher += not_better(frame, metric, TEACHER, NEITHER, falling=True)
    stages = f"Stage one: {words(FIRST, NEITHER)} Stage two: {words(SECOND, NEITHER)} {words(BOTH, FIRST)}"
    decay = f"Decay of stage one's losses: {words(FIRST, STEADY)}"
    sentences = [
        f"{teacher}. Differences below 0 are gains.",
        stages,
        decay,
        one_seed_note(frame),
        failures(frame),
    ]
    return " ".join(filter(None, sentences))


def _parts(frame: pd.DataFrame) -> dict[str, str]:
    """Return the parts that were measured and their titles; the last one holds all keypoints."""
    return {part: title for part, title in PARTS.items() if f"NME {part}" in frame}
