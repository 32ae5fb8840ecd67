from bs4 import BeautifulSoup

from pctlib.reporting.folds import merge_folds

CELL = (
    '<div class="cell code-cell"><details class="code"><summary>{}</summary><pre>{}</pre></details>{}</div>'
)


def merged(*cells):
    soup = BeautifulSoup("".join(CELL.format(*cell) for cell in cells), "html.parser")
    merge_folds(soup)
    return soup


def test_cells_that_show_nothing_become_one_fold():
    soup = merged(("Code", "a", ""), ("Code", "b", ""), ("Code", "c", ""))
    assert [fold.summary.get_text() for fold in soup.select("details")] == ["Code"]
    assert [code.get_text() for code in soup.select("details pre")] == ["a", "b", "c"]


def test_what_shows_something_keeps_its_own_fold():
    output = '<div class="output">x</div>'
    soup = merged(("Code", "a", ""), ("Code", "b", output), ("Code", "c", ""))
    assert [[code.get_text() for code in fold.select("pre")] for fold in soup.select("details")] == [
        ["a"],
        ["b"],
        ["c"],
    ]


def test_text_between_cells_parts_them():
    soup = BeautifulSoup(
        CELL.format("Code", "a", "") + "<p>text</p>" + CELL.format("Code", "b", ""), "html.parser"
    )
    merge_folds(soup)
    assert len(soup.select("details")) == 2
