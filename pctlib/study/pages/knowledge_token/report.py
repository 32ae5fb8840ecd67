"""What a teacher gave its students: the table, learning curves, and the finding in words."""

from pathlib import Path

import pandas as pd

from pctlib.reporting.columns import shown
from pctlib.study.findings import change_in_words, failures, interval_note, not_better
from pctlib.study.floor import floor_of, with_floor
from pctlib.study.pages.knowledge_token.study import KnowledgeTokenStudy
from pctlib.study.pages.knowledge_token.trainings import (
    BOTH,
    NONE,
    OUTPUT,
    RANDOM,
    STUDENTS,
    TAUGHT,
    TEACHER,
    TOKEN,
)
from pctlib.study.variants import ACCURACY, read_histories, summarise

_PCK = "PCK@0.1 all"


def transfer_table(frame: pd.DataFrame, study: KnowledgeTokenStudy) -> pd.DataFrame:
    """Return one row a variant, and one for the mean pose: accuracy in per cent, and size.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    table = summarise(frame, ACCURACY)
    table["parameters (M)"] = table["variant"].map(frame.groupby("variant")["parameters (M)"].first())
    return with_floor(table, shown(floor_of(study.train_crops, study.val_crops), ACCURACY))


def student_histories(runs: str | Path) -> dict[str, pd.DataFrame]:
    """Return the history of each finished student of one seed; `runs` has a folder for each.

    The loss shown is the error to the labels, which all students have in common.
    """
    histories = read_histories(runs, STUDENTS)
    return {name: h.assign(train_loss=h["train_heatmap"]) for name, h in histories.items()}


def transfer_finding(frame: pd.DataFrame) -> str:
    """Return in plain words whether there was anything to transfer, and what each way of it brings."""
    teacher = f"In points of PCK@0.1, the teacher against the student alone: {_change(frame, TEACHER, NONE)}"
    teacher += f"{not_better(frame, _PCK, TEACHER, NONE)}."
    lessons = {"from the heatmaps": OUTPUT, "from the token": TOKEN, "from both": BOTH}
    changes = (f"{lesson} {_change(frame, variant, NONE)}" for lesson, variant in lessons.items())
    students = f"What the student gains: {', '.join(changes)}."
    control = f"The token against a random one as long: {_change(frame, TOKEN, RANDOM)}."
    taught = f"The token in the teacher itself: {_change(frame, TAUGHT, TEACHER)}."
    texts = [teacher, students, control, taught, interval_note(frame), failures(frame)]
    return " ".join(texts).strip()


def _change(frame: pd.DataFrame, variant: str, base: str) -> str:
    return change_in_words(frame, _PCK, variant, base)
