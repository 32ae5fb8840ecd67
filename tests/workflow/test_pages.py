"""The records of the pages: what they name exists, and what they train has folders of its own."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pctlib.profiles.profile import load_profile, profile_names
from pctlib.reporting.search import notebook_places
from pctlib.workflow.pages import PAGES, Page, Training, page_named, slug

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_record_names_exists(page):
    assert (ROOT / "notebooks" / f"{page.notebook}.ipynb").is_file()
    for name in page.trains:
        module, _, trains = name.partition(":")
        found = getattr(importlib.import_module(module), trains)
        assert callable(found)
        assert module.startswith(f"pctlib.study.pages.{page.name}.")
        if page.seeds != "each":
            assert {"of", "group"} <= set(dir(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_asks_a_question_and_its_main_figure_exists(page):
    assert page.question[0].isupper()
    assert page.question.count("?") == 1
    assert page.question.endswith("?")
    places = dict(notebook_places(ROOT / "notebooks" / f"{page.notebook}.ipynb"))
    assert page.figure in {"", *places}


def test_names_are_distinct_and_the_results_come_last():
    assert len({page.name for page in PAGES}) == len({page.notebook for page in PAGES}) == len(PAGES)
    assert [page.name for page in PAGES if "*" in page.after] == ["results"] == [PAGES[-1].name]
    assert [page.notebook for page in PAGES] == sorted(page.notebook for page in PAGES)


@pytest.mark.parametrize("name", profile_names())
def test_what_a_page_trains_is_known_and_in_the_order_it_needs(name):
    profile = load_profile(name)
    for page in PAGES:
        known = []
        for training in page.trainings(profile) if page.within(profile) else []:
            assert {other.folder for other in training.after} <= set(known), training.name
            known.append(training.folder)


@pytest.mark.parametrize("page", [p for p in PAGES if p.trains and p.seeds != "each"], ids=lambda p: p.name)
def test_studies_train_what_the_page_lists(page):
    """Names are listed without torch for the workflow, and are those that the studies take."""
    profile = load_profile("smoke", finetune__initial_weights="model.pth")  # smoke has none of its own
    listed = page.trainings(profile)
    groups = []
    for name in page.trains:
        module, _, trains = name.partition(":")
        study = getattr(importlib.import_module(module), trains)
        made = study.__new__(study)
        made.profile = profile
        if page.name == "comparison":
            made.variants = importlib.import_module("pctlib.study.pages.comparison.networks").variants(
                profile
            )
        groups.append(study.group)
        assert list(made.variants) == [t.name for t in listed if t.group == study.group]
    assert set(groups) == {training.group for training in listed}


def test_folders_are_slugs_and_two_variants_never_share_one(monkeypatch):
    assert slug("three tokens, as many bits") == "three-tokens-as-many-bits"
    assert slug("frozen-heatmap_dark") == "frozen-heatmap_dark"
    assert slug("64 x 48 px") == "64-x-48-px"
    assert Training("V8", group="classifiers").folder == "classifiers-v8"
    module = importlib.import_module("pctlib.study.pages.masked.trainings")
    monkeypatch.setattr(module, "trainings", lambda profile: [Training("a, b"), Training("A b")])
    with pytest.raises(ValueError, match="page masked: these variants would share a folder: a, b, A b"):
        page_named("masked").trainings(load_profile("smoke"))


def test_a_page_is_part_of_a_study_whose_profile_has_its_section():
    smoke, small = load_profile("smoke"), load_profile("smoke").model_copy(update={"grid": None})
    assert page_named("grid").within(smoke)
    assert not page_named("grid").within(small)
    assert Page("data", "00_data", "Data", "Why?").within(small), "what has no section is always there"
    with pytest.raises(ValueError, match="page: expected one of data, tokenizer, .*, got 'maksed'"):
        page_named("maksed")


def test_the_workflow_is_read_without_torch():
    """Snakemake reads it before every job, and torch takes seconds."""
    code = (
        "import sys\n"
        "from pctlib.workflow.layout import StudyLayout\n"
        "layout = StudyLayout.from_config({'profile': 'paper'})\n"
        "inputs = [layout.page_inputs(page, '0') for page in layout.steps]\n"
        "sys.exit('torch' in sys.modules or not all(inputs))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_page_asks_one_question():
    questions = [page.question for page in PAGES]
    assert all(question.count("?") == 1 and question.endswith("?") for question in questions)
    assert len(set(questions)) == len(PAGES)
