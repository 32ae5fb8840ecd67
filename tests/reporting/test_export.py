import base64
import io

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from helpers.check import check_site
from matplotlib.figure import Figure as Plot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from pctlib.reporting.export import export_notebook
from pctlib.reporting.index import Figure
from pctlib.reporting.page import Site

SITE = Site("Study", (("Overview", "index.html"), ("Data", "00_data.html")), note="seed 0")


def png(height=3, width=5, seed=None):
    pixels = np.zeros((height, width, 3), np.uint8)
    if seed is not None:
        pixels = np.random.default_rng(seed).integers(0, 255, pixels.shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(**metadata):
    return new_output("display_data", data={"image/png": png(), "text/plain": "<Figure>"}, metadata=metadata)


def code(source, *outputs, count=1, **metadata):
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


@pytest.fixture
def export(tmp_path):
    """Return a function that writes cells as a notebook, exports it and parses the page."""

    def run(*cells, site=SITE, page="00_data.html"):
        nbformat.write(new_notebook(cells=list(cells)), tmp_path / "00_data.ipynb")
        path = export_notebook(tmp_path / "00_data.ipynb", tmp_path / page, site=site, page=page)
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")

    return run


def test_page_is_one_file_without_remote_addresses(export, tmp_path):
    page = export(
        new_markdown_cell(
            "# Data\n\nAs in [PCT](https://arxiv.org/abs/2303.11638), <https://example.org/x>."
        ),
        code("figure", picture()),
        new_markdown_cell("**Figure 1.** A *black* box."),
        code(
            "html", new_output("display_data", data={"text/html": "<script src='https://x.org'></script>ok"})
        ),
    )
    (tmp_path / "index.html").write_text("<p>index</p>")
    assert check_site(tmp_path) == []
    attributes = [str(value) for tag in page.find_all(True) for value in tag.attrs.values()]
    assert not any("http:" in value or "https:" in value for value in attributes)
    assert "PCT (arxiv.org/abs/2303.11638)" in page.main.get_text()
    assert "example.org/x" in page.main.get_text()
    assert [script.get("src") for script in page.find_all("script")] == [None] * 3
    assert "default-src 'none'" in str(page.head)


def test_figure_takes_its_caption_and_alt_from_the_next_cell(export):
    page = export(
        code("figure", picture()), new_markdown_cell("**Figure 1.** A *black* box.\n\nIt is small.")
    )
    assert page.figure.img["alt"] == "Figure 1. A black box."
    assert page.figure.figcaption.get_text().strip() == "Figure 1. A black box.#"
    assert page.figure["id"] == page.select_one("figcaption .anchor")["href"].removeprefix("#") == "figure-1"
    assert page.main.get_text().count("A black box.") == 1  # moved, not copied
    assert page.find("p", string="It is small.").find_parent("figure") is None
    assert page.figure.img["src"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "cell",
    [
        code("figure", picture(), alt="from the cell"),
        code("figure", picture(**{"image/png": {"alt": "from the cell"}})),
    ],
    ids=["cell metadata", "output metadata"],
)
def test_alt_from_metadata(export, cell):
    assert export(cell).img["alt"] == "from the cell"


def test_picture_without_caption_is_refused_and_the_old_page_stays(export, tmp_path):
    (tmp_path / "00_data.html").write_text("old")
    with pytest.raises(ValueError, match=r"00_data\.ipynb: code cell 2 draws a picture without a caption"):
        export(code("1"), code("figure", picture()), new_markdown_cell("Figure without asterisks"))
    assert (tmp_path / "00_data.html").read_text() == "old"


def test_html_output_with_a_remote_or_unlabelled_picture_is_refused(export):
    remote = new_output("display_data", data={"text/html": '<img src="http://x.org/a.png" alt="a">'})
    with pytest.raises(ValueError, match=r"'http://x\.org/a\.png' is not embedded"):
        export(code("remote", remote))
    unlabelled = new_output("display_data", data={"text/html": f'<img src="data:image/png;base64,{png()}">'})
    with pytest.raises(ValueError, match=r"no alternative text \(in code cell 1 of 00_data\.ipynb\)"):
        export(code("unlabelled", unlabelled))


def test_failed_cell_is_named(export):
    failure = new_output("error", ename="ValueError", evalue="epochs must be above 0", traceback=[])
    with pytest.raises(ValueError, match=r"code cell 2 \('train\(\)'\) failed: ValueError: epochs must be"):
        export(code("1"), new_markdown_cell("text"), code("train()\nmore()", failure))


def test_unexecuted_cell_is_named(export):
    with pytest.raises(ValueError, match="code cell 2 was not executed"):
        export(code("1"), code("2", count=None))


def test_unreadable_notebooks_are_named(tmp_path):
    arguments = {"site": SITE, "page": "00_data.html"}
    with pytest.raises(FileNotFoundError, match=r"none\.ipynb"):
        export_notebook(tmp_path / "none.ipynb", tmp_path / "x.html", **arguments)
    for content in ('{"cells": [', '{"cells": 3}'):
        (tmp_path / "bad.ipynb").write_text(content)
        with pytest.raises(ValueError, match=r"bad\.ipynb: not a notebook"):
            export_notebook(tmp_path / "bad.ipynb", tmp_path / "x.html", **arguments)


def test_unknown_page_is_named(export):
    with pytest.raises(ValueError, match=r"no page 'other\.html'"):
        export(code("1"), page="other.html")


def test_code_is_folded_and_parameters_are_called_so(export):
    page = export(
        code("epochs = 20", tags=["parameters"]),
        code("epochs = 3", tags=["injected-parameters"]),
        code("train(epochs)"),
    )
    cells = page.select("details.code")
    assert [cell.summary.get_text() for cell in cells] == ["Set-up and parameters"], "neighbours are one fold"
    labels = [label.get_text() for label in cells[0].select(".label")]
    assert labels == ["Parameters (defaults)", "Parameters of this run"]
    assert [part.get_text().strip() for part in cells[0].select("pre")] == [
        "epochs = 20",
        "epochs = 3",
        "train(epochs)",
    ]
    assert not any(cell.has_attr("open") for cell in cells)
    assert page.find(id="toggle-code") is not None
    assert export(new_markdown_cell("text only")).find(id="toggle-code") is None


def test_progress_is_collapsed_to_its_last_state(export):
    stream = [
        new_output("stream", name="stderr", text=text) for text in ("\r 0/2", "\r 1/2", "\r 2/2 done\nend\n")
    ]
    widget = new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}
    )
    page = export(code("train()", *stream, widget, new_output("stream", name="stdout", text="result")))
    log = page.select_one("details.log")
    assert log.pre.get_text().strip() == "2/2 done\nend"
    assert not log.has_attr("open")
    assert page.select_one("pre.output").get_text().strip() == "result"
    assert "0%" not in page.main.get_text()


