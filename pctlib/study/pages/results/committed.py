"""What a long study found, as small files that are committed: its numbers, and tables made from them alone.

python -m pctlib.study.pages.results.committed reports/extended docs/results/extended  # after a study
python -m pctlib.study.pages.results.committed docs/results/extended                   # tables, once more
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pctlib.io import read_json, write_text
from pctlib.reporting.tables import Interval, Table, interval_ends, mean_interval, signed, to_csv
from pctlib.study.pages.results.answer import CONTROL, KINDS, PCT
from pctlib.study.pages.results.read import mean_row

NUMBERS = "results.json"
LONGER = "extended"  # the profile whose files are committed
FOLDER = Path("docs") / "results"
_SMALL = ("metrics.json", "run_card.json")
_FROM = ("metrics.json", "first_index.json")  # of the results: of the whole study, else of its first index


def commit(study_dir: Path, out: Path) -> Path:
    """Copy the small files of a study that has run: numbers and run cards, no weights, no images.

    Args:
        study_dir: folder of the study, such as reports/extended.
        out: gets them, each in the folder of its run, and `results.json`.

    Returns:
        `out`, with its tables.

    Raises:
        FileNotFoundError: if the study has no results yet.
    """
    results = [study_dir / "results" / name for name in _FROM]
    found = next((path for path in results if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{results[0]}: the study has no results yet; run it first")
    for path in sorted(study_dir.rglob("*.json")):
        place = out / path.relative_to(study_dir)
        if path.name in _SMALL and path.parent.name != "results":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, out / NUMBERS)
    return write_tables(out)


def write_tables(folder: Path) -> Path:
    """Write the main table (`main.csv`, `README.md`) from the numbers in a folder, and return the folder."""
    numbers = read_json(folder / NUMBERS)
    table = main_table(numbers)
    write_text(folder / "main.csv", to_csv(table.frame))
    write_text(folder / "README.md", as_markdown(numbers, table))
    return folder


def longer(root: Path) -> dict[str, Any] | None:
    """Return the committed numbers of the longer study; None where there are none."""
    path = root / FOLDER / LONGER / NUMBERS
    return read_json(path) if path.is_file() else None


def main_table(numbers: dict[str, Any]) -> Table:
    """Return the main table: means over the seeds with 95 % intervals, per cent where the heading says so."""
    rows = [mean_row(method, _known(runs)) for method, runs in numbers["methods"].items()]
    seeds = len(numbers["methods"][PCT])
    return Table(pd.DataFrame(rows), f"Means over {seeds} seeds with 95 % intervals.", name="main")


def sentence(numbers: dict[str, Any], kind: str, measure: str = "PCK@0.1") -> str:
    """Return what PCT and its control find of one kind of joints, and how far apart they are, paired by seed.

    Args:
        numbers: of `results.json`.
        kind: "seen" or "hidden".
        measure: whose share is meant.
    """
    found = {name: _shares(numbers, name, f"{measure} {kind}") for name in (PCT, CONTROL)}
    difference = mean_interval(found[PCT] - found[CONTROL])
    means = f"PCT {found[PCT].mean():.1f} %, control {found[CONTROL].mean():.1f} %"
    return f"{means}: {_in_points(difference)}"


def as_markdown(numbers: dict[str, Any], table: Table) -> str:
    """Return the main table and the paired differences as a page of markdown."""
    said = [
        f"- {kind} joints found ({measure}): {sentence(numbers, kind, measure)}."
        for measure in ("PCK@0.1", "PCK@0.2")
        for kind in KINDS
    ]
    frame = table.frame.map(lambda value: value.text(1) if isinstance(value, Interval) else value)
    rounded = frame.map(lambda value: f"{value:.1f}" if isinstance(value, float) else value)
    header = [list(map(str, rounded.columns)), ["---"] * len(rounded.columns)]
    rows = [f"| {' | '.join(map(str, row))} |" for row in [*header, *rounded.to_numpy().tolist()]]
    about = (
        f"{numbers['people']:,} people in {numbers['images']:,} images of {numbers['source']} train each "
        f"method, {numbers['val_people']:,} others measure it, in crops of {numbers['height']} x "
        f"{numbers['width']} pixels. {numbers['tokens']} tokens of {numbers['entries']} entries; backbone "
        f"{numbers['backbone']}, from the weights of the package. {table.caption}"
    )
    again = (
        "Made from `results.json` by `python -m pctlib.study.pages.results.committed <this folder>`; the "
        "other files are those of the runs that it sums up."
    )
    return "\n\n".join(["# What the study measured", about, "\n".join(rows), "\n".join(said), again]) + "\n"


def _shares(numbers: dict[str, Any], method: str, metric: str) -> np.ndarray:
    return 100 * np.array([run[metric] for run in numbers["methods"][method]])


def _in_points(difference: Interval) -> str:
    ends = interval_ends(difference)
    return f"{signed(difference.mean)} points [{signed(ends['low'])}, {signed(ends['high'])}]"


def _known(runs: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Return metrics with nan for what was not finite, which JSON has as null."""
    return [{key: np.nan if value is None else value for key, value in run.items()} for run in runs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the files of a study, or only make the tables again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a study's folder, or that of its committed files")
    parser.add_argument("out", type=Path, nargs="?", help="where its small files go")
    given = parser.parse_args(arguments)
    print(write_tables(given.folder) if given.out is None else commit(given.folder, given.out))


if __name__ == "__main__":
    main()
