"""Folded code of a page: cells that show nothing share the fold of the next one."""

from bs4 import BeautifulSoup, Tag

CODE, SETUP = "Code", "Set-up and parameters"


def merge_folds(soup: BeautifulSoup) -> None:
    """Join each run of code cells without output, and the cell behind it, into one fold.

    Its parts keep their labels; what the last cell shows stays below the fold.

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
            following.decompose()
            following = after
        if following is not None and _starts_with_code(following):
            _append(soup, cell, following)
            following.details.replace_with(cell.details.extract())
            cell.decompose()


def _shows_nothing(cell: Tag) -> bool:
    return _starts_with_code(cell) and len(_parts(cell)) == 1


def _starts_with_code(cell: Tag) -> bool:
    """Whether the code of a cell is shown, folded; one without code has only its output."""
    first = next(iter(_parts(cell)), None)
    return first is not None and first.name == "details" and "code" in first.get("class", [])


def _parts(cell: Tag) -> list[Tag]:
    return [child for child in cell.children if isinstance(child, Tag)]


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


def _label(soup: BeautifulSoup, text: str) -> Tag:
    label = soup.new_tag("p", attrs={"class": "label"})
    label.string = text
    return label
