"""What the search of a page knows of the others before they are made: headings and captions of notebooks."""

import re
from pathlib import Path

import nbformat

from pctlib.reporting.markdown import plain_text

_PLACE = re.compile(
    r"^(?:## (?P<heading>.+)|(?P<caption>\*\*(?P<kind>Figure|Table) (?P<number>\d+[a-z]?)\b.*))$"
)
_LENGTH = 110  # of a caption, in letters


def heading_slug(text: str) -> str:
    """Return the anchor of a heading: small letters, digits and -."""
    return re.sub(r"\W+", "-", text.lower()).strip("-") or "section"


def place_id(kind: str, number: str) -> str:
    """Return the anchor of a numbered figure or table."""
    return f"{kind}-{number}".lower()


def notebook_places(path: Path) -> tuple[tuple[str, str], ...]:
    """Return (anchor, text) of the second-level headings and the captions in the markdown of a notebook.

    Args:
        path: the notebook; where there is none, it has no places.
    """
    if not path.is_file():
        return ()
    cells = nbformat.read(path, as_version=4).cells
    lines = (line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return tuple(_place(match) for match in map(_PLACE.match, lines) if match)


def _place(match: re.Match[str]) -> tuple[str, str]:
    if match["heading"]:
        text = plain_text(match["heading"])
        return heading_slug(text), text
    return place_id(match["kind"], match["number"]), _shortened(plain_text(match["caption"]))


def _shortened(text: str) -> str:
    """Return a text up to the last word that fits."""
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH].rsplit(' ', 1)[0]} …"
