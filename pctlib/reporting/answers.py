"""The box under the title of a page: what it asks, what it found, and a small copy of its main figure."""

import base64
import io
import re
from html import escape

from bs4 import BeautifulSoup, Tag
from PIL import Image

from pctlib.reporting.images import webp_uri
from pctlib.reporting.markdown import first_sentence, render_markdown

SMALL_PIXELS = 720  # twice the width at which the copy is shown
_URI = re.compile(r"data:(image/[\w+]+);base64,(.*)", re.DOTALL)


def answer_box(question: str, finding: str) -> str:
    """Return the box as HTML, with all but the first sentence of the finding folded; "" without a question.

    Args:
        question: what the page asks.
        finding: markdown; "" where the page has none.
    """
    if not question:
        return ""
    found, numbers = first_sentence(finding)
    parts = [f'<p class="question">{escape(question)}</p>', render_markdown(found)]
    if numbers:
        parts.append(f'<details class="fold"><summary>Numbers</summary>{render_markdown(numbers)}</details>')
    return f'<section class="answer" aria-label="Answer">{"".join(parts)}</section>'


def insert_answer(soup: BeautifulSoup, answer: str, figure: str) -> None:
    """Put the box behind the title of a page, with a small copy of its main figure that leads there.

    Args:
        soup: the content of the page; changed.
        answer: from `answer_box`; "" for none.
        figure: anchor of the main figure; where the page has no such figure, the box has only text.
    """
    if not answer:
        return
    box = BeautifulSoup(answer, "html.parser").section
    heading, shown = soup.find("h1"), soup.find(id=figure) if figure else None
    picture = shown.find("img") if shown else None
    if picture is not None:
        box["class"] = [*box["class"], "pictured"]
        box.append(_small_copy(soup, picture, figure))
    soup.insert(0, box) if heading is None else heading.insert_after(box)


def _small_copy(soup: BeautifulSoup, picture: Tag, figure: str) -> Tag:
    name = figure.capitalize().replace("-", " ")
    link = soup.new_tag("a", attrs={"class": "key", "href": f"#{figure}"})
    link.append(soup.new_tag("img", attrs={"src": _smaller(str(picture["src"])), "alt": f"{name}, small"}))
    note = soup.new_tag("span")
    note.string = name
    link.append(note)
    return link


def _smaller(uri: str) -> str:
    """Return a picture as small WebP; line art stays as it is."""
    mime, content = _URI.fullmatch(uri).groups()
    if mime == "image/svg+xml":
        return uri
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    image.thumbnail((SMALL_PIXELS, 2 * SMALL_PIXELS))
    return webp_uri(image)
