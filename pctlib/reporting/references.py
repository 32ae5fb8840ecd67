"""Anchors of figures and tables, and links from where the text names them."""

import re

from bs4 import BeautifulSoup, NavigableString, Tag

from pctlib.reporting.search import place_id

_NUMBERED = re.compile(r"^\s*(Figure|Table) (\d+[a-z]?)\b")
_NAMED = re.compile(r"\b(Figure|Table) (\d+[a-z]?)\b(?! of (?:the paper|Geng|PCT))")
_SKIPPED = ("a", "code", "pre", "h1", "h2", "h3", "h4", "button", "summary", "script", "dfn")


def link_figures(soup: BeautifulSoup) -> list[str]:
    """Give every numbered figure and table an id, and make links of the places that name it.

    Only what has a caption on this page is linked: "Table 1" of a paper is not.

    Args:
        soup: the content of a page; changed.

    Returns:
        The ids, in reading order.
    """
    ids = {}
    for caption in soup.select("figcaption, caption"):
        match = _NUMBERED.match(caption.get_text())
        if match is None:
            continue
        name = f"{match.group(1)} {match.group(2)}"
        place = caption.find_parent(class_="table-block") or caption.find_parent("figure")
        if place is None or name in ids or place.has_attr("id"):
            continue
        place["id"] = ids[name] = place_id(match.group(1), match.group(2))
        _add_anchor(soup, caption, name, ids[name])
    for text in soup.find_all(string=_NAMED):
        if not text.find_parent(_SKIPPED) and not _is_own_name(text):
            _link(soup, text, ids)
    return list(ids.values())


def _add_anchor(soup: BeautifulSoup, caption: Tag, name: str, target: str) -> None:
    attrs = {"class": "anchor", "href": f"#{target}", "aria-label": f"Link to {name}"}
    anchor = soup.new_tag("a", attrs=attrs)
    anchor.string = "#"
    (caption.find(["p", "span"]) or caption).append(anchor)


def _is_own_name(text: NavigableString) -> bool:
    """Whether a text is the bold name at the start of a caption."""
    return text.parent.name == "strong" and text.find_parent(["figcaption", "caption"]) is not None


def _link(soup: BeautifulSoup, text: NavigableString, ids: dict[str, str]) -> None:
    pieces, start = [], 0
    for match in _NAMED.finditer(str(text)):
        target = ids.get(f"{match.group(1)} {match.group(2)}")
        if target is None:
            continue
        link = soup.new_tag("a", attrs={"href": f"#{target}"})
        link.string = match.group()
        pieces += [NavigableString(str(text)[start : match.start()]), link]
        start = match.end()
    if pieces:
        text.replace_with(*pieces, NavigableString(str(text)[start:]))
