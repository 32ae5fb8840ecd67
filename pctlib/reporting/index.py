"""The index of a report: the answer first, then a card a page, results and pictures."""

import fcntl
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd

from pctlib.io import write_text
from pctlib.reporting.images import figure_element, file_element
from pctlib.reporting.markdown import first_sentence, render_markdown
from pctlib.reporting.page import Site, render_page, templates
from pctlib.reporting.provenance import Provenance
from pctlib.reporting.run_card import RunCard
from pctlib.reporting.tables import ONE_SEED, Table, csv_link

_LOOKS = 20  # seconds between two looks for a page that is still being made


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
        file: its name.
        question: what it asks.
        finding: markdown, one sentence; "" for a page that finds nothing out.
        numbers: markdown, the rest of what it found, folded away.
        to_come: whether the page is still being made.
    """

    title: str
    file: str
    question: str
    finding: str = ""
    numbers: str = ""
    to_come: bool = False

    @property
    def anchor(self) -> str:
        """Its place in the index."""
        return f"card-{Path(self.file).stem}"


def said(metrics: Mapping[str, Any]) -> str:
    """Return what a page found, in words, from its metrics; "" for one that finds nothing out."""
    return str(metrics.get("headline") or metrics.get("finding") or "")


def card_of(title: str, file: str, question: str, finding: str, *, to_come: bool = False) -> Card:
    """Return the card of a page, with all but the first sentence of what it found as numbers.

    Args:
        title: of the page, with or without its seed.
        file: its name.
        question: what it asks.
        finding: as `said`; what one seed cannot show is said once for all cards.
        to_come: whether the page is still being made.
    """
    first, numbers = first_sentence(finding.replace(ONE_SEED, ""))
    return Card(title.partition(", seed ")[0], file, question, first, numbers, to_come)


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
        templates().get_template("index.html.j2").render(index=index, markdown=render_markdown, block=_block)
    )
    page = render_page(body, site=site, page=Path(path).name, kind="index", provenance=provenance)
    return write_text(path, page)


def write_to_come(path: str | Path, *, site: Site) -> Path:
    """Write the page that stands for one that is still being made, so that every link leads somewhere.

    It looks for the finished page every few seconds.

    Args:
        path: the file; its name is that of a page of `site`.
        site: the pages to link to.
    """
    body = templates().get_template("to_come.html.j2").render(seconds=_LOOKS)
    page = render_page(body, site=site, page=Path(path).name, kind="to-come", refresh=_LOOKS)
    return write_text(path, page)


def join_page(index: Path, card: Card) -> bool:
    """Put the card of a page that is finished into an index that still waits for it.

    Args:
        index: file of the index; where there is none, nothing is done.
        card: of the page.

    Returns:
        Whether the index waited for it.
    """
    if not index.is_file():
        return False
    with index.with_name(".index.lock").open("w") as lock:  # pages may be finished at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = index.read_text(encoding="utf-8")
        made = templates().get_template("card.html.j2").render(card=card, markdown=render_markdown)
        waits = re.compile(rf'<li class="card to-come" id="{re.escape(card.anchor)}">.*?</li>', re.DOTALL)
        joined, count = waits.subn(lambda _: made.strip(), text)
        if count:
            write_text(index, joined)
    return count > 0


def _block(block: str | Table | Figure) -> str:
    """Return a block of a section as HTML."""
    if isinstance(block, str):
        return render_markdown(block)
    if isinstance(block, (Table, Figure)):
        return block.html()
    raise ValueError(f"expected markdown, a Table or a Figure, got {html.escape(type(block).__name__)}")
