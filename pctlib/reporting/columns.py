"""One title, unit, scale and direction for each metric, in every table of the study."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple


class Column(NamedTuple):
    """How tables show a metric.

    Attributes:
        title: without unit.
        unit: in brackets behind it; "" for none.
        scale: of the values.
        best: which value is bold; "" for none.
    """

    title: str
    unit: str = ""
    scale: float = 1.0
    best: Literal["max", "min", ""] = ""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def named(self, title: str) -> "Column":
        """Return it under another title."""
        return self._replace(title=title)


def _share(title: str, best: Literal["max", "min", ""]) -> Column:
    return Column(title, "%", 100.0, best)


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "PCK@0.1 all": _share("PCK@0.1", "max"),
        "PCK@0.1 seen": _share("PCK@0.1, seen joints", "max"),
        "PCK@0.1 hidden": _share("PCK@0.1, hidden joints", "max"),
        "PCK@0.2 all": _share("PCK@0.2", "max"),
        "PCK@0.2 seen": _share("PCK@0.2, seen joints", "max"),
        "PCK@0.2 hidden": _share("PCK@0.2, hidden joints", "max"),
        "NME all": _share("error / box side", "min"),
        "NME seen": _share("error / box side, seen", "min"),
        "NME hidden": _share("error / box side, hidden", "min"),
        "AP": _share("OKS-AP", "max"),
        "AR": _share("OKS-AR", "max"),
        "error px": Column("error", "px", 1.0, "min"),
        "codebook usage": _share("entries in use", ""),
        "codebook perplexity": Column("perplexity"),
        "bits": Column("bits per pose"),
        "weights": Column("weights", "thousands", 1e-3),
        "training seconds": Column("training", "s"),
    }
)


def column(metric: str) -> Column:
    """Return how a metric is shown.

    Raises:
        ValueError: if it is in no table.
    """
    if metric not in COLUMNS:
        raise ValueError(f"metric: expected one of {', '.join(COLUMNS)}, got {metric!r}")
    return COLUMNS[metric]


def best_of(headings: Collection[Any]) -> dict[Any, str]:
    """Return which of the headings of a table have a best value, and whether the largest or the smallest."""
    return {c.heading: c.best for c in COLUMNS.values() if c.best and c.heading in headings}


def shown(metrics: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """Return some metrics as tables have them: heading -> scaled value, of those that were measured."""
    return {column(name).heading: column(name).scale * metrics[name] for name in names if name in metrics}
