"""`pctlib notebook run`: execute a notebook of the study and write its page."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app

notebook_app = typer.Typer(no_args_is_help=True, help="Run notebooks with parameters.")
app.add_typer(notebook_app, name="notebook")


@notebook_app.command("run")
def run(
    notebook: Annotated[Path, typer.Argument(help="the notebook")],
    executed: Annotated[Path, typer.Option(help="where the notebook with outputs goes")],
    html: Annotated[Path | None, typer.Option(help="where its page goes; none is made without it")] = None,
    failure: Annotated[
        Path | None, typer.Option(help="where a failure is written as JSON; the command then succeeds")
    ] = None,
    values: Annotated[str, typer.Option(help="parameters as one JSON object")] = "{}",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value, again for more")
    ] = None,
) -> None:
    """Execute a notebook; an unknown parameter is an error."""
    from pctlib.io import read_json, write_json
    from pctlib.paths import project_root, resolve
    from pctlib.reporting.export import export_notebook
    from pctlib.reporting.index import card_of, join_page, said
    from pctlib.reporting.provenance import Provenance
    from pctlib.reporting.run_card import git_revision, now
    from pctlib.workflow.layout import StudyLayout
    from pctlib.workflow.mending import seal_page
    from pctlib.workflow.notebooks import NotebookError, run_notebook
    from pctlib.workflow.pages import PAGES
    from pctlib.workflow.seals import unseal

    try:
        given = json.loads(values)
    except json.JSONDecodeError as error:
        raise ValueError(f"--values: expected a JSON object, got {values!r} ({error})") from error
    if not isinstance(given, dict):
        raise ValueError(f"--values: expected a JSON object, got {values!r}")
    given |= dict(_split(entry) for entry in parameter or [])
    started = time.monotonic()
    typer.echo(f"{notebook.stem}: running; as far as it got: {executed}", err=True)
    if "out_dir" in given:
        unseal(resolve(given["out_dir"]))
    if html is not None:
        unseal(html.with_name(PAGES[-1].name))  # the results tell of this page as it was
    try:
        run_notebook(notebook, executed, given, progress=sys.stderr.isatty())
    except NotebookError as error:
        if failure is None:
            raise
        typer.echo(f"{notebook.stem}: {error}", err=True)
        write_json(failure, {"failed": str(error)})
        return
    if html is not None:
        layout = StudyLayout.from_config({key: given.get(key) for key in ("profile", "dataset", "root")})
        metrics = executed.with_name("metrics.json")
        finding = said(read_json(metrics)) if metrics.is_file() else ""
        site = layout.site()
        origin = Provenance(f"notebooks/{notebook.name}", layout.command, git_revision(project_root()), now())
        export_notebook(
            executed,
            html,
            site=site,
            page=html.name,
            finding=finding,
            provenance=origin,
        )
        title, question = site.page_title(html.name), site.questions.get(html.name, "")
        join_page(html.with_name("index.html"), card_of(title, html.name, question, finding))
        if "out_dir" in given:
            seal_page(resolve(given["out_dir"]), notebook.stem, html)
    typer.echo(f"{notebook.stem}: {time.monotonic() - started:.0f} s", err=True)


def _split(entry: str) -> tuple[str, object]:
    """Return the name and value of `name=value`; a value that is JSON is read as such."""
    name, equals, text = entry.partition("=")
    if not equals:
        raise ValueError(f"--parameter: expected name=value, got '{entry}'")
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text
