"""What an evaluation protocol returns: the paper's table and the counts of what was left out."""

from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from pctlib import io

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """Scores of one protocol.

    Attributes:
        protocol: name of the protocol, as a heading.
        rows: one entry a line of the paper's table: its label and its columns. AP and AR are shares (0 to
            1) and -1 where no person counts, as pycocotools has it; PCK and PCKh are percent.
        counts: what was scored and what was left out by protocol, in words, with its number.
    """

    protocol: str
    rows: dict[str, dict[str, float]]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """Return all scores by name; with several rows a name is "row column"."""
        if len(self.rows) == 1:
            return dict(next(iter(self.rows.values())))
        return {f"{row} {name}": value for row, names in self.rows.items() for name, value in names.items()}

    def table(self) -> "pd.DataFrame":
        """Return the scores as a table with the rows and columns of the paper."""
        import pandas as pd  # the command line starts faster without it

        return pd.DataFrame.from_dict(self.rows, orient="index")

    def text(self) -> str:
        """Return the table and the counts for a terminal; -1 is shown as "-"."""
        decimals = 3 if max((abs(value) for value in self.metrics.values()), default=0) <= 1 else 2
        shown = self.table().to_string(float_format=lambda v: "-" if v == -1 else f"{v:.{decimals}f}")
        return "\n".join(
            [self.protocol, shown, *(f"{count:>8} {what}" for what, count in self.counts.items())]
        )

    def write(self, path: str | Path) -> Path:
        """Write scores and counts as JSON (NaN as null), or the table as CSV, by the ending of `path`.

        Raises:
            ValueError: if `path` ends neither in .json nor in .csv.
            OSError: if it cannot be written.
        """
        if table_ending(path) == ".json":
            rows = {
                row: {name: None if isnan(value) else value for name, value in columns.items()}
                for row, columns in self.rows.items()
            }
            return io.write_json(path, {"protocol": self.protocol, "rows": rows, "counts": self.counts})
        return io.write_text(path, self.table().to_csv(index_label=self.protocol))


def table_ending(path: str | Path) -> str:
    """Return the ending of a path in lower case, by which `Evaluation.write` chooses the format.

    Raises:
        ValueError: if it is neither .json nor .csv.
    """
    ending = Path(path).suffix.lower()
    if ending not in (".json", ".csv"):
        raise ValueError(f"{path}: expected a name ending in .json or .csv, got {ending or 'no ending'}")
    return ending
