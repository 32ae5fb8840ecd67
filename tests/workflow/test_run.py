"""What is made again though no file changed: what failed, and what was made by other settings."""

import pytest

from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import RunCard
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.pages import page_named
from pctlib.workflow.run import _check_joint, _command, outdated_runs


@pytest.fixture
def study(tmp_path):
    layout = StudyLayout.from_config({"profile": "smoke"})

    def write(path, text="{}"):
        path = tmp_path / "reports" / "smoke" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return tmp_path, layout, write


def test_nothing_failed_nothing_is_made_again(study):
    root, layout, write = study
    assert outdated_runs(root, layout) == []
    write("grid/points/seed0/v8-m4/metrics.json")
    write("choices/tokenizers/seed0/one-token/metrics.json")
    assert outdated_runs(root, layout) == []


@pytest.mark.parametrize(
    ("page", "run"),
    [
        ("grid", "points/seed0/v8-m4"),
        ("grid", "classifiers/seed0/v8"),
        ("choices", "tokenizers/seed0/one-token"),
        ("masked", "seed0/from-scratch-longer"),
    ],
)
def test_the_page_of_a_failed_variant_is_made_again(study, page, run):
    root, layout, write = study
    write(f"{page}/{run}/metrics.json", '{"failed": "no memory"}')
    assert outdated_runs(root, layout) == []  # there is no page yet: it is made anyway
    write(f"{page}/metrics.json")
    write("comparison/metrics.json")
    assert outdated_runs(root, layout) == [f"reports/smoke/{page}/metrics.json"]


@pytest.mark.parametrize(("jobs", "file"), [("seed", "all"), ("variant", "one-token")])
def test_the_job_of_a_failed_variant_is_made_again(study, jobs, file):
    root, _, write = study
    layout = StudyLayout(load_profile("smoke", seeds=[0, 1], jobs=jobs))
    name = file if file == "all" else f"tokenizers-{file}"
    card = RunCard("smoke", 0, "procedural", settings=layout.settings(page_named("choices"), 1))
    for run in (f"seed1/{name}", "seed0/all", "seed1/classifiers-both-losses"):
        card.save(root / f"reports/smoke/choices/trained/{run}.json")
    write("choices/tokenizers/seed1/one-token/metrics.json", '{"failed": "no memory"}')
    assert outdated_runs(root, layout) == [f"reports/smoke/choices/trained/seed1/{name}.json"]


@pytest.mark.parametrize("run", ["seed7/from-scratch", "seed0/no-such-variant"])
def test_what_is_no_longer_asked_for_does_not_count(study, run):
    root, layout, write = study
    write(f"masked/{run}/metrics.json", '{"failed": "no memory"}')
    write("masked/metrics.json")
    assert outdated_runs(root, layout) == []


@pytest.mark.parametrize(("page", "seed"), [("masked", None), ("heatmap", 0), ("results", None)])
def test_a_run_by_other_settings_is_made_again(study, page, seed):
    root, layout, write = study
    run = page if seed is None else f"{page}-seed{seed}"
    card = RunCard("smoke", 0, "procedural", settings=layout.settings(page_named(page), seed))
    card.save(root / f"reports/smoke/{run}/run_card.json")
    write(f"{run}/metrics.json")
    write("index.html", "<p>")
    assert outdated_runs(root, layout) == []
    card.settings = layout.settings(page_named(page), seed, others={"draws": 3})
    card.save(root / f"reports/smoke/{run}/run_card.json")
    assert outdated_runs(root, layout) == [f"reports/smoke/{run}/metrics.json"]


def test_the_results_are_made_again_where_the_index_is_gone(study):
    root, layout, write = study
    card = RunCard("smoke", 0, "procedural", settings=layout.settings(page_named("results")))
    card.save(root / "reports/smoke/results/run_card.json")
    write("results/metrics.json")
    assert outdated_runs(root, layout) == ["reports/smoke/results/metrics.json"]
    write("index.html", "<p>")
    assert outdated_runs(root, layout) == []


def test_a_model_trained_by_other_settings_is_trained_again(study):
    root, layout, _ = study
    card = RunCard("smoke", 0, "procedural", settings="of an experiment")
    card.save(root / "reports/smoke/heatmap-seed0/trained.json")
    assert outdated_runs(root, layout) == ["reports/smoke/heatmap-seed0/trained.json"]


def test_networks_for_a_gpu_are_trained_one_after_another(tmp_path):
    """Snakemake does not bound a resource by itself: every job would start on the first GPU."""
    for profile, bounded in (("paper", True), ("demo", False)):
        command = _command(tmp_path, StudyLayout.from_config({"profile": profile}), 64, dry_run=False)
        assert ("gpu=1" in command) is bounded


def test_data_sets_of_joint_training_are_looked_for_first(tmp_path):
    layout = StudyLayout(load_profile("smoke", joint__datasets={"mpii": str(tmp_path)}))
    with pytest.raises(
        FileNotFoundError, match=r"profile smoke, joint.datasets.mpii: .*no annotations of mpii"
    ):
        _check_joint(layout)
    (tmp_path / "annot").mkdir()
    (tmp_path / "annot" / "train.json").touch()
    _check_joint(layout)
    _check_joint(StudyLayout.from_config({"profile": "demo"}))
