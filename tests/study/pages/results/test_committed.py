"""What a long study found, kept as small files: copied, summed up, and what README says is what they say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pctlib.io import write_json
from pctlib.study.methods import MEAN_POSE
from pctlib.study.pages.results import committed
from pctlib.study.pages.results.answer import CONTROL, KINDS, PCT
from pctlib.study.pages.results.committed import commit, main_table, sentence, write_tables

ROOT = Path(__file__).parents[4]
KEPT = ROOT / committed.FOLDER / committed.LONGER
T_95 = 4.302653  # Student's t, two degrees of freedom, two-sided 95 %


def numbers_of(pct=(0.70, 0.72, 0.74), control=(0.70, 0.70, 0.70)):
    def runs(values):
        wide = {"PCK@0.2 seen": 0.9, "PCK@0.2 hidden": 0.85}
        return [{"PCK@0.1 seen": 0.8, "PCK@0.1 hidden": value, "AP": 0.2} | wide for value in values]

    methods = {MEAN_POSE: [{"PCK@0.1 seen": 0.3, "PCK@0.1 hidden": 0.4, "AP": None}]}
    methods |= {CONTROL: runs(control), PCT: runs(pct)}
    facts = {"people": 17184, "images": 10000, "val_people": 1700, "source": "procedural people"}
    sizes = {"height": 160, "width": 128, "tokens": 34, "entries": 512, "backbone": "mobilenet"}
    return {"methods": methods} | facts | sizes


@pytest.fixture
def study(tmp_path):
    """Return the folder of a study that has run, with files that are not to be copied."""
    folder = tmp_path / "study"
    for run in ("heatmap-seed0", "grid/points/seed0/v8-m4"):
        write_json(folder / run / "metrics.json", {"AP": 0.5})
        write_json(folder / run / "run_card.json", {"profile": "extended"})
        write_json(folder / run / "model.json", {})
        (folder / run / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "results" / "first_index.json", numbers_of())
    return folder


def test_only_the_small_files_are_kept(study, tmp_path):
    out = commit(study, tmp_path / "kept")
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        *("results.json", "main.csv", "README.md"),
        *("heatmap-seed0/metrics.json", "heatmap-seed0/run_card.json"),
        *("grid/points/seed0/v8-m4/metrics.json", "grid/points/seed0/v8-m4/run_card.json"),
    }


def test_the_whole_study_counts_before_its_first_index(study, tmp_path):
    write_json(study / "results" / "metrics.json", numbers_of(pct=(0.9, 0.9, 0.9)))
    out = commit(study, tmp_path / "kept")
    assert json.loads((out / "results.json").read_text()) == numbers_of(pct=(0.9, 0.9, 0.9))


def test_a_study_without_results_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results.metrics\.json: the study has no results yet"):
        commit(tmp_path, tmp_path / "kept")


def test_differences_are_paired_by_seed():
    half = T_95 * 2 / 3**0.5  # of 0, 2 and 4 points
    assert sentence(numbers_of(), "hidden") == (
        f"PCT 72.0 %, control 70.0 %: +2.0 points [−{half - 2:.1f}, +{2 + half:.1f}]"
    )
    assert sentence(numbers_of(), "seen") == "PCT 80.0 %, control 80.0 %: 0.0 points [0.0, 0.0]"


def test_the_table_has_means_with_intervals():
    frame = main_table(numbers_of()).frame.set_index("method")
    column = next(name for name in frame if "PCK@0.1" in name and "hidden" in name)
    assert frame.loc[PCT, column].mean == pytest.approx(72)
    assert frame.loc[PCT, column].half_width == pytest.approx(T_95 * 2 / 3**0.5, rel=1e-4)
    assert frame.loc[MEAN_POSE, column].half_width is None


def test_tables_are_made_from_the_committed_numbers_alone(study, tmp_path):
    out = commit(study, tmp_path / "kept")
    before = {name: (out / name).read_text() for name in ("README.md", "main.csv")}
    for name in before:
        (out / name).unlink()
    write_tables(out)
    assert {name: (out / name).read_text() for name in before} == before
    assert f"hidden joints found (PCK@0.1): {sentence(numbers_of(), 'hidden')}." in before["README.md"]
    assert "17,184 people in 10,000 images" in before["README.md"]


def test_what_is_committed_is_what_its_numbers_say(tmp_path):
    numbers = committed.longer(ROOT)
    if numbers is None:
        pytest.skip("nothing is committed yet")
    assert (KEPT / "README.md").read_text() == committed.as_markdown(numbers, main_table(numbers))
    size = sum(path.stat().st_size for path in KEPT.rglob("*") if path.is_file())
    assert size < 3_000_000
    readme = re.sub(r"[*\s]+", " ", (ROOT / "README.md").read_text())
    for measure in ("PCK@0.1", "PCK@0.2"):
        for kind in KINDS:
            assert sentence(numbers, kind, measure) in readme, "README quotes other numbers"
    exact = [100 * np.mean([run["AP"] for run in numbers["methods"][name]]) for name in (PCT, CONTROL)]
    assert "OKS-AP, which asks for exactness, is {:.1f} % against {:.1f} %".format(*exact) in readme
