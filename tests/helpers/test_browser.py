import io

import pandas as pd
import pytest
from matplotlib.figure import Figure as Plot
from PIL import Image

from pctlib.reporting.index import Answer, Card, Figure, Highlight, IndexPage, Section, write_index
from pctlib.reporting.page import Site
from pctlib.reporting.tables import Table

pytest.importorskip("websocket", reason="the browser checks need websocket-client")
from helpers.browser import find_chromium, open_browser

LONG = "a_very_long_name_without_any_place_to_break_" * 3


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium or Chrome is installed")
    with open_browser(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Write an index with a table and a figure that are wider than a phone."""
    figure = Plot(figsize=(9, 2))
    figure.subplots().plot([0, 1])
    frame = pd.DataFrame([["a", *range(20)]], columns=["method", *(f"column {i}" for i in range(20))])
    blocks = (
        f"Text, `{LONG}` and [link](#limits).",
        Table(frame, "Wide."),
        Figure(figure, "**Figure 1.** A.", "alt"),
    )
    answer = Answer("**Yes.**", Figure(figure, "Dots.", "dots"), (Highlight("50 %", "of it"),))
    cards = tuple(Card(f"Page {i}", "index.html" if i else "", "Why?", LONG, "More.") for i in range(3))
    sections = (Section("Results", blocks), Section("Limits", ("x",)))
    page = IndexPage("Study", "lead", answer, cards, sections=sections)
    path = tmp_path_factory.mktemp("site") / "index.html"
    return write_index(path, page, site=Site("Study", (("Overview", "index.html"),)))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_index_is_sound_in_a_browser(browser, index, width, dark):
    visit = browser.visit(index, width=width, dark=dark, screenshot=True)
    assert visit.all_problems == []
    assert Image.open(io.BytesIO(visit.screenshot)).width == width


def test_themes_differ(browser, index):
    light, dark = (browser.visit(index, dark=dark, screenshot=True) for dark in (False, True))
    assert Image.open(io.BytesIO(light.screenshot)).getpixel((2, 2))[0] > 200
    assert Image.open(io.BytesIO(dark.screenshot)).getpixel((2, 2))[0] < 60


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>throw new Error('x')</script>", "console: Uncaught"),
        ("<script>console.error('sad')</script>", "console: sad"),
        ("<img src='http://127.0.0.1:9/a.png' alt=a>", "request: http://127.0.0.1:9/a.png"),
        ("<img src='data:image/png;base64,AAAA' alt=broken>", "picture cannot be decoded: broken"),
        ("<p style='width: 900px'>wide</p>", "page is"),
        ("<p style='color: #999'>faint</p>", "contrast 2.85 of p"),
    ],
)
def test_each_problem_is_seen(browser, tmp_path, body, problem):
    page = tmp_path / "bad.html"
    head = "<!DOCTYPE html><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>"
    page.write_text(f"{head}<body style='background: #fff; color: #000'>{body}")
    assert any(found.startswith(problem) for found in browser.visit(page, width=390).all_problems)


def test_missing_browser_is_none(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert find_chromium() is None


def test_a_page_that_is_not_there_is_no_page_without_faults(browser, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        browser.visit(tmp_path / "nowhere.html")
