"""Command line: one module a sub-command, all thin."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Human pose representations: data, training, prediction, evaluation.",
)

# Each module adds itself to `app` when it is imported.
from pctlib.commands import data, evaluate, export, notebook, people, predict, pretrain, study, train  # noqa: E402, F401
