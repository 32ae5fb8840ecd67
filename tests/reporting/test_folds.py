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


def test_a_cell_that_shows_something_takes_the_code_before_it_and_not_what_follows():
    output = '<div class="output">x</div>'
    soup = merged(("Code", "a", ""), ("Code", "b", output), ("Code", "c", ""))
    folds = [[code.get_text() for code in fold.select("pre")] for fold in soup.select("details")]
    assert folds == [["a", "b"], ["c"]]
    cells = soup.select(".code-cell")
    assert [child.name for child in cells[0].children] == ["details", "div"]
    assert cells[0].select_one(".output").get_text() == "x"
    assert len(cells) == 2


def test_parts_of_the_set_up_keep_their_labels():
    soup = merged(("Parameters (defaults)", "a", ""), ("Code", "b", ""), ("Parameters of this run", "c", ""))
    assert soup.summary.get_text() == "Set-up and parameters"
    assert [label.get_text() for label in soup.select(".label")] == [
        "Parameters (defaults)",
        "Parameters of this run",
    ]


def test_output_without_code_stays_by_itself():
    soup = BeautifulSoup(
        CELL.format("Code", "a", "") + '<div class="cell code-cell"><div class="output">x</div></div>',
        "html.parser",
    )
    before = str(soup)
    merge_folds(soup)
    assert str(soup) == before


def test_text_between_cells_parts_them():
    soup = BeautifulSoup(
        CELL.format("Code", "a", "") + "<p>text</p>" + CELL.format("Code", "b", ""), "html.parser"
    )
    merge_folds(soup)
    assert len(soup.select("details")) == 2
