"""Running notebooks by papermill, strictly: an unknown parameter is an error, not a warning."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from pctlib.io import existing_file


class NotebookError(ValueError):
    """A cell of a notebook raised, or its kernel died; the message names notebook, cell and error."""


def notebook_parameters(notebook: str | Path) -> dict[str, str]:
    """Return the parameters of a notebook and their defaults as source text.

    Raises:
        FileNotFoundError: if there is no such notebook.
        ValueError: if it is not a notebook or has no cell tagged `parameters`.
    """
    path = existing_file(notebook)
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ValueError(f"{path}: not a notebook ({str(error).splitlines()[0]})") from error
    if not any("parameters" in cell.metadata.get("tags", []) for cell in cells):
        raise ValueError(f"{path}: no cell is tagged 'parameters'")
    return {name: entry["default"] for name, entry in papermill.inspect_notebook(str(path)).items()}


def run_notebook(
    notebook: str | Path, executed: str | Path, parameters: dict[str, Any], *, progress: bool = False
) -> Path:
    """Execute a notebook with parameters, in the notebook's own folder.

    The executed notebook is saved after every cell, so a failed run can be read.

    Args:
        notebook: the source.
        executed: where the notebook with outputs goes; its folder is made.
        parameters: name -> value, each one of the notebook's parameters.
        progress: show papermill's bar over the cells.

    Returns:
        `executed`.

    Raises:
        FileNotFoundError: if there is no such notebook.
        ValueError: if a parameter does not exist; names those that do.
        NotebookError: if a cell raises, or the kernel dies, for instance because memory ran out.
    """
    known = notebook_parameters(notebook)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{notebook}: no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    executed = Path(executed)
    executed.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill.translators").setLevel(logging.ERROR)
    try:
        with _kernel_settings() as config:
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                parameters,
                cwd=str(Path(notebook).resolve().parent),
                kernel_name="python3",
                progress_bar=progress,
                config=config,
            )
    except PapermillExecutionError as error:
        raise NotebookError(
            f"{notebook}, cell {error.cell_index}: {error.ename}: {error.evalue} "
            f"(executed so far: {executed})"
        ) from error
    except DeadKernelError as error:
        raise NotebookError(
            f"{notebook}: its kernel died, which often means that memory ran out "
            f"(executed so far: {executed})"
        ) from error
    return executed


@contextmanager
def _kernel_settings() -> Iterator[Config]:
    """Let notebook and kernel talk over sockets in a folder of their own: no port, nobody else's kernel.

    The kernel is killed once the last cell has run.
    """
    with tempfile.TemporaryDirectory(prefix="pctlib-") as folder:
        sockets = {"transport": "ipc", "ip": str(Path(folder) / "kernel")}
        # A kernel that is asked to end is interrupted first, and at times prints that as an error.
        yield Config({"KernelManager": sockets, "NotebookClient": {"shutdown_kernel": "immediate"}})
