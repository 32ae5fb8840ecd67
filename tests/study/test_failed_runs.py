"""What is made again because it failed: points of the grid, and pages below which a variant failed."""

import pytest

from pctlib.profiles.profile import load_profile
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.run import _check_joint, _command, failed_runs


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
    assert failed_runs(root, layout) == []
    write("grid/V8-M4-seed0/metrics.json")
    write("choices/tokenizers/seed0/a/metrics.json")
    assert failed_runs(root, layout) == []


def test_only_the_failed_point_is_made_again_and_only_points_of_the_profile(study):
    root, layout, write = study
    for point in ("V8-M4-seed0", "V64-M4-seed0"):  # 64 is no size of the smoke profile
        write(f"grid/{point}/metrics.json", '{"failed": "no memory"}')
    write("grid/V16-M4-seed0/metrics.json")
    write("grid/metrics.json")
    assert failed_runs(root, layout) == ["reports/smoke/grid/V8-M4-seed0/metrics.json"]


@pytest.mark.parametrize("run", ["seed0/a", "tokenizers/seed0/a"])
def test_the_page_and_the_seeds_job_of_a_failed_variant_are_made_again(study, run):
    root, layout, write = study
    write(f"choices/{run}/metrics.json", '{"failed": "no memory"}')
    assert failed_runs(root, layout) == []  # there is no page yet: it is made anyway
    write("choices/metrics.json")
    write("choices/seed0/metrics.json")
    write("comparison/metrics.json")
    folder = "reports/smoke/choices"
    assert failed_runs(root, layout) == [f"{folder}/metrics.json", f"{folder}/seed0/metrics.json"]


def test_a_failed_classifier_of_the_grid_makes_its_page_again(study):
    root, layout, write = study
    write("grid/classifiers/seed0/V8/metrics.json", '{"failed": "no memory"}')
    write("grid/metrics.json")
    assert failed_runs(root, layout) == ["reports/smoke/grid/metrics.json"]


def test_a_variant_of_a_seed_that_is_no_longer_asked_for_does_not_count(study):
    root, layout, write = study
    write("choices/seed7/a/metrics.json", '{"failed": "no memory"}')
    write("choices/metrics.json")
    assert failed_runs(root, layout) == []


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
