"""What every notebook of the study keeps to; the workflow tests run them."""

import itertools
import json
from pathlib import Path

import nbformat
import pytest

from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.notebooks import notebook_parameters
from pctlib.workflow.pages import PAGES

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
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
                "masking.",
                "occlusion.",
                "poses.",
                "pose_statistics.",
                "results.visibility",
                "results.gallery",
                "anatomy.",
                "token_usage.",
            )
        )
        if draws:
            assert following.source.startswith("**Figure"), cell.source
