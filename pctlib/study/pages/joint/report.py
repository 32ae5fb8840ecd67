"""What joint training gave: a table and bars by data set, learning curves, and the finding in words."""

from pathlib import Path

import pandas as pd

from pctlib.reporting.records import read_history
from pctlib.reporting.tables import interval_ends, published
from pctlib.study.findings import change_in_words, failures, interval_note
from pctlib.study.pages.joint.study import JointStudy
from pctlib.study.pages.joint.trainings import ALONE, EXPERTS, JOINT, VARIANTS
from pctlib.study.predictions import FLOOR, judge, mean_pose_predictions
from pctlib.study.variants import run_folder, summarise

PCK, NME = "PCK@0.2 all", "NME all"


def joint_table(frame: pd.DataFrame, study: JointStudy) -> pd.DataFrame:
    """Return one row a variant, and one for the mean pose: accuracy on each data set, and costs.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    titles = {f"{PCK} {name}": f"{name}: PCK@0.2 (%)" for name in study.names}
    titles |= {PCK: "mean: PCK@0.2 (%)", NME: "mean: error / box side (%)"}
    table = summarise(frame, titles)
    for column in ("parameters (M)", "images seen"):
        table[column] = table["variant"].map(frame.groupby("variant")[column].first())
    floor = {title: 100 * value for title, value in zip(titles.values(), _floor(study), strict=True)}
    return pd.concat([pd.DataFrame([{"variant": FLOOR} | floor]), table], ignore_index=True)


def _floor(study: JointStudy) -> list[float]:
    """Return what the mean training pose reaches, in the order of the columns of `joint_table`."""
    found = []
    for splits in study.sets:
        predictions = mean_pose_predictions(splits.train, splits.val, study.profile.crop)
        found.append(judge(splits.val, predictions))
    pck = [metrics[PCK] for metrics in found]
    return [*pck, sum(pck) / len(pck), sum(metrics[NME] for metrics in found) / len(found)]


def joint_bars(table: pd.DataFrame, study: JointStudy) -> pd.DataFrame:
    """Return how far each variant lies above the mean pose, in points, one row a bar.

    Args:
        table: of `joint_table`.
        study: that trained the variants.

    Returns:
        `data set`, `variant`, `points`, `low` and `high`, the ends of the interval over the seeds.
    """
    rows = []
    for name in study.names:
        values = table.set_index("variant")[f"{name}: PCK@0.2 (%)"]
        for variant, value in values.drop(FLOOR).items():
            ends = {key: end - float(values[FLOOR]) for key, end in interval_ends(value).items()}
            rows.append({"data set": name, "variant": variant} | ends)
    return pd.DataFrame(rows).rename(columns={"value": "points"})


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
    files = [run_folder(runs, ALONE) / name / "history.jsonl" for name in study.names]
    others = {variant: run_folder(runs, variant) / "history.jsonl" for variant in VARIANTS}
    histories = {variant: read_history(file) for variant, file in others.items() if file.is_file()}
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
    text = f"In points of PCK@0.2, {sentences[0]} {sentences[1].capitalize()}"
    return " ".join([text, interval_note(frame), failures(frame)]).strip()
