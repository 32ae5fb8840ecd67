"""The frame around every page of a report: navigation, contents, style, and no remote link at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from bs4 import BeautifulSoup, Tag

from pctlib import __version__
from pctlib.reporting.answers import insert_answer
from pctlib.reporting.folds import merge_folds
from pctlib.reporting.glossary import explain_words
from pctlib.reporting.provenance import Provenance
from pctlib.reporting.references import link_figures
from pctlib.reporting.search import heading_slug
from pctlib.reporting.viewer import viewer_script
from pctlib.reporting.walks import walks_script

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("report.js", "search.js", "tables.js")
MOST_LINKS = 8  # more pages than fit a line become a menu
REMOTE = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)


@dataclass(frozen=True)
class Site:
    """The pages that link to each other.

    Attributes:
        title: of the whole report.
        pages: (title, file name) of every page, in reading order, the index first.
        note: one line at the foot of every page, such as the profile and the date.
        questions: file name -> what the page asks.
        places: file name -> (anchor, text) of its headings and captions, for the search.
        figures: file name -> anchor of the figure that shows its answer best.
        banner: a warning above every page; "" for none.
    """

    title: str
    pages: tuple[tuple[str, str], ...]
    note: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    banner: str = ""

    @property
    def search_index(self) -> list[dict[str, Any]]:
        """What the search looks through: title, file, question and places of every page."""
        return [
            {
                "title": title,
                "file": file,
                "question": self.questions.get(file, ""),
                "places": self.places.get(file, ()),
            }
            for title, file in self.pages
        ]

    def page_title(self, page: str) -> str:
        """Return the title of the page whose file name is `page`.

        Raises:
            ValueError: if the site has no such page.
        """
        for title, file in self.pages:
            if file == page:
                return title
        raise ValueError(f"site {self.title!r} has no page {page!r}; it has {[f for _, f in self.pages]}")

    def neighbours(self, page: str) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
        """Return (title, file) of the pages before and after one, None at the ends."""
        pages = [None, *self.pages, None]
        place = 1 + [file for _, file in self.pages].index(page)
        return pages[place - 1], pages[place + 1]


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the page templates; it escapes and refuses undefined names."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render_page(
    body: str,
    *,
    site: Site,
    page: str,
    kind: str,
    answer: str = "",
    provenance: Provenance | None = None,
    refresh: int | None = None,
) -> str:
    """Return a whole HTML page around `body`.

    Headings, figures and tables get anchors, headings a table of contents; tables scroll in their own box;
    neighbouring folds of code become one; words of the field are explained at their first use; links that
    leave the site become text with the address beside it; scripts that came with outputs are dropped.

    Args:
        body: HTML of the content; its first `<h1>` is the title of the page, else the site's title of it.
        site: the pages to link to.
        page: file name of this page.
        kind: "notebook", "index" or "to-come", a class of the body for the style sheet.
        answer: HTML under the title, from `pctlib.reporting.answers`.
        provenance: where the page comes from, for its foot.
        refresh: seconds after which a browser loads the page again; None for never.

    Raises:
        ValueError: if the site has no such page, or a picture is remote or has no alternative text.
    """
    title = site.page_title(page)
    soup = BeautifulSoup(body, "html.parser")
    for element in soup.select("script, link, iframe, object, embed, base, meta"):
        element.decompose()
    _check_images(soup, page)
    _localise_links(soup, site)
    contents = _anchor_headings(soup)
    merge_folds(soup)
    link_figures(soup)
    _wrap_tables(soup)
    heading = soup.find("h1")
    insert_answer(soup, answer, site.figures.get(page, ""))
    words = explain_words(soup)
    before, after = site.neighbours(page)
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            site=site,
            page=page,
            menu=len(site.pages) > MOST_LINKS,
            before=before,
            after=after,
            kind=kind,
            title=heading.get_text().rstrip("#").strip() if heading else title,
            has_heading=heading is not None,
            contents=contents,
            words=words,
            provenance=provenance,
            refresh=refresh,
            bibtex=provenance.bibtex(soup.get_text(" ")) if provenance else "",
            has_code=soup.select_one("details.code") is not None,
            body=str(soup),
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            script=_scripts(soup),
            version=__version__,
        )
    )


def _scripts(soup: BeautifulSoup) -> str:
    """Return the scripts that every page has, and those of what can be played with on this one."""
    played = {"[data-scene]": viewer_script, "[data-walks]": walks_script}
    parts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "".join([*parts, *(script() for place, script in played.items() if soup.select_one(place))])


def _check_images(soup: BeautifulSoup, page: str) -> None:
    for image in soup.find_all("img"):
        source, alt = str(image.get("src", "")), str(image.get("alt", "")).strip()
        if not source.startswith("data:"):
            raise ValueError(f"{page}: image {source[:80]!r} is not embedded; a page must be one file")
        # The second is what nbconvert fills in by itself.
        if not alt or alt == "No description has been provided for this image":
            raise ValueError(f"{page}: an image has no alternative text{_where(image)}")


def _where(element: Tag) -> str:
    cell = element.find_parent(class_="cell")
    return f" (in {cell['data-name']})" if cell and cell.has_attr("data-name") else ""


def _localise_links(soup: BeautifulSoup, site: Site) -> None:
    """Point links to notebooks at their pages; turn links that leave the site into text."""
    pages = {Path(file).stem: file for _, file in site.pages}
    for link in soup.find_all("a", href=True):
        target = str(link["href"])
        file = Path(urlsplit(target).path)
        if target.startswith(("#", "data:")) or (not REMOTE.match(target) and file.name in pages.values()):
            continue
        if not REMOTE.match(target) and file.suffix == ".ipynb" and file.stem in pages:
            link["href"] = pages[file.stem]
            continue
        _link_to_text(soup, link, target)


def _link_to_text(soup: BeautifulSoup, link: Tag, target: str) -> None:
    address = re.sub(r"^(?:mailto:|(?:[a-z]+:)?//)", "", target).rstrip("/")
    if REMOTE.match(target) and address not in link.get_text():
        note = soup.new_tag("span", attrs={"class": "address"})
        note.string = f" ({address})"
        link.append(note)
    link.unwrap()


def _anchor_headings(soup: BeautifulSoup) -> list[tuple[int, str, str]]:
    """Give every heading an id and a link to itself; return (level, id, text) of those in the contents."""
    contents, used = [], {"content"}
    for heading in soup.find_all(["h1", "h2", "h3", "h4"]):
        text = heading.get_text().strip()
        slug = base = heading_slug(text)
        for number in range(2, 10_000):
            if slug not in used:
                break
            slug = f"{base}-{number}"
        used.add(slug)
        heading["id"] = slug
        if heading.name == "h1":
            continue
        if heading.name in ("h2", "h3"):
            contents.append((int(heading.name[1]), slug, text))
        attrs = {"class": "anchor", "href": f"#{slug}", "aria-label": f"Link to section {text}"}
        anchor = soup.new_tag("a", attrs=attrs)
        anchor.string = "#"
        heading.append(anchor)
    return contents


def _wrap_tables(soup: BeautifulSoup) -> None:
    for table in soup.find_all("table"):
        if table.find_parent(class_="scroll") is None:
            caption = table.find("caption")
            label = caption.get_text(" ", strip=True) if caption else "Table"
            attrs = {"class": "scroll", "role": "region", "tabindex": "0", "aria-label": label}
            table.wrap(soup.new_tag("div", attrs=attrs))
