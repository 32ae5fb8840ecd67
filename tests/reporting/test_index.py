import base64

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from helpers.check import check_site
from matplotlib.figure import Figure as Plot
from PIL import Image

from pctlib.reporting.index import (
    Answer,
    Card,
    Figure,
    Highlight,
    IndexPage,
    Section,
    card_of,
    join_page,
    write_index,
    write_to_come,
)
from pctlib.reporting.page import Site
from pctlib.reporting.run_card import RunCard
from pctlib.reporting.tables import ONE_SEED, Table

SITE = Site("Study", (("Overview", "index.html"), ("Data", "00_data.html")))
TABLE = Table(pd.DataFrame({"method": ["PCT"], "AP": [0.5]}), "**Table 1.** Results.", name="main")


def plot(image=None):
    figure = Plot(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [1, 0])
    if image is not None:
        axes.imshow(image)
    return figure


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an index and parses it."""

    def run(**fields):
        answer = Answer("**Result.** Good.", Figure(plot(), "Dots.", "dots"), (Highlight("0.97", "OKS-AP"),))
        page = IndexPage(**{"title": "Question?", "lead": "In a line.", "answer": answer, **fields})
        path = write_index(tmp_path / "index.html", page, site=SITE)
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")

    return run


def test_index_says_what_it_is_given(write, tmp_path):
    data = pd.DataFrame({"epoch": [1], "loss": [0.5]})
    figure = Figure(plot(), "**Figure 1.** Curve.", "a falling line", data=data, name="curve")
    page = write(
        sections=(Section("Results", ("Some *text*.", TABLE, figure)),),
        run_card=RunCard("smoke", 3, "none"),
    )
    assert page.h1.get_text() == "Question?"
    assert page.select_one(".verdict strong").get_text() == "Result."
    assert page.select_one(".first img")["alt"] == "dots"
    assert page.select_one(".numbers dd").get_text() == "0.97"
    assert [heading.get_text() for heading in page.select("main h2")] == [
        "Results#",
        "Run card#",
    ]
    assert [image["alt"] for image in page.select("figure img")] == ["dots", "a falling line"]
    assert page.select_one("figure .download a")["download"] == "curve.csv"
    assert page.select_one(".table-block caption").get_text() == "Table 1. Results.#"
    (tmp_path / "00_data.html").write_text("<p>data</p>")
    assert check_site(tmp_path) == []


def test_line_art_is_svg_and_the_same_twice_pictures_are_not(write):
    figure = Figure(plot(), "caption", "alt")
    assert figure.html() == Figure(plot(), "caption", "alt").html()
    page = write(
        sections=(Section("A", (figure, Figure(plot(np.zeros((4, 5, 3), np.uint8)), "caption", "alt"))),)
    )
    _, svg, picture = page.find_all("img")
    assert svg["src"].startswith("data:image/svg+xml;base64,")
    assert picture["src"].startswith("data:image/png;base64,")
    assert svg["width"] == "288"  # 3 inches of 96 pixels


def test_picture_files_are_embedded(write, tmp_path):
    Image.new("RGB", (7, 5)).save(tmp_path / "p.jpg")
    sections = (Section("A", (Figure(tmp_path / "p.jpg", "caption", "alt"),)),)
    image = write(sections=sections).find_all("img")[1]
    assert base64.b64decode(image["src"].partition(",")[2]) == (tmp_path / "p.jpg").read_bytes()
    assert image["width"] == "7"


def test_wide_pictures_are_marked_for_phones(write, tmp_path):
    Image.new("RGB", (900, 5)).save(tmp_path / "wide.png")
    page = write(sections=(Section("A", (Figure(tmp_path / "wide.png", "c", "a"),)),))
    assert "wide" in page.find_all("img")[1]["class"]


def test_bad_blocks_are_named(write, tmp_path):
    with pytest.raises(ValueError, match="figure gallery.*alt is empty"):
        write(sections=(Section("A", (Figure(plot(), "caption", " ", name="gallery"),)),))
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        write(sections=(Section("A", (Figure(tmp_path / "none.png", "caption", "alt"),)),))
    (tmp_path / "p.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"p\.gif: expected a picture"):
        write(sections=(Section("A", (Figure(tmp_path / "p.gif", "caption", "alt"),)),))
    with pytest.raises(ValueError, match="expected markdown, a Table or a Figure, got int"):
        write(sections=(Section("A", (3,)),))


def test_titles_are_escaped(write):
    assert write(title="a < b & c").h1.get_text() == "a < b & c"


def test_a_card_has_the_finding_and_folds_its_numbers(write):
    cards = (
        Card("Data", "00_data.html", "Who?", "**Many** people.", "9 of them."),
        Card("Grid", "04_grid.html", "How many?", to_come=True),
    )
    page = write(cards=cards, cards_note="One seed.")
    found, to_come = page.select(".card")
    assert found.select_one(".name a")["href"] == "00_data.html"
    assert found.select_one(".question").get_text() == "Who?"
    assert found.strong.get_text() == "Many"
    assert found.details.p.get_text() == "9 of them."
    assert "open" not in found.details.attrs
    assert to_come.select_one(".name").get_text() == "Grid"
    assert found.select_one(".status") is None
    assert "load this page again" in page.select_one("main section > .status").get_text()
    assert to_come.select_one(".status").get_text() == "This page is still being made."


def test_a_page_joins_the_index_that_waits_for_it(write, tmp_path):
    index = tmp_path / "index.html"
    card = card_of("Grid, seed 3", "04_grid.html", "How many?", f"**Many** at main. These 9. {ONE_SEED}")
    assert not join_page(index, card), "there is no index yet"
    others = (Card("Data", "00_data.html", "Who?", to_come=True), Card("Mesh", "15_mesh.html", "What?"))
    before = write(cards=(*others, Card("Grid", "04_grid.html", "How many?", to_come=True)))
    assert join_page(index, card)
    after = BeautifulSoup(index.read_text(encoding="utf-8"), "html.parser")
    assert after.select(".card")[:2] == before.select(".card")[:2]
    joined = after.select_one("#card-04_grid")
    assert joined["class"] == ["card"]
    assert joined.select_one(".name").get_text() == "Grid"
    assert [text.get_text() for text in joined.select("p")[2:]] == ["Many at main.", "These 9."]
    assert not join_page(index, card), "it waits no more"


def test_a_page_to_come_looks_for_the_finished_one(tmp_path):
    path = write_to_come(tmp_path / "00_data.html", site=SITE)
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert page.h1.get_text() == "Data"
    assert page.select_one(".lead").get_text() == "This page is still being made."
    assert page.find("meta", attrs={"http-equiv": "refresh"})["content"] == "20"
    assert page.select_one("header nav a")["href"] == "index.html"


def test_a_folded_section_is_closed(write):
    page = write(sections=(Section("A", ("one",)), Section("B", ("two",), folded=True)))
    assert [fold.get_text(" ", strip=True) for fold in page.select("main section .fold")] == ["Show two"]
