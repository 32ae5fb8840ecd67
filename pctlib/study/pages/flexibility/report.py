"""What the ablations of ViTPose say: their table, the frame of their figure, and the finding in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pctlib.reporting.tables import beside, published, signed
from pctlib.study.findings import difference, failures, interval_note, one_seed_note
from pctlib.study.pages.flexibility.study import DECODER, Choice
from pctlib.study.pages.flexibility.trainings import BASE
from pctlib.study.variants import summarise

_METRIC = "PCK@0.1 all"
_SHARES = (_METRIC, "PCK@0.1 seen", "PCK@0.1 hidden", "NME all")


def flexibility_table(frame: pd.DataFrame, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """Return one row a variant: what differs, input, cost, accuracy, and the difference from the base.

    Args:
        frame: of `train_variants`.
        choices: the variants.
    """
    table = summarise(frame, _SHARES)
    names = table["variant"]
    table.insert(0, "what differs", [choices[name].group or "–" for name in names])
    sizes = [choices[name].input_size for name in names]
    table.insert(2, "input (px)", [f"{height} x {width}" for height, width in sizes])
    costs = frame.groupby("variant").first()
    for place, column in enumerate(("multiply-adds (M)", "trained (M)"), start=3):
        table.insert(place, column, names.map(costs[column]))
    changes = [None if name == BASE else difference(frame, _METRIC, name, BASE) for name in names]
    table["against base (points)"] = [np.nan if change is None else change for change in changes]
    return table


def decoder_table(table: pd.DataFrame, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """Return published and measured numbers of both decoders, side by side.

    Args:
        table: of `flexibility_table`.
        choices: the variants.
    """
    told = published("coco_val_vitpose_decoders")
    methods = list(dict.fromkeys(told["method"]))
    wide = told.pivot(index="decoder", columns="method", values="ap")[methods]
    wide = wide.add_suffix(", AP on COCO").rename_axis(columns=None).reset_index()
    rows = table[table["variant"].isin([n for n, c in choices.items() if n == BASE or c.group == DECODER])]
    decoders = [choices[name].decoder for name in rows["variant"]]
    measured = pd.DataFrame({"decoder": decoders, "PCK@0.1 (%)": list(rows["PCK@0.1 (%)"])})
    return beside(wide, measured, on="decoder")


def flexibility_finding(frame: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return in plain words which changes cost or gain accuracy, and which show no difference.

    Args:
        frame: of `train_variants`.
        table: of `flexibility_table`.
    """
    changes = table[table["variant"] != BASE].dropna(subset="against base (points)")
    found = dict(zip(changes["variant"], changes["against base (points)"], strict=True))
    ordered = sorted(found.items(), key=lambda entry: float(entry[1]))
    if note := one_seed_note(frame):
        each = ", ".join(f"{name} {signed(float(value))}" for name, value in ordered)
        said = f"Points of PCK@0.1 against the base: {each}. {note}"
    else:
        clear = [(name, value) for name, value in ordered if value.leaves_out_zero]
        told = ", ".join(f"{name} {signed(value)}" for name, value in clear)
        level = [name for name, _ in ordered if name not in dict(clear)]
        said = f"Points of PCK@0.1 against the base, beyond chance: {told or 'none'}. "
        said += f"No difference shown: {', '.join(level) or 'none'}. {interval_note(frame)}"
    return f"{said} {failures(frame)}".strip()
