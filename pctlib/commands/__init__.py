"""Command line: one module a sub-command, all thin."""

import typer

app = typer.Typer(no_args_is_help=True, help="Human pose representations: data, evaluation, inference.")
