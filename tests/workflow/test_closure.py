"""What runs again is computed: the import closure of what a job runs is its input, no more and no less."""

import subprocess
import sys

import pytest

from pctlib.profiles.profile import load_profile
from pctlib.workflow import closure as closures
from pctlib.workflow.closure import NO_RESULT, ROOM, SHOWS, closure, module_name, notebook_imports
from pctlib.workflow.layout import StudyLayout, notebook_file
from pctlib.workflow.pages import PAGES, page_named

LAYOUT = StudyLayout(load_profile("smoke"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that writes the modules of a package in place of the project's."""
    room = tmp_path / "pctlib"
    monkeypatch.setattr(closures, "ROOM", room)
    closures.imported_files.cache_clear()

    def write(**modules):
        for name, text in modules.items():
            path = room.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for folder in {path.parent for path in room.rglob("*.py")}:
            (folder / "__init__.py").touch()

    yield write
    closures.imported_files.cache_clear()


def names(files):
    return [module_name(file).removeprefix("pctlib.") for file in files]


def test_imports_are_followed_in_every_form(package):
    package(
        start="import numpy\nfrom pctlib.room import one\nimport pctlib.room.two as t\n",
        room__one="def late():\n    from pctlib.three import value\n",
        room__two="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pctlib.four import T\n",
        three="import pctlib.start  # a circle ends",
        four="",
        five="",
    )
    assert names(closure(["pctlib.start"])) == ["room", "room.one", "room.two", "start", "three"]


def test_what_is_left_out_is_not_looked_into(package):
    package(
        start="import pctlib.shown.plot, pctlib.workflow.layout",
        shown__plot="import pctlib.hidden",
        hidden="",
        workflow__layout="import pctlib.hidden",
    )
    assert names(closure(["pctlib.start"], leave_out=["pctlib.shown"])) == ["start"]
    assert names(closure(["pctlib.start"])) == ["hidden", "shown", "shown.plot", "start"]


def networks(page):
    """Return what builds the networks of the pages that a page reads; `load_run` imports it by name."""
    read = [p for p in PAGES if p.name in (*page.needs, *page.guided, *page.after) or "*" in page.after]
    roots = [name.partition(":")[0] for other in read for name in other.trains]
    return {str(file.relative_to(ROOM.parent)) for file in closure(roots, leave_out=SHOWS)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_inputs_of_a_page_are_what_its_notebook_imports(page):
    """No import of a cell may change without the page being made again, nor a network that it reads."""
    inputs = set(LAYOUT.page_inputs(page, "0" if page.seeds == "each" else None))
    expected = closure([*notebook_imports(notebook_file(page)), "pctlib.reporting.export"])
    source = {str(file.relative_to(ROOM.parent)) for file in expected} | networks(page)
    assert {name for name in inputs if name.endswith(".py")} == source
    shown = [*ROOM.glob("reporting/templates/**/*.*"), *ROOM.glob("published/*.csv")]
    assert {str(file.relative_to(ROOM.parent)) for file in shown} <= inputs
    assert "requirements.lock" in inputs


@pytest.mark.parametrize("page", [page for page in PAGES if page.trains], ids=lambda page: page.name)
def test_inputs_of_a_training_are_what_it_imports_but_for_what_only_shows(page):
    inputs = {name for name in LAYOUT.job_inputs(page, "0") if name.endswith(".py")}
    roots = {name.partition(":")[0] for name in page.trains}
    assert {f"{root.replace('.', '/')}.py" for root in roots} <= inputs
    imported = {str(file.relative_to(ROOM.parent)) for file in closure(roots, leave_out=SHOWS)}
    assert inputs == imported | networks(page)
    assert not any(name.startswith(("pctlib/visualization", "pctlib/reporting")) for name in inputs)


def test_what_was_forgotten_by_hand_is_found():
    def inputs(name):
        return LAYOUT.page_inputs(page_named(name), "0")

    for name in ("heatmap", "classifier", "occlusion", "results"):
        assert "pctlib/study/predictions.py" in inputs(name)
    for name in ("data", "tokenizer", "heatmap", "classifier"):
        assert "pctlib/data/datasets.py" in inputs(name)
        assert "pctlib/visualization/style.py" in inputs(name)
    assert {"pctlib/study/speed.py", "pctlib/reporting/tables.py"} <= set(inputs("results"))
    assert "pctlib/study/pages/vitpose.py" in inputs("comparison")
    assert "pctlib/study/pages/comparison/networks.py" in inputs("occlusion")  # whose runs it reads


def test_what_python_loads_is_in_the_closure():
    """The closure of one training against the modules that really are there once it is imported."""
    root = "pctlib.study.pages.knowledge_token.study"
    code = f"import sys, {root}\nprint(*(name for name in sys.modules if name.startswith('pctlib.')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name for name in done.stdout.split() if not name.startswith((*NO_RESULT, *SHOWS))}
    followed = {module_name(file) for file in closure([root], leave_out=SHOWS)}
    sections = {name for name in loaded if name.startswith("pctlib.profiles.")}  # by profile.py, left out
    assert loaded <= followed | sections
    assert len(loaded) > 50


def test_an_edited_reader_of_official_weights_trains_nothing_that_reads_none():
    readers = ("distillation", "knowledge_token", "mesh", "finetune")
    for page in [page for page in PAGES if page.trains]:
        reads = any("pctlib/checkpoints" in name for name in LAYOUT.job_inputs(page, "0"))
        assert reads == (page.name in readers), page.name
