"""What fine-tuning tells: the table before and after, and the finding in words."""

import pandas as pd

from pctlib.reporting.columns import column, shown
from pctlib.study.findings import change_in_words, failures, interval_note
from pctlib.study.floor import floor_of, with_floor
from pctlib.study.page import OpenPage
from pctlib.study.pages.finetune.study import FinetuneStudy
from pctlib.study.pages.finetune.trainings import BEFORE, HEAD, SCRATCH, WHOLE
from pctlib.study.variants import ACCURACY, read_histories, summarise

_PCK, _LEARNED, _SECONDS = "PCK@0.1 all", "weights learned (M)", "training seconds"


def finetune_table(frame: pd.DataFrame, study: FinetuneStudy) -> pd.DataFrame:
    """Return one row a variant, and one for the mean pose: accuracy in per cent, weights and seconds.

    Args:
        frame: of `train_variants`.
        study: that trained them.
    """
    known = [metric for metric in ACCURACY if metric in frame]  # no OKS-AP without sigmas
    table = with_floor(summarise(frame, known), shown(floor_of(study.train_crops, study.val_crops), known))
    for name, title in ((_LEARNED, _LEARNED), (_SECONDS, column(_SECONDS).heading)):
        if name in frame:
            table[title] = table["variant"].map(frame.groupby("variant")[name].mean())
    return table


def histories(page: OpenPage, study: FinetuneStudy) -> dict[str, pd.DataFrame]:
    """Return the history of each finished training of the first seed."""
    return read_histories(page.folder / f"seed{page.seed}", study.variants)


def finetune_finding(frame: pd.DataFrame, study: FinetuneStudy) -> str:
    """Return in plain words what training changes, what the backbone adds, and what the weights are worth."""
    start, images = study.start, len(set(study.splits.train.image_ids.tolist()))
    new = start.run.skeleton
    head = (
        f"backbone and head are taken over, the {new.num_keypoints} keypoints are the same"
        if start.keeps_head
        else f"the backbone is taken over; the head for {start.own_keypoints} gives way to a new one for "
        f"{new.num_keypoints} ({new.name})"
    )
    sentences = [f"{start.file}: {head}."]
    asked = {
        "all weights against none trained": (WHOLE, BEFORE),
        "the head alone against none": (HEAD, BEFORE),
        "all weights against the head alone": (WHOLE, HEAD),
        "trained weights against starting from none": (WHOLE, SCRATCH),
    }
    there = set(frame["variant"])
    changes = [
        f"{what} {change_in_words(frame, _PCK, variant, base)}"
        for what, (variant, base) in asked.items()
        if {variant, base} <= there
    ]
    if changes:
        sentences.append(f"With {images} images, in points of PCK@0.1: {', '.join(changes)}.")
    return " ".join([*sentences, interval_note(frame), failures(frame)]).strip()
