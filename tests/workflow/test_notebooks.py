"""What every notebook of the study keeps to; the workflow tests run them."""

import ast
import itertools
import json
import re
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.notebooks import notebook_parameters
from pctlib.workflow.pages import PAGES

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# Not of pages that show one anyway (anatomy), compare those of others, or run on weights of the reader.
SHOW_THE_METHOD = [p for p in NOTEBOOKS if p.stem[:2] not in ("00", "06", "07", "16", "17", "90")]
LAYOUT = StudyLayout.from_config({"profile": "smoke"})


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def test_there_is_a_notebook_for_every_step():
    assert [path.stem for path in NOTEBOOKS] == [page.notebook for page in PAGES]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_contract(path):
    cells = code_cells(path)
    assert [i for i, c in enumerate(cells) if "parameters" in c.metadata.get("tags", [])] == [0]
    assert not any(c.outputs or c.execution_count for c in cells), "commit without outputs"
    assert max(len(c.source.splitlines()) for c in cells[2:]) <= 15, "move logic into pctlib"
    assert not any(s.startswith(("def ", "class ")) for c in cells for s in c.source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_parameter_is_seen_by_papermill_and_explained(path):
    lines = code_cells(path)[0].source.splitlines()
    assert list(notebook_parameters(path)) == [line.split("=")[0].split(":")[0].strip() for line in lines]
    assert all("  # " in line for line in lines)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_imports_are_few_and_edited_modules_can_be_loaded_again(path):
    imports = code_cells(path)[1].source.splitlines()
    assert imports[0] == "%load_ext autoreload"
    assert len([line for line in imports if line.startswith(("from ", "import "))]) <= 10
    assert len(imports) <= 12
    later = [line for cell in code_cells(path)[2:] for line in cell.source.splitlines()]
    assert not any(line.startswith(("from ", "import ")) for line in later)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_workflow_passes_parameters_that_exist(page):
    path = next(p for p in NOTEBOOKS if p.stem == page.notebook)
    seed = 0 if page.seeds == "each" else None
    assert set(json.loads(LAYOUT.values(page, seed=seed))) <= set(notebook_parameters(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_tried_by_hand_never_lands_in_the_study(path):
    """Folders are empty by default, which means `reports/lab`; the workflow passes those of the study."""
    parameters = notebook_parameters(path)
    folders = {name: value for name, value in parameters.items() if name in ("out_dir", "study_dir")}
    assert folders
    assert set(folders.values()) == {'""'}
    assert not any("reports/" in value for value in parameters.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_figure_has_a_caption(path):
    cells = nbformat.read(path, as_version=4).cells
    for cell, following in itertools.pairwise(cells):
        draws = cell.cell_type == "code" and cell.source.strip().splitlines()[-1].startswith(
            (
                "curves.",
                "galleries.",
                "grid_figures.",
                "heatmaps.",
                "masking.",
                "occlusion.",
                "poses.",
                "probabilities.",
                "pose_statistics.",
                "results.visibility",
                "results.gallery",
                "anatomy.",
                "boxes.",
                "token_usage.",
                "windows.",
            )
        )
        if draws:
            assert following.source.startswith("**Figure"), cell.source


def given_names(source):
    """Return the names that a cell gives a value, those inside comprehensions left out."""
    tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))
    inner = {
        id(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
    }
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in inner)
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def test_names_of_a_cell_are_those_that_it_leaves_behind():
    cell = "%magic\na, b = 1, [c for c in range(3)]\nfor d in b:\n    e = d\na += 1\nprint(f)"
    assert given_names(cell) == {"a", "b", "d", "e"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_can_run_out_of_order(path):
    """A name that two cells give means what the cell that ran last says."""
    given = defaultdict(list)
    for number, cell in enumerate(code_cells(path)):
        for name in given_names(cell.source):
            given[name].append(number)
    assert not {name: cells for name, cells in given.items() if len(cells) > 1}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_figures_and_tables_are_counted_in_order(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    for kind in ("Figure", "Table"):
        numbers = [int(number) for number in re.findall(rf"\*\*{kind} (\d+)\.", text)]
        assert numbers == list(range(1, len(numbers) + 1)), kind


@pytest.mark.parametrize("path", SHOW_THE_METHOD, ids=lambda p: p.stem)
def test_a_page_shows_how_its_method_works_in_short_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    starts = [n for n, cell in enumerate(cells) if cell.source.startswith("## How it works")]
    assert len(starts) == 1
    rest = cells[starts[0] + 1 :]
    section = list(itertools.takewhile(lambda cell: not cell.source.startswith("## "), rest))
    code = [cell.source for cell in section if cell.cell_type == "code"]
    assert 2 <= len(code) <= 4
    assert max(len(source.splitlines()) for source in code) <= 6


@pytest.mark.parametrize("path", SHOW_THE_METHOD, ids=lambda p: p.stem)
def test_a_page_ends_with_three_things_to_try(path):
    title, *lines = nbformat.read(path, as_version=4).cells[-1].source.splitlines()
    assert title == "## Things to try"
    tried = [line for line in lines if line]
    assert len(tried) == 3
    assert all(line.startswith("* `") for line in tried)


@pytest.mark.parametrize("path", SHOW_THE_METHOD, ids=lambda p: p.stem)
def test_what_is_to_be_tried_is_a_parameter_or_stands_in_a_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    known = {name for cell in code_cells(path) for name in given_names(cell.source)}
    for code in re.findall(r"^\* `([^`]+)`", cells[-1].source, flags=re.MULTILINE):
        assert re.match(r"\w+", code)[0] in known, code
