"""`pctlib study run`: the whole study through Snakemake; `study people`: its first job."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app

study_app = typer.Typer(no_args_is_help=True, help="Run the study.")
app.add_typer(study_app, name="study")


@study_app.command("run")
def run(
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[
        str, typer.Option(help="procedural, coco (own files in its format, too) or crowdpose")
    ] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
    cores: Annotated[int, typer.Option(min=1, help="CPU cores")] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="only say what would run")] = False,
) -> None:
    """Run what is not up to date, and say where the report is."""
    from pctlib.workflow.run import run_study

    try:
        run_study(profile=profile, data=data, data_root=data_root, cores=cores, dry_run=dry_run)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None  # as shells have it; what to do next is said already


@study_app.command("people")
def people(
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[str, typer.Option(help="procedural, coco, poses, ...")] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
    finished: Annotated[str, typer.Option(help="also write the counts here at the end")] = "",
) -> None:
    """Make or read the people of a profile, which all its trainings and pages then find on the disk."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    from pctlib.io import write_json
    from pctlib.profiles.profile import load_profile
    from pctlib.study.people import load_splits
    from pctlib.workflow.seals import seal, unseal

    if finished:
        unseal(Path(finished).parent)
    counts = load_splits(data, load_profile(profile), root=data_root).counts()
    if finished:
        seal(write_json(finished, counts).parent)
    typer.echo(", ".join(f"{name}: {count}" for name, count in counts.items()))


@study_app.command("index")
def index(
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[str, typer.Option(help="procedural, coco or crowdpose")] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
    finished: Annotated[str, typer.Option(help="also write its numbers here")] = "",
) -> None:
    """Write the index of a study from what has run so far: the main comparison, and pages beside it."""
    from pctlib.io import write_json
    from pctlib.workflow.layout import StudyLayout
    from pctlib.workflow.pages import PAGES

    layout = StudyLayout.from_config({"profile": profile, "dataset": data, "root": data_root})
    module, _, name = PAGES[-1].early.partition(":")
    path, numbers = getattr(import_module(module), name)(layout)
    if finished:
        write_json(finished, numbers)
    typer.echo(f"first results: {path}")


@study_app.command("pdf")
def pdf(
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[str, typer.Option(help="procedural, coco or crowdpose")] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
) -> None:
    """Print the report of a study that has run to one PDF; needs Chromium or Chrome."""
    from pctlib.paths import resolve
    from pctlib.reporting.book import print_pdf, write_book
    from pctlib.workflow.layout import StudyLayout

    layout = StudyLayout.from_config({"profile": profile, "dataset": data, "root": data_root})
    folder = resolve(layout.folder)
    typer.echo(str(print_pdf(write_book(folder, layout.site()), folder / "report.pdf")))
