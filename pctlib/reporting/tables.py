"""Tables for reports: accessible HTML, the published told apart from the measured, downloads as CSV."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from pctlib.io import existing_file
from pctlib.reporting.columns import best_of

FLOORS = ("mean pose", "mean body")  # rows of what ignores the image: the floor under the others
ONE_SEED = "One seed: no intervals, so no finding."

PUBLISHED = Path(__file__).resolve().parents[1] / "published"
ORIGINS = ("published", "measured")
LONG_TEXT = 40  # letters; longer texts may break into lines
MISSING = '<span class="missing" title="not reported">–</span>'


@dataclass(frozen=True)
class Interval:
    """A mean over runs with the half width of its confidence interval, None where there was one run."""

    mean: float
    half_width: float | None
    count: int

    def __str__(self) -> str:
        return self.text(3)

    def __float__(self) -> float:
        return self.mean

    @property
    def leaves_out_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0; False where there is no interval."""
        return self.half_width is not None and abs(self.mean) > self.half_width

    def text(self, digits: int) -> str:
        """Return "mean ± half width" with so many digits after the point."""
        spread = "" if self.half_width is None else f" ± {self.half_width:.{digits}f}"
        return f"{_fixed(self.mean, digits)}{spread}"


def signed(value: Interval | float, digits: int = 1) -> str:
    """Return a difference with its sign and, where it has one, its half width, such as "−0.5 ± 0.4"."""
    half = getattr(value, "half_width", None)
    number = f"{float(value):+.{digits}f}"
    number = number[1:] if float(number) == 0 else number.replace("-", "−")
    return number + ("" if half is None else f" ± {half:.{digits}f}")


def interval_ends(value: Interval | float) -> dict[str, float]:
    """Return "value", "low" and "high" of an interval; all the same where it has no half width."""
    mean = float(value)
    half = getattr(value, "half_width", None) or 0.0
    return {"value": mean, "low": mean - half, "high": mean + half}


