"""The index of a report: the answer first, then a card a page, results and pictures."""

import html
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.figure
import pandas as pd

from pctlib.io import write_text
from pctlib.reporting.images import figure_element, file_element
from pctlib.reporting.markdown import render_markdown
from pctlib.reporting.page import Site, render_page, templates
from pctlib.reporting.provenance import Provenance
from pctlib.reporting.run_card import RunCard
from pctlib.reporting.tables import Table, csv_link


@dataclass(frozen=True)
class Figure:
    """A picture of a report.

    Attributes:
        image: a PNG, JPEG, WebP or SVG file, or a matplotlib figure.
        caption: markdown.
        alt: what a reader who cannot see the picture should know.
        data: the values drawn, offered as CSV; None for photographs.
        name: file name of the download, without ending.
    """

    image: Path | matplotlib.figure.Figure
    caption: str
    alt: str
    data: pd.DataFrame | None = None
    name: str = "figure"

    def html(self) -> str:
        """Return the figure with its caption and download."""
        if not self.alt.strip():
            raise ValueError(f"figure {self.name} ({self.caption[:60]!r}): alt is empty")
        drawn = isinstance(self.image, matplotlib.figure.Figure)
        picture = (
            figure_element(self.image, alt=self.alt) if drawn else file_element(self.image, alt=self.alt)
        )
        link = f'<p class="download">{csv_link(self.data, self.name)}</p>' if self.data is not None else ""
        return f"<figure>{picture}<figcaption>{render_markdown(self.caption)}{link}</figcaption></figure>"

    _repr_html_ = html


@dataclass(frozen=True)
class Section:
    """A part of the index under its own heading: markdown texts, tables and figures in reading order.

    Attributes:
        title: its heading.
        blocks: what it holds.
        folded: whether it is to be opened by the reader first.
    """

    title: str
    blocks: tuple[str | Table | Figure, ...]
    folded: bool = False


@dataclass(frozen=True)
class Highlight:
    """A number that a reader should take away."""

    value: str
    label: str


@dataclass(frozen=True)
class Answer:
    """What the study found, for the first screen.

    Attributes:
        verdict: markdown, a sentence or two with their numbers.
        figure: the key numbers.
        highlights: a few numbers, set large.
        picture: what they look like.
    """

    verdict: str
    figure: Figure
    highlights: tuple[Highlight, ...] = ()
    picture: Figure | None = None


@dataclass(frozen=True)
class Card:
    """A page in short.

    Attributes:
        title: of the page.
        file: its name; "" while the page is still to come.
        question: what it asks.
        finding: markdown, one sentence; "" for a page that finds nothing out.
        numbers: markdown, the rest of what it found, folded away.
    """

    title: str
    file: str
    question: str
    finding: str = ""
    numbers: str = ""


@dataclass(frozen=True)
class IndexPage:
    """What the index says.

    Attributes:
        title: of the study.
        lead: one sentence under the title: the question.
        answer: to it.
        cards: one a page.
        cards_note: markdown, what holds for all cards.
        sections: the rest, in reading order.
        run_card: where the numbers come from.
    """

    title: str
    lead: str
    answer: Answer
    cards: tuple[Card, ...] = ()
    cards_note: str = ""
    sections: tuple[Section, ...] = ()
    run_card: RunCard | None = field(default=None)


def write_index(
    path: str | Path, index: IndexPage, *, site: Site, provenance: Provenance | None = None
) -> Path:
    """Write the index as one HTML file, atomically.

    Args:
        path: the file; its name is that of a page of `site`.
        index: what to say.
        site: the pages to link to.
        provenance: where the numbers come from.

    Returns:
        `path`.

    Raises:
        ValueError: if a figure has no alternative text, or the site has no page of that name.
        FileNotFoundError: if a picture is missing.
    """
    body = (
        templates()
        .get_template("index.html.j2")
        .render(index=index, site=site, page=Path(path).name, markdown=render_markdown, block=_block)
    )
    page = render_page(body, site=site, page=Path(path).name, kind="index", provenance=provenance)
    return write_text(path, page)


def _block(block: str | Table | Figure) -> str:
    """Return a block of a section as HTML."""
    if isinstance(block, str):
        return render_markdown(block)
    if isinstance(block, (Table, Figure)):
        return block.html()
    raise ValueError(f"expected markdown, a Table or a Figure, got {html.escape(type(block).__name__)}")
