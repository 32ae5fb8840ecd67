import base64
import io

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from pctlib.reporting.answers import answer_box, insert_answer
from pctlib.reporting.images import image_element

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="72pt"></svg>'


def png(width, height):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def page_with(content, mime, anchor="figure-2"):
    figure = f'<figure id="{anchor}">{image_element(content, mime, alt="Dots")}</figure>'
    return BeautifulSoup(f"<h1>Title</h1><p>Text.</p>{figure}", "html.parser")


def test_the_first_sentence_is_in_sight_and_the_rest_is_folded():
    box = BeautifulSoup(answer_box("Is a < b?", "It **is**. By 2.5 points."), "html.parser").section
    assert [child.get_text() for child in box.find_all("p", recursive=False)] == ["Is a < b?", "It is."]
    assert box.details.p.get_text() == "By 2.5 points."
    assert BeautifulSoup(answer_box("Why?", ""), "html.parser").get_text().strip() == "Why?"
    assert answer_box("", "It is.") == ""


def test_the_box_follows_the_title_and_shows_a_small_copy_that_leads_to_the_figure():
    soup = page_with(png(1500, 300), "image/png")
    insert_answer(soup, answer_box("Why?", "So."), "figure-2")
    box = soup.h1.find_next_sibling()
    assert box["class"] == ["answer", "pictured"]
    assert box.a["href"] == "#figure-2"
    assert box.a.img["alt"] == "Figure 2, small"
    mime, _, content = box.a.img["src"].partition(";base64,")
    assert mime == "data:image/webp"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (720, 144)


def test_line_art_is_copied_as_it_is():
    soup = page_with(SVG, "image/svg+xml")
    insert_answer(soup, answer_box("Why?", "So."), "figure-2")
    assert soup.section.img["src"] == soup.figure.img["src"]


@pytest.mark.parametrize("figure", ["", "figure-3"])
def test_without_its_figure_the_box_has_only_text(figure):
    soup = page_with(png(30, 20), "image/png")
    insert_answer(soup, answer_box("Why?", "So."), figure)
    assert soup.section["class"] == ["answer"]
    assert soup.section.img is None
    bare = BeautifulSoup("<p>Text.</p>", "html.parser")
    insert_answer(bare, answer_box("Why?", ""), figure)
    assert next(bare.children).name == "section"
    insert_answer(bare, "", figure)
    assert len(bare.select("section")) == 1