def test_headings_get_unique_anchors_and_contents(export):
    page = export(new_markdown_cell("# Title\n\n## Training\n\n### Loss\n\n## Training\n\n#### Detail"))
    assert [heading["id"] for heading in page.main.select("h2, h3")] == ["training", "loss", "training-2"]
    links = [link["href"] for link in page.select(".contents a")]
    assert links == ["#training", "#loss", "#training-2"]
    assert page.title.get_text() == "Title · Study"


def test_navigation_marks_this_page_and_links_notebooks_to_pages(export):
    page = export(
        new_markdown_cell("See [the index](index.ipynb), [data](00_data.ipynb) and [gone](07_x.ipynb).")
    )
    links = page.select("header.site nav a")
    assert [(link.get_text(), link["href"]) for link in links] == [
        ("Overview", "index.html"),
        ("Data", "00_data.html"),
    ]
    assert [link.get("aria-current") for link in links] == [None, "page"]
    assert [link["href"] for link in page.main.select("p a")] == ["index.html", "00_data.html"]
    assert "gone" in page.main.get_text()
    assert "seed 0" in page.footer.get_text()


def test_tables_scroll_in_their_own_box_and_formulas_stay_text(export):
    table = new_output(
        "execute_result", data={"text/html": "<table><tr><td>1</td></tr></table>"}, execution_count=1
    )
    page = export(code("table", table), new_markdown_cell("Loss $x^2$ and\n\n$$y_1$$"))
    assert "scroll" in page.table.parent["class"]
    assert [element.get_text() for element in page.select(".math")] == ["x^2", "y_1"]


def test_large_pictures_are_recompressed_and_keep_their_size(export):
    data = {"image/png": png(height=400, width=420, seed=0)}
    output = new_output("display_data", data=data, metadata={"image/png": {"width": 210}})
    image = export(code("figure", output, alt="noise")).img
    assert image["src"].startswith("data:image/webp;base64,")
    assert len(image["src"]) < len(data["image/png"])
    assert image["width"] == "210"


def test_svg_figures_are_embedded(export):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300pt" height="90pt"></svg>'
    image = export(code("figure", new_output("display_data", data={"image/svg+xml": svg}), alt="line")).img
    assert base64.b64decode(image["src"].partition(",")[2]).decode() == svg
    assert image["width"] == "400"  # 300 points of 1/72 inch at 96 pixels an inch


def test_a_figure_with_its_data_can_be_the_value_of_a_cell(export):
    plot = Plot(figsize=(3, 2))
    plot.subplots().plot([0, 1])
    figure = Figure(
        plot, "**Figure 1.** A line.", "a rising line", data=pd.DataFrame({"x": [0, 1]}), name="line"
    )
    page = export(code("figure", new_output("display_data", data={"text/html": figure._repr_html_()})))
    assert page.figure.img["alt"] == "a rising line"
    assert page.select_one("figure .download a")["download"] == "line.csv"


def test_the_numbers_of_a_figure_can_be_downloaded(export):
    page = export(
        code("figure", picture(**{"image/png": {"width": 5, "values": "x,y\n1,2\n"}})),
        new_markdown_cell("**Figure 3.** A line."),
    )
    link = page.select_one("figure a[download]")
    assert link["download"] == "figure_3.csv"
    assert link["href"].endswith("x%2Cy%0A1%2C2%0A")


def test_many_pages_become_a_menu_with_neighbours(export):
    pages = (("Overview", "index.html"), *((f"Page {n}", f"{n:02d}_data.html") for n in range(9)))
    page = export(new_markdown_cell("# Data"), site=Site("Study", pages), page="00_data.html")
    assert len(page.select("header details.menu li")) == 10
    assert page.select_one("nav.neighbours a[rel=prev]")["href"] == "index.html"
    assert page.select_one("nav.neighbours a[rel=next]")["href"] == "01_data.html"
    listed = page.select(".all-pages li")
    assert len(listed) == len(pages)
    assert [link.get_text() for link in page.select(".all-pages [aria-current]")] == [pages[1][0]]
    assert listed[1].select_one(".number").get_text() == "00"
    last = export(new_markdown_cell("# Data"), site=Site("Study", pages), page="08_data.html")
    assert last.select_one("nav.neighbours a[rel=next]") is None
    few = export(new_markdown_cell("# Data"))
    assert few.select("header details, nav.neighbours") == []
