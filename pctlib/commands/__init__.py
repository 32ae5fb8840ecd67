"""Command line: one module a sub-command, all thin."""

from typing import Annotated

import typer

from pctlib import __version__

app = typer.Typer(no_args_is_help=True)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pctlib {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Human pose representations: data, training, prediction, evaluation."""


# Each module adds itself to `app` when it is imported.
from pctlib.commands import (  # noqa: E402
    calibrate,  # noqa: F401
    data,  # noqa: F401
    evaluate,  # noqa: F401
    export,  # noqa: F401
    notebook,  # noqa: F401
    people,  # noqa: F401
    predict,  # noqa: F401
    pretrain,  # noqa: F401
    study,  # noqa: F401
    train,  # noqa: F401
)
