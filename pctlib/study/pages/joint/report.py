"""What joint training gave: a table and bars by data set, learning curves, and the finding in words."""

from pathlib import Path

import pandas as pd

from pctlib.reporting.columns import column
from pctlib.reporting.records import read_history
from pctlib.reporting.tables import published
from pctlib.study.findings import change_in_words, failures, interval_note
from pctlib.study.floor import floor_of, with_floor
from pctlib.study.pages.joint.study import MEASURES, JointStudy, mean_of
from pctlib.study.pages.joint.trainings import ALONE, EXPERTS, JOINT, VARIANTS
from pctlib.study.variants import bars_of, read_histories, run_folder, summarise

PCK, NME = MEASURES


def joint_table(frame: pd.DataFrame, study: JointStudy) -> pd.DataFrame:
    """Return one row a variant, and one for the mean pose: accuracy on each data set, and costs.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    columns = {f"{PCK} {name}": column(PCK).named(f"{name}: PCK@0.1") for name in study.names}
    columns |= {key: column(key).named(f"mean: {column(key).title}") for key in (PCK, NME)}
    table = summarise(frame, columns)
    for cost in ("parameters (M)", "images seen"):
        table[cost] = table["variant"].map(frame.groupby("variant")[cost].first())
    floor = floor_metrics(study)
    return with_floor(table, {c.heading: c.scale * floor[metric] for metric, c in columns.items()})


def floor_metrics(study: JointStudy) -> dict[str, float]:
    """Return what the mean training pose reaches, under the names of the metrics of a run."""
    found: dict[str, float] = {}
    for name in study.names:
        metrics = floor_of(study.train_crops[name], study.val_crops[name])
        found |= {f"{key} {name}": metrics[key] for key in MEASURES}
    return found | {key: mean_of(found, key, study.names) for key in MEASURES}


def joint_bars(frame: pd.DataFrame, study: JointStudy) -> pd.DataFrame:
    """Return how far each variant lies above the mean pose, in points, as `bars_of`; series: "data set".

    Args:
        frame: of `train_variants`.
        study: that trained the variants.
    """
    metrics = {f"{PCK} {name}": name for name in study.names}
    return bars_of(frame, metrics, series="data set", above=floor_metrics(study))


def published_joint() -> pd.DataFrame:
    """Return what the paper reports of joint training: AP on COCO by size, alone and with other data sets."""
    told = published("coco_val_vitpose").set_index("method")["ap"]
    rows = []
    for size in ("B", "L", "H"):
        alone, joint = told[f"ViTPose-{size}"], told[f"ViTPose-{size} (multi-dataset)"]
        rows.append((f"ViTPose-{size}", alone, joint, joint - alone))
    columns = ["COCO alone", "several data sets", "difference"]
    groups = [("", "model"), *(("published", f"{column}, AP on COCO") for column in columns)]
    return pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(groups))


def joint_histories(runs: str | Path, study: JointStudy) -> dict[str, pd.DataFrame]:
    """Return the history of each finished variant of one seed; `runs` has a folder for each.

    The histories of the models of one data set each are put beside each other, with their mean loss, which
    is what the loss of a joint model is.
    """
    histories = read_histories(runs, VARIANTS)
    files = [run_folder(runs, ALONE) / name / "history.jsonl" for name in study.names]
    if not all(file.is_file() for file in files):
        return histories
    alone = [read_history(file) for file in files]
    merged = pd.concat([history.filter(regex="^val_") for history in alone], axis=1)
    merged = merged.loc[:, ~merged.columns.duplicated()]
    merged["epoch"] = alone[0]["epoch"]
    merged["train_loss"] = sum(history["train_loss"] for history in alone) / len(alone)
    return {ALONE: merged} | histories


def joint_finding(frame: pd.DataFrame, study: JointStudy) -> str:
    """Return in plain words what company brings each data set, and what experts add to it."""
    metrics = {name: f"{PCK} {name}" for name in study.names} | {"on average": PCK}
    sentences = []
    for question, variant, base in (
        ("a backbone for all data sets against one for each", JOINT, ALONE),
        ("experts against none", EXPERTS, JOINT),
    ):
        changes = (f"{name} {change_in_words(frame, m, variant, base)}" for name, m in metrics.items())
        sentences.append(f"{question}: {', '.join(changes)}.")
    text = f"In points of PCK@0.1, {sentences[0]} {sentences[1].capitalize()}"
    return " ".join([text, interval_note(frame), failures(frame)]).strip()
