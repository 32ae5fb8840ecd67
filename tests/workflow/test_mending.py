"""What a study does about damaged files of its finished runs before it goes on."""

import shutil

import pytest

from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import RunCard
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.mending import mend, seal_page
from pctlib.workflow.pages import page_named
from pctlib.workflow.run import outdated_runs
from pctlib.workflow.seals import damaged, is_sealed, seal, unseal

PAGE = ("metrics.json", "run_card.json", "executed.ipynb")
POINT = "reports/smoke/grid/points/seed0/v8-m4"


def layout_of(**changes):
    return StudyLayout(load_profile("smoke", **changes), "smoke")


@pytest.fixture
def study(tmp_path):
    """Return a checkout's folder with finished runs: a tokenizer trained by a job, its page, and a grid."""

    def write(path, text="{}"):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    layout, smoke = layout_of(), "reports/smoke"
    for run, page, seed in (("tokenizer-seed0", "01_tokenizer-seed0", 0), ("grid", "04_grid", None)):
        for name in PAGE:
            write(f"{smoke}/{run}/{name}")
        name = run.partition("-")[0]
        card = RunCard("smoke", 0, "procedural", settings=layout.settings(page_named(name), seed))
        card.save(tmp_path / smoke / run / "run_card.json")
        write(f"{smoke}/{page}.html", "<p>")
    card.save(tmp_path / smoke / "tokenizer-seed0" / "trained.json")
    for name in (
        "model.safetensors",
        "model.json",
        "history.jsonl",
        "checkpoints/step-000000010.safetensors",
    ):
        write(f"{smoke}/tokenizer-seed0/{name}", name)
        write(f"{POINT}/{name}", name)
    for name in ("metrics.json", "run_card.json"):
        write(f"{POINT}/{name}")
    assert mend(tmp_path, layout) == []  # a study made before there were seals
    return tmp_path


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_runs_made_before_there_were_seals_are_sealed_without_a_word(study, capsys):
    assert capsys.readouterr().err == ""
    sealed = sorted(str(path.parent.relative_to(study)) for path in study.rglob("seal.json"))
    assert sealed == ["reports/smoke/grid", POINT, "reports/smoke/tokenizer-seed0"]
    before = files(study)
    assert mend(study, layout_of()) == []
    assert files(study) == before


@pytest.mark.parametrize(
    ("damage", "made_again"),
    [
        ("tokenizer-seed0/metrics.json", {"tokenizer-seed0/metrics.json"}),
        ("tokenizer-seed0/run_card.json", {"tokenizer-seed0/metrics.json"}),
        ("tokenizer-seed0/executed.ipynb", {"tokenizer-seed0/metrics.json"}),
        ("01_tokenizer-seed0.html", {"tokenizer-seed0/metrics.json"}),
        ("tokenizer-seed0/seal.json", {"tokenizer-seed0/metrics.json", "tokenizer-seed0/trained.json"}),
        ("grid/points/seed0/v8-m4/seal.json", {"grid/metrics.json", "grid/points/seed0/v8-m4/run_card.json"}),
        (
            "tokenizer-seed0/model.safetensors",
            {"tokenizer-seed0/metrics.json", "tokenizer-seed0/trained.json"},
        ),
        ("tokenizer-seed0/history.jsonl", {"tokenizer-seed0/metrics.json", "tokenizer-seed0/trained.json"}),
        ("tokenizer-seed0/trained.json", {"tokenizer-seed0/metrics.json", "tokenizer-seed0/trained.json"}),
        ("grid/metrics.json", {"grid/metrics.json"}),
        (
            "grid/points/seed0/v8-m4/model.json",
            {"grid/metrics.json", "grid/points/seed0/v8-m4/run_card.json"},
        ),
        (
            "grid/points/seed0/v8-m4/metrics.json",
            {"grid/metrics.json", "grid/points/seed0/v8-m4/run_card.json"},
        ),
    ],
)
@pytest.mark.parametrize("way", ["edited", "deleted"])
def test_a_damaged_file_is_named_kept_and_made_again(study, capsys, damage, made_again, way):
    if way == "deleted" and damage.endswith("seal.json"):
        pytest.skip("a run without a seal was made before there were seals")
    report = study / "reports" / "smoke"
    if way == "edited":
        (report / damage).write_text("edited")
    else:
        (report / damage).unlink()
    before = files(report)
    planned = mend(study, layout_of(), dry_run=True)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"damaged: reports/smoke/{damage}: ")
    assert files(report) == before, "a dry run changes nothing"
    jobs = {name for name in made_again if "seed0/v8-m4" not in name}  # a variant is no job of the workflow
    assert set(planned) == {f"reports/smoke/{name}" for name in jobs if (report / name).is_file()}
    outdated_runs(study, layout_of())  # reads cards, damaged or not

    assert mend(study, layout_of()) == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"damaged: reports/smoke/{damage}: ")
    assert not any((report / name).exists() for name in made_again)
    kept = [path for path in files(report) if ".damaged/" in path]
    assert len(kept) == (way == "edited")
    if kept:
        assert (report / kept[0]).read_text() == "edited"
        assert kept[0].partition(".damaged")[0] in said
    mend(study, layout_of())
    assert capsys.readouterr().err == "", "it is said once"


