import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from pctlib.paths import project_root
from pctlib.reporting.page import Site, render_page
from pctlib.reporting.search import notebook_places
from pctlib.workflow.pages import PAGES


def places(tmp_path, *cells):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return notebook_places(path)


def test_headings_and_captions_are_places_in_reading_order(tmp_path):
    text = "# Title\n\n## What `it` *costs*\n\nText with ## no heading.\n\n### Below"
    caption = "**Figure 2b.** One **bold** word.\n\nMore."
    found = places(tmp_path, new_markdown_cell(text), new_code_cell("## code"), new_markdown_cell(caption))
    assert found == (("what-it-costs", "What it costs"), ("figure-2b", "Figure 2b. One bold word."))


def test_a_long_caption_ends_at_a_word(tmp_path):
    ((anchor, text),) = places(tmp_path, new_markdown_cell("**Table 3.** " + "word " * 60))
    assert anchor == "table-3"
    assert text.endswith("word …")
    assert len(text) <= 112


def test_a_notebook_that_is_not_there_has_no_places(tmp_path):
    assert notebook_places(tmp_path / "none.ipynb") == ()


def test_places_are_the_anchors_of_the_page(tmp_path):
    body = (
        "<h1>A</h1><h2>What <code>it</code> <em>costs</em>: 3 things</h2>"
        "<figure><p>x</p><figcaption><p><strong>Figure 2b.</strong> One.</p></figcaption></figure>"
    )
    page = render_page(body, site=Site("S", (("A", "a.html"),)), page="a.html", kind="notebook")
    cells = ("## What `it` *costs*: 3 things", "**Figure 2b.** One.")
    for anchor, _ in places(tmp_path, *map(new_markdown_cell, cells)):
        assert f'id="{anchor}"' in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_of_the_study_has_places(page):
    found = notebook_places(project_root() / "notebooks" / f"{page.notebook}.ipynb")
    assert len(found) >= 3