def mean_interval(values: Any, *, level: float = 0.95) -> Interval:
    """Return the mean of independent runs with Student's t interval.

    Args:
        values: one number a run.
        level: confidence of the interval.

    Raises:
        ValueError: if there is no value or one is not finite.
    """
    values = np.asarray(list(values), dtype=float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values: expected at least one finite number, got {values.tolist()}")
    if len(values) == 1:
        return Interval(float(values[0]), None, 1)
    quantile = stdtrit(len(values) - 1, 0.5 + level / 2)  # of Student's t
    half_width = quantile * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(float(values.mean()), float(half_width), len(values))


@dataclass(frozen=True)
class Table:
    """A table of a report: shown by notebooks as the last value of a cell, and by the index.

    Column names may be pairs (group, name), as `beside` makes them; groups head their columns together, and
    the groups "published" and "measured" are marked by colour and word. Where a row is one of `FLOORS`, what
    is not better than it is marked, and is no best value.

    Attributes:
        frame: the values; the first column names the row.
        caption: markdown.
        name: file name of the download, without ending.
        best: column -> "max" or "min": its best value is bold; None: as `pctlib.reporting.columns` says.
        digits: column -> digits after the point; other columns get what their values need, at most three.
    """

    frame: pd.DataFrame
    caption: str
    name: str = "table"
    best: Mapping[Any, str] | None = None
    digits: Mapping[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column, wanted in self._best.items():
            if column not in self.frame.columns:
                known = list(self.frame.columns)
                raise ValueError(f"table {self.name}: best names column {column!r}; the columns are {known}")
            if wanted not in ("max", "min"):
                raise ValueError(
                    f"table {self.name}: best[{column!r}] is {wanted!r}, expected 'max' or 'min'"
                )

    @property
    def _best(self) -> Mapping[Any, str]:
        return best_of(self.frame.columns) if self.best is None else self.best

    @property
    def _floor(self) -> int | None:
        """The row of the floor, if the table has one."""
        names = [str(name).casefold() for name in self.frame.iloc[:, 0]]
        return next((names.index(floor) for floor in FLOORS if floor in names), None)

    def _below(self) -> dict[Any, set[int]]:
        """Return column -> rows that are not better than the floor, which is none of them."""
        floor = self._floor
        if floor is None or len(self.frame) < 2:
            return {}
        columns = {column: self.frame[column] for column in self._best}
        return {
            column: _not_better(values, floor, self._best[column])
            for column, values in columns.items()
            if _is_number(values.iloc[floor])
        }

    def html(self) -> str:
        """Return the table with its caption and a link that downloads its values."""
        from pctlib.reporting.markdown import render_markdown  # what only trains needs no nbconvert

        words = self.caption
        if (floor := self._floor) is not None and any(self._below().values()):
            words += f" Grey, with ↓: not better than the {str(self.frame.iloc[floor, 0]).lower()}."
        caption = render_markdown(words).strip().removeprefix("<p>").removesuffix("</p>")
        link = csv_link(self.frame, self.name)
        label = html.escape(f"Table {self.name}", quote=True)
        return (
            f'<div class="table-block"><div class="scroll" role="region" tabindex="0" aria-label="{label}">'
            f"<table><caption><span>{caption}</span></caption>{self._head()}{self._body()}</table></div>"
            f'<p class="download">{link}</p></div>'
        )

    _repr_html_ = html

    def _head(self) -> str:
        columns = list(self.frame.columns)
        kinds = [_is_numeric(self.frame[column]) for column in columns]
        names = [column[1] if isinstance(column, tuple) else column for column in columns]
        cells = [
            f'<th scope="col"{" class=number" if numeric else ""}>{html.escape(str(name))}</th>'
            for name, numeric in zip(names, kinds, strict=True)
        ]
        return f"<thead>{_group_row(columns)}<tr>{''.join(cells)}</tr></thead>"

    def _body(self) -> str:
        best = {column: _best_rows(self.frame[column], wanted) for column, wanted in self._best.items()}
        below, floor = self._below(), self._floor
        marks = {column: dict.fromkeys(rows - {floor}, "best") for column, rows in best.items()}
        for column, rows in below.items():
            marks[column] |= dict.fromkeys(rows, "below")
        columns = list(self.frame.columns)
        rows = []
        for index in range(len(self.frame)):
            cells = [
                self._cell(column, self.frame[column].iloc[index], marks.get(column, {}).get(index, ""))
                for column in columns
            ]
            first = cells[0].replace("<td", '<th scope="row"', 1).replace("</td>", "</th>")
            kind = ' class="below"' if below and all(index in found for found in below.values()) else ""
            rows.append(f"<tr{kind}>{first}{''.join(cells[1:])}</tr>")
        return f"<tbody>{''.join(rows)}</tbody>"

    def _cell(self, column: Any, value: Any, mark: str) -> str:
        """Return a cell; `mark` is "best", "below" the floor, or ""."""
        digits = self.digits.get(column, self._usual_digits(column))
        if _is_number(value):
            return f'<td class="{f"number {mark}".strip()}">{format_number(value, digits)}</td>'
        if pd.isna(value):
            return f'<td class="number">{MISSING}</td>'
        kind = "text" if len(str(value)) > LONG_TEXT else "word"
        return f'<td class="{kind}">{html.escape(str(value))}</td>'

    def _usual_digits(self, column: Any) -> int:
        """Return what the values of a column need; per cent have one digit at most."""
        name = str(column[-1] if isinstance(column, tuple) else column)
        needed = _needed_digits(self.frame[column])
        return min(needed, 1) if name.endswith("(%)") else needed


def beside(published: pd.DataFrame, measured: pd.DataFrame, *, on: str) -> pd.DataFrame:
    """Return published and measured values of the same things in one frame, never in one column.

    Args:
        published: values from papers; has the column `on`.
        measured: values of this study; has the column `on`.
        on: the column that names the rows; rows known to one side only are kept, published ones first.

    Returns:
        Columns ("", on), then ("published", ...), then ("measured", ...).

    Raises:
        ValueError: if a frame lacks the column `on` or names a row twice.
    """
    sides = []
    for origin, frame in zip(ORIGINS, (published, measured), strict=True):
        if on not in frame.columns or frame[on].duplicated().any():
            raise ValueError(f"{origin}: expected a column {on!r} of unique names, got {list(frame.columns)}")
        side = frame.set_index(on)
        side.columns = pd.MultiIndex.from_tuples([(origin, column) for column in side.columns])
        sides.append(side)
    order = list(dict.fromkeys([*published[on], *measured[on]]))
    joined = sides[0].join(sides[1], how="outer").loc[order]
    joined.insert(0, ("", on), order)
    return joined.reset_index(drop=True)


def published(name: str) -> pd.DataFrame:
    """Return a table of a paper, as transcribed in `pctlib/published`; a blank cell was not reported.

    Args:
        name: file name without ending, such as "coco_body_pct_table1".

    Raises:
        ValueError: if there is no such table; names those that exist.
    """
    known = sorted(path.stem for path in PUBLISHED.glob("*.csv"))
    if name not in known:
        raise ValueError(f"no published table {name!r}; there are {', '.join(known)}")
    return pd.read_csv(existing_file(PUBLISHED / f"{name}.csv"))


def csv_link(frame: pd.DataFrame, name: str) -> str:
    """Return a link, as HTML, that downloads a frame as CSV without a network."""
    return csv_text_link(to_csv(frame), name)


def csv_text_link(text: str, name: str) -> str:
    """Return a link, as HTML, that downloads CSV text without a network."""
    content = quote(text)
    file = html.escape(f"{name}.csv", quote=True)
    return (
        f'<a download="{file}" href="data:text/csv;charset=utf-8,{content}">Download the values ({file})</a>'
    )


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV; column pairs are joined, an interval becomes a mean and a half width."""
    flat = {}
    for column in frame.columns:
        name = " ".join(part for part in column if part) if isinstance(column, tuple) else str(column)
        values = list(frame[column])
        flat[name] = [value.mean if isinstance(value, Interval) else value for value in values]
        if any(isinstance(value, Interval) for value in values):
            flat[f"{name} half width"] = [getattr(value, "half_width", None) for value in values]
    return pd.DataFrame(flat).to_csv(index=False, lineterminator="\n")


def format_number(value: Any, digits: int) -> str:
    """Return a number as a table shows it: whole numbers whole, intervals with their half width."""
    if isinstance(value, Interval):
        return value.text(digits)
    if isinstance(value, (int, np.integer)):
        return (f"{value:,}" if abs(value) >= 10_000 else str(value)).replace("-", "−")
    return _fixed(value, digits)


def _fixed(value: float, digits: int) -> str:
    """Return a number with so many digits and a true minus; nothing is "−0.0"."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _group_row(columns: list) -> str:
    """Return the row of group names above pairs of column names; "" if there are no groups."""
    groups = [column[0] if isinstance(column, tuple) else "" for column in columns]
    if not any(groups):
        return ""
    cells, start = [], 0
    for end in range(1, len(groups) + 1):
        if end < len(groups) and groups[end] == groups[start]:
            continue
        cells.append(_group_cell(str(groups[start]), end - start))
        start = end
    return f"<tr>{''.join(cells)}</tr>"


def _group_cell(group: str, span: int) -> str:
    if not group:
        return f'<td class="empty" colspan="{span}"></td>'
    origin = group if group in ORIGINS else ""
    text = f'<span class="origin {origin}">{html.escape(group)}</span>'
    return f'<th scope="colgroup" class="group" colspan="{span}">{text}</th>'


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, Interval) or (isinstance(value, Number) and value == value)


def _is_numeric(column: pd.Series) -> bool:
    return any(_is_number(value) for value in column)


def _needed_digits(column: pd.Series) -> int:
    """Return the fewest digits that show every value exactly; at most 3, or 1 for values of 10 and more."""
    values = [float(value) for value in column if _is_number(value)]
    most = 1 if any(abs(value) >= 10 for value in values) else 3
    if any(isinstance(value, Interval) for value in column):
        return most
    exact = (n for n in range(most) if all(abs(round(value, n) - value) < 1e-9 for value in values))
    return next(exact, most)


def _not_better(column: pd.Series, floor: int, wanted: str) -> set[int]:
    """Return the rows with a value that is not better than that of the row `floor`, without it."""
    limit, sign = float(column.iloc[floor]), 1 if wanted == "max" else -1
    values = {index: float(value) for index, value in enumerate(column) if _is_number(value)}
    return {index for index, value in values.items() if sign * (value - limit) <= 0} - {floor}


def _best_rows(column: pd.Series, wanted: str) -> set[int]:
    """Return the rows that hold the best value; empty if fewer than two rows have one."""
    values = {index: float(value) for index, value in enumerate(column) if _is_number(value)}
    if len(values) < 2:
        return set()
    extreme = max(values.values()) if wanted == "max" else min(values.values())
    return {index for index, value in values.items() if value == extreme}
