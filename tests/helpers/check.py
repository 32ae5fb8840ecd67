"""Checking finished pages: nothing remote, every link and anchor resolves, every picture has a text."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"src", "srcset", "href", "poster", "data", "action", "formaction", "xlink:href", "background"}
REMOTE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", re.IGNORECASE)


@dataclass
class _Page(HTMLParser):
    """What a page links to, loads and shows."""

    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    in_style: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.in_style = tag == "style"
        if "id" in values:
            self.ids.append(values["id"])
        for name in LOADING & set(values):
            self._check_address(tag, name, values[name])
        self._check_css(values.get("style", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.problems.append(f"image without alternative text: {values.get('src', '')[:60]}")

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self._check_css(data)

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def _check_address(self, tag: str, name: str, value: str) -> None:
        if REMOTE.match(value):
            self.problems.append(f"remote address in <{tag} {name}>: {value[:80]}")
        elif tag != "a" and not value.startswith(("data:", "#")):
            self.problems.append(f"<{tag} {name}> loads another file: {value[:80]!r}")

    def _check_css(self, css: str) -> None:
        for match in CSS_URL.finditer(css):
            address = match.group(1) or match.group(2)
            if not address.startswith(("data:", "#")):
                self.problems.append(f"style loads {address[:80]!r}")


def check_site(folder: str | Path) -> list[str]:
    """Return what is wrong with the HTML pages of a folder, one sentence each; empty if all is well.

    Checked without a browser: no remote address in any attribute or style, no second file loaded, every link
    and anchor resolves, ids are unique, every picture has an alternative text.

    Raises:
        FileNotFoundError: if the folder holds no page.
    """
    files = sorted(Path(folder).glob("*.html"))
    if not files:
        raise FileNotFoundError(f"no HTML page in {folder}")
    pages = {file.name: _parse(file) for file in files}
    problems = []
    for name, page in pages.items():
        repeated = sorted({id_ for id_ in page.ids if page.ids.count(id_) > 1})
        found = [*page.problems, *(f"id {id_!r} occurs more than once" for id_ in repeated)]
        found += [problem for link in page.links if (problem := _broken(link, name, pages, Path(folder)))]
        problems += [f"{name}: {problem}" for problem in found]
    return problems


def _parse(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text(encoding="utf-8"))
    page.close()
    return page


def _broken(link: str, name: str, pages: dict[str, _Page], folder: Path) -> str:
    """Return why a link of page `name` leads nowhere; "" if it leads somewhere or was refused before."""
    if link.startswith("data:") or REMOTE.match(link):
        return ""
    parts = urlsplit(link)
    target, anchor = unquote(parts.path) or name, unquote(parts.fragment)
    if target not in pages:
        return "" if (folder / target).is_file() else f"link to a missing page: {link!r}"
    return f"link to a missing anchor: {link!r}" if anchor and anchor not in pages[target].ids else ""
