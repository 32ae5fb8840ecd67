"""Folded code of a page: neighbouring cells that show nothing become one fold."""

from bs4 import BeautifulSoup, Tag

CODE, SETUP = "Code", "Set-up and parameters"


def merge_folds(soup: BeautifulSoup) -> None:
    """Join each run of code cells without output into one fold; its parts keep their labels.

    Args:
        soup: the content of a page; changed.
    """
    for cell in soup.select(".code-cell"):
        if cell.parent is None or not _shows_nothing(cell):
            continue
        following = _next_cell(cell)
        while following is not None and _shows_nothing(following):
            after = _next_cell(following)
            _append(soup, cell, following)
            following = after


def _shows_nothing(cell: Tag) -> bool:
    parts = [child for child in cell.children if isinstance(child, Tag)]
    return len(parts) == 1 and parts[0].name == "details" and "code" in parts[0].get("class", [])


def _next_cell(cell: Tag) -> Tag | None:
    """Return the cell right behind one, if it is a code cell."""
    following = cell.find_next_sibling()
    return following if following is not None and "code-cell" in following.get("class", []) else None


def _append(soup: BeautifulSoup, cell: Tag, following: Tag) -> None:
    """Move the code of a cell to the end of the fold of another."""
    fold, other = cell.details, following.details
    own, label = fold.summary.get_text(strip=True), other.summary.extract().get_text(strip=True)
    if {own, label} != {CODE}:
        if own not in (CODE, SETUP):
            fold.summary.insert_after(_label(soup, own))
        fold.summary.string = SETUP
    if label != CODE:
        fold.append(_label(soup, label))
    for part in list(other.contents):
        fold.append(part.extract())
    following.decompose()


def _label(soup: BeautifulSoup, text: str) -> Tag:
    label = soup.new_tag("p", attrs={"class": "label"})
    label.string = text
    return label
