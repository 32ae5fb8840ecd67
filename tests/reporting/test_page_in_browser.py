"""What a page does by itself, in headless Chromium: search, themes, sorting, words, pictures, folds."""

import re

import pandas as pd
import pytest
from matplotlib.figure import Figure as Plot

from pctlib.reporting.index import Answer, Card, Figure, IndexPage, Section, write_index
from pctlib.reporting.page import Site, render_page
from pctlib.reporting.tables import Table
from pctlib.reporting.viewer import viewer_script

pytest.importorskip("websocket", reason="the browser checks need websocket-client")
from helpers.browser import find_chromium, open_browser

PAGES = (("Overview", "index.html"), *((f"Page {i}", f"0{i}_page.html") for i in range(9)))
SITE = Site(
    "Study",
    PAGES,
    questions={"03_page.html": "How many tokens does a pose need?"},
    places={"04_page.html": (("a-gallery", "A gallery of poses"), ("figure-2", "Figure 2. People."))},
    banner="A smoke run.",
)


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium or Chrome is installed")
    with open_browser(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    figure = Plot(figsize=(3, 2))
    figure.subplots().plot([0, 1])
    frame = pd.DataFrame({"method": ["b", "a", "d", "c"], "AP": [9.5, 10.25, float("nan"), -3.0]})
    folded = Section("Costs", (Figure(figure, "**Figure 2.** Folded.", "folded"),), folded=True)
    text = "Read the end of this long line of words, which ends in the mean pose, as Figure 2 says."
    sections = (Section("Results", (text, Table(frame, "**Table 1.** Numbers."))), folded)
    answer = Answer("**Yes.**", Figure(figure, "**Figure 1.** Dots.", "dots"))
    page = IndexPage("Study", "lead", answer, (Card("Page 1", "01_page.html", "Why?"),), sections=sections)
    folder = tmp_path_factory.mktemp("site")
    for _, file in PAGES[1:]:
        (folder / file).write_text("<p>page</p>")
    return write_index(folder / "index.html", page, site=SITE)


def type_into_search(browser, text):
    return browser.evaluate(
        "(() => { const input = document.getElementById('search');"
        f"input.value = {text!r}; input.dispatchEvent(new Event('input'));"
        "return [...document.querySelectorAll('#found li')].map(li => li.textContent); })()"
    )


def press(browser, key, on="document"):
    browser.evaluate(f"{on}.dispatchEvent(new KeyboardEvent('keydown', {{key: {key!r}, bubbles: true}}))")


def test_search_finds_titles_questions_headings_and_places_of_this_page(browser, index):
    assert browser.visit(index).all_problems == []
    assert type_into_search(browser, "tokens pose") == ["Page 3How many tokens does a pose need?"]
    assert type_into_search(browser, "GALLERY") == ["A gallery of posesPage 4"]
    assert browser.evaluate("document.querySelector('#found a').getAttribute('href')") == (
        "04_page.html#a-gallery"
    )
    assert type_into_search(browser, "figure 2") == [
        "Figure 2. Folded.on this page",
        "Figure 2. People.Page 4",
    ]
    assert type_into_search(browser, "folded") == ["Figure 2. Folded.on this page"]
    assert type_into_search(browser, "nowhere") == ["Nothing found."]
    assert type_into_search(browser, "") == []


def test_search_is_reached_and_left_by_keys(browser, index):
    browser.visit(index)
    press(browser, "/")
    assert browser.evaluate("document.activeElement.id") == "search"
    type_into_search(browser, "page")
    press(browser, "ArrowDown", "document.activeElement")
    assert browser.evaluate("document.activeElement.textContent") == "Page 0"
    press(browser, "Escape")
    assert browser.evaluate("document.getElementById('found').hidden") is True


def test_the_theme_is_chosen_and_remembered(browser, index):
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.visit(index)
    browser.evaluate("localStorage.clear()")
    browser.visit(index)
    light = browser.evaluate(paper)
    for name in ("light", "dark"):
        browser.evaluate("document.getElementById('theme').click()")
        assert browser.evaluate("document.getElementById('theme').textContent") == f"Theme: {name}"
    assert browser.evaluate(paper) != light
    browser.visit(index)
    assert browser.evaluate("document.documentElement.dataset.theme") == "dark"
    browser.evaluate("localStorage.clear()")


def test_a_column_is_sorted_by_its_numbers_and_put_back(browser, index):
    browser.visit(index)
    rows = "[...document.querySelectorAll('.table-block tbody th')].map(cell => cell.textContent)"
    for order in (["a", "b", "c", "d"], ["c", "b", "a", "d"], ["b", "a", "d", "c"]):
        browser.evaluate("document.querySelectorAll('button.sort')[1].click()")
        assert browser.evaluate(rows) == order
    browser.evaluate("document.querySelectorAll('button.sort')[0].click()")
    assert browser.evaluate("document.querySelector('thead th').getAttribute('aria-sort')") == "ascending"
    assert browser.evaluate(rows) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("width", [1280, 390])
def test_an_explanation_stays_inside_the_window(browser, index, width):
    assert browser.visit(index, width=width).all_problems == []
    browser.evaluate("document.querySelector('dfn.term').focus()")
    left, right, shown = browser.evaluate(
        "(() => { const box = document.querySelector('dfn.term .meaning').getBoundingClientRect();"
        "return [box.left, box.right, box.height]; })()"
    )
    assert shown > 10
    assert left >= 0
    assert right <= width


def test_a_wide_table_says_at_its_edge_that_it_goes_on(browser, tmp_path):
    frame = pd.DataFrame({f"a column of a long name {i}": [i, 2.5] for i in range(14)})
    path = tmp_path / "index.html"
    body = f"<h1>Wide</h1>{Table(frame, 'Wide.').html()}"
    path.write_text(render_page(body, site=Site("Study", PAGES[:1]), page=path.name, kind="notebook"))
    assert browser.visit(path, width=390).all_problems == []
    cut = (
        "(async () => { const box = document.querySelector('.scroll'), seen = [];"
        "const wait = () => new Promise(done => setTimeout(done, 100));"
        "await wait(); seen.push(box.classList.contains('cut'));"
        "box.scrollLeft = box.scrollWidth; await wait(); seen.push(box.classList.contains('cut'));"
        "return seen; })()"
    )
    assert browser.evaluate(cut) == [True, False]


def test_a_picture_opens_large_and_closes(browser, index):
    browser.visit(index)
    browser.evaluate("document.querySelector('figure .picture img').click()")
    assert browser.evaluate("document.querySelector('dialog').open") is True
    assert browser.evaluate("document.querySelector('dialog img').alt") == "dots"
    browser.evaluate("document.querySelector('dialog').click()")
    assert browser.evaluate("document.querySelector('dialog').open") is False


def test_a_picture_opens_by_keyboard_and_has_a_button_to_close(browser, index):
    browser.visit(index, width=390)
    for key in ("Enter", " "):
        press(browser, key, "document.querySelector('figure .picture img')")
        assert browser.evaluate("document.querySelector('dialog').open") is True
        assert browser.evaluate("document.activeElement.textContent") == "Close"
        browser.evaluate("document.querySelector('dialog button').click()")
        assert browser.evaluate("document.querySelector('dialog').open") is False


def test_the_sign_beside_a_caption_copies_its_address(browser, index):
    browser.visit(index)
    told = (
        "(async () => { let copied = '';"
        "navigator.clipboard.writeText = async (text) => { copied = text; };"
        "document.querySelector('#table-1 a.anchor').click();"
        "await new Promise(done => setTimeout(done, 20));"
        "return [copied.split('/').pop(), document.querySelector('.copied').textContent]; })()"
    )
    assert browser.evaluate(told) == ["index.html#table-1", "Link copied."]


def test_the_theme_is_there_before_the_page_is_painted(index):
    head, _, body = index.read_text(encoding="utf-8").partition("<body")
    assert 'localStorage.getItem("pctlib-theme")' in head
    assert "<script" in body


def test_scripts_of_a_page_are_small(index):
    scripts = re.findall(r"<script>(.*?)</script>", index.read_text(encoding="utf-8"), flags=re.DOTALL)
    viewer = len(viewer_script().encode())
    assert sum(len(script.encode()) for script in scripts) + viewer <= 40_000


def test_a_link_into_a_fold_opens_it(browser, index):
    browser.visit(index)
    fold = "document.getElementById('figure-2').closest('details').open"
    assert browser.evaluate(fold) is False
    assert browser.evaluate(
        "new Promise(done => { addEventListener('hashchange', () => setTimeout(() => done("
        + fold
        + "), 50));"
        "document.querySelector('a[href=\"#figure-2\"]:not(.anchor)').click(); })"
    )


def test_the_menu_closes_by_escape(browser, index):
    browser.visit(index)
    browser.evaluate("document.querySelector('header .menu').open = true")
    press(browser, "Escape")
    assert browser.evaluate("document.querySelector('header .menu').open") is False
