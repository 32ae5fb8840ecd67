"""`pctlib study run`: the whole study through Snakemake."""

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

    run_study(profile=profile, data=data, data_root=data_root, cores=cores, dry_run=dry_run)
