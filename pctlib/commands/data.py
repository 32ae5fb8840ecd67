"""`pctlib data get` and `pctlib data check`: benchmarks on disk."""

from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app

data_app = typer.Typer(no_args_is_help=True, help="Fetch and check benchmark data sets.")
app.add_typer(data_app, name="data")


@data_app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="coco, mpii, ...; without it, all are listed")] = "",
    root: Annotated[Path | None, typer.Option(help="folder of the data set; data/NAME without it")] = None,
    part: Annotated[list[str] | None, typer.Option(help="only this part, again for more")] = None,
    keep_archives: Annotated[bool, typer.Option(help="keep the archives once unpacked")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before it starts")] = False,
) -> None:
    """Fetch what is published freely, and say what has to be fetched by hand."""
    from pctlib.data import sources

    if not name:
        for known, source in sources.SOURCES.items():
            parts = ", ".join(archive.part for archive in source.archives) or "by hand"
            typer.echo(f"{known}: {source.title} ({parts})")
        return
    root = root or Path("data") / name
    archives = sources.choose(name, part)
    typer.echo(sources.by_hand(name, root))
    missing = sources.missing(archives, root, say=typer.echo)
    if not missing:
        return
    if not yes:
        typer.confirm("Start?", abort=True)
    sources.get(missing, root, say=typer.echo, keep_archives=keep_archives)


@data_app.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="folder of the data set")],
    dataset: Annotated[str | None, typer.Option(help="its name; found out without it")] = None,
    all_images: Annotated[bool, typer.Option("--all", help="decode every image, not a sample")] = False,
    sample: Annotated[int, typer.Option(min=1, help="images decoded of each split without --all")] = 64,
    category: Annotated[
        str | None, typer.Option(help="name of the category of persons, where the file does not tell")
    ] = None,
) -> None:
    """Say what is there, what is missing and what is broken; ends with 1 if anything is."""
    from pctlib.data.check import check_dataset, detect

    findings = check_dataset(path, dataset, all_images=all_images, sample=sample, category=category)
    for finding in findings:
        typer.echo(f"{finding.kind:8}{finding.text}")
    if dataset == "own" or (dataset is None and detect(path) == ["own"]):
        _draft(path, category)
    faults = sum(finding.kind in ("missing", "broken") for finding in findings)
    typer.echo(f"faults: {faults}" if faults else "everything that was looked at is in order")
    if faults:
        raise typer.Exit(1)


def _draft(root: Path, category: str | None) -> None:
    """Write down the keypoints of an own data set, for its user to correct, where nobody has yet."""
    from pctlib.data.datasets import find_annotations, find_layout, splits_there
    from pctlib.data.own import draft_keypoints

    for split in splits_there("own", root)[:1]:
        written = draft_keypoints(
            find_annotations(find_layout("own", split), "own", root, split), category=category
        )
        if written is not None:
            typer.echo(f"written: {written}, the keypoints as the file tells them; correct what is wrong")
