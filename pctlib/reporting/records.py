"""The files that steps leave behind: histories, metrics, and the numbers that prose takes from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pctlib.io import existing_file


def read_history(path: str | Path) -> pd.DataFrame:
    """Return a training history: JSON lines, one object an epoch.

    Returns:
        One row an epoch; columns epoch, step, train_loss, learning_rate, val_..., seconds. Of an epoch that
        was repeated after an interruption, the last line counts.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is not an object with an epoch; names the file and line.
    """
    path = existing_file(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not valid JSON ({error.msg})") from error
        if not isinstance(row, dict) or "epoch" not in row:
            raise ValueError(f"{path}, line {number}: expected an object with 'epoch', got {line[:80]}")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: the history is empty; expected one line an epoch")
    frame = pd.DataFrame(rows).drop_duplicates("epoch", keep="last")
    return frame.sort_values("epoch", ignore_index=True)


def fill(text: str, numbers: Mapping[str, Any]) -> str:
    """Return prose with numbers in place of names: "{tokenizer[oks_ap]:.3f}".

    Args:
        text: prose; a name in braces, keys in square brackets, a format after a colon.
        numbers: name -> number, text, or a mapping of them.

    Raises:
        ValueError: if a name or key does not exist, or a format does not suit its value; quotes the text.
    """
    try:
        return text.format_map(numbers)
    except KeyError as error:
        raise ValueError(
            f"no number {error} for the text {text[:120]!r}; there are {_known(numbers)}"
        ) from error
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot fill the text {text[:120]!r}: {error}") from error


def _known(numbers: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name}: {', '.join(map(str, value))}" if isinstance(value, Mapping) else name
        for name, value in numbers.items()
    )
