"""Command line: one module a sub-command, all thin."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Human pose representations: data, training, prediction, evaluation.",
)

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
