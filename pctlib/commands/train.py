"""`pctlib train`: what a page of the study trains, for the workflow, scripts and `accelerate launch`."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pctlib.commands import app

if TYPE_CHECKING:
    from pctlib.study.page import OpenPage

_SAID = ("val_error px", "val_PCK@0.1 all", "val_AP")  # of what is measured, where there is such


@app.command("train")
def train(
    page: Annotated[str, typer.Argument(help="which page, such as heatmap, tokenizer or comparison")],
    variant: Annotated[str, typer.Option(help="only this one of the page's variants; all if empty")] = "",
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[str, typer.Option(help="procedural, coco or poses")] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of weights, order and augmentation")] = 0,
    out_dir: Annotated[str, typer.Option(help="folder of the run; the study's own if empty")] = "",
    study_dir: Annotated[
        str, typer.Option(help="folder of the runs that it reads; the study's if empty")
    ] = "",
    finished: Annotated[str, typer.Option(help="also write the run card here at the end")] = "",
) -> None:
    """Train by the very call that the page's notebook makes, which then only reads the run."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # bars of jobs side by side tell nobody anything
    from pctlib.study.page import page_of
    from pctlib.workflow.layout import StudyLayout
    from pctlib.workflow.pages import page_named
    from pctlib.workflow.seals import seal

    layout = StudyLayout.from_config({"profile": profile, "dataset": data, "root": data_root})
    record = page_named(page)
    if not record.trains:
        raise ValueError(f"page {page}: it trains nothing; its notebook is {record.notebook}.ipynb")
    own = layout.run_dir(page, seed if record.seeds == "each" else None)
    opened = page_of(
        page,
        layout,
        out_dir=Path(out_dir).resolve() if out_dir else own,
        study_dir=Path(study_dir).resolve() if study_dir else layout.folder,
        seed=seed,
        seeds=[seed],
    )
    said = _train_stage(opened) if record.seeds == "each" else _train_variants(opened, variant)
    if finished:
        opened.card.save(finished)
        if record.seeds == "each":
            seal(opened.folder)
    typer.echo(f"{opened.folder}: {said}")


def _train_stage(page: "OpenPage") -> str:
    """Train the one run of a page and a seed; return in words how it ended."""
    module, _, name = page.record.trains[0].partition(":")
    with page.card.timed("training"):
        result = getattr(import_module(module), name)(page)
    last = {key: value for key, value in result.history[-1].items() if value is not None}
    kept = [key for key in last if key in ("epoch", "train_loss", "seconds") or key in _SAID]
    return ", ".join(f"{key} {last[key]:.4g}" for key in kept)


def _train_variants(page: "OpenPage", wanted: str) -> str:
    """Train the variants of a page, or the wanted one, by name or folder; return how many finished."""
    from pctlib.study.variants import FAILED, check_variant
    from pctlib.workflow.pages import Training

    classes = [getattr(import_module(module), name) for module, _, name in map(_parts, page.record.trains)]
    planned = {t.folder: t for t in page.record.trainings(page.settings)}
    names = {t.name: t for t in planned.values()} | planned
    if wanted:
        check_variant(wanted, list(names))
    chosen: list[Training] = [names[wanted]] if wanted else list(planned.values())
    done = failed = 0
    for study in classes:
        variants = [t.name for t in chosen if t.group == study.group]
        if variants:
            frame = page.train(
                study.of(page), variants=variants, timed=study.group or "training", all_may_fail=True
            )
            failed += int(frame[FAILED].notna().sum()) if FAILED in frame else 0
            done += len(frame)
    return f"{done - failed} of {done} variants trained"


def _parts(trains: str) -> tuple[str, str, str]:
    return trains.partition(":")