def test_all_damaged_files_are_named_each_in_a_line(study, capsys):
    for name in ("model.safetensors", "metrics.json", "history.jsonl"):
        (study / POINT / name).write_text("x")
    (study / "reports/smoke/04_grid.html").unlink()
    mend(study, layout_of())
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        *(f"{POINT}/{name}" for name in ("history.jsonl", "metrics.json", "model.safetensors")),
        "reports/smoke/04_grid.html",
    ]


def test_a_damaged_file_is_kept_where_another_damage_makes_it_again_anyway(study):
    (study / POINT / "model.json").write_text("x")
    (study / "reports/smoke/grid/metrics.json").write_text("edited")
    mend(study, layout_of())
    assert (study / "reports/smoke/grid.damaged/metrics.json").read_text() == "edited"


def test_the_jobs_of_a_damaged_variant_run_again(study):
    layout = layout_of(jobs="variant")
    for variant in ("points-v8-m4", "points-v16-m4"):
        job = study / f"reports/smoke/grid/trained/seed0/{variant}.json"
        job.parent.mkdir(parents=True, exist_ok=True)
        job.write_text("{}")
    (study / POINT / "model.safetensors").unlink()
    mend(study, layout)
    assert [path.name for path in job.parent.iterdir()] == ["points-v16-m4.json"]


def test_missing_files_of_jobs_are_asked_for_once_there_are_results(study):
    smoke = "reports/smoke"
    tokenizer = f"{smoke}/tokenizer-seed0/trained.json"
    (study / tokenizer).unlink()
    unseal(study / smoke / "tokenizer-seed0")
    assert mend(study, layout_of()) == [], "the study has yet to run"
    (study / smoke / "results").mkdir(exist_ok=True)
    (study / smoke / "results" / "run_card.json").write_text("{}")
    asked = mend(study, layout_of(), dry_run=True)
    assert {tokenizer, f"{smoke}/results/metrics.json"} <= set(asked)
    assert f"{smoke}/tokenizer-seed0/metrics.json" not in asked
    assert mend(study, layout_of()) == asked


def test_the_page_of_a_deleted_variant_is_asked_for(study):
    layout, grid = layout_of(), page_named("grid")
    (study / "reports/smoke/results").mkdir(exist_ok=True)
    (study / "reports/smoke/results/metrics.json").write_text("{}")
    folders = [study / layout.variant_dir(grid, training, 0) for training in grid.trainings(layout.profile)]
    assert study / POINT in folders
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run_card.json").write_text("{}")
    mend(study, layout)
    assert "reports/smoke/grid/metrics.json" not in mend(study, layout)
    shutil.rmtree(study / POINT)
    assert "reports/smoke/grid/metrics.json" in mend(study, layout)


def test_what_the_workflow_deleted_to_make_it_again_is_not_damaged(study, capsys):
    report = study / "reports/smoke"
    for name in ("tokenizer-seed0/metrics.json", "tokenizer-seed0/run_card.json", "01_tokenizer-seed0.html"):
        (report / name).unlink()
    mend(study, layout_of())
    assert capsys.readouterr().err == ""
    (report / "tokenizer-seed0/model.json").unlink()
    mend(study, layout_of())
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "reports/smoke/tokenizer-seed0/model.json"
    ]


def test_a_run_that_goes_on_is_not_sealed(study):
    report = study / "reports/smoke"
    (report / "classifier-seed0/checkpoints").mkdir(parents=True)
    (report / "classifier-seed0/checkpoints/step-000000005.safetensors").write_text("x")
    (report / "grid/points/seed0/v16-m4").mkdir()
    (report / "grid/points/seed0/v16-m4/history.jsonl").write_text("x")
    mend(study, layout_of())
    assert not is_sealed(report / "classifier-seed0")
    assert not is_sealed(report / "grid/points/seed0/v16-m4")


def test_runs_that_the_study_has_not_are_not_looked_at(study, capsys):
    foreign = study / "reports/smoke/grid/points/seed0/v999-m4"
    foreign.mkdir()
    (foreign / "metrics.json").write_text("{}")
    seal(foreign)
    (foreign / "metrics.json").write_text("x")
    (study / POINT / "model.json").write_text("x")
    mend(study, layout_of(seeds=[1]))  # another profile of the same name
    assert capsys.readouterr().err == ""


def test_the_seal_of_the_results_holds_the_index(tmp_path):
    for name in ("90_results.html", "04_grid.html", "index.html"):
        (tmp_path / name).write_text("<p>")
    for run, html in (("results", "90_results"), ("grid", "04_grid")):
        (tmp_path / run).mkdir()
        seal_page(tmp_path / run, html, tmp_path / f"{html}.html")
    (tmp_path / "index.html").write_text("<b>")
    assert damaged(tmp_path / "grid") == []
    assert [path.name for path, _ in damaged(tmp_path / "results")] == ["index.html"]
