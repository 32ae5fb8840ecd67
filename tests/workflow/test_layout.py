import pytest

from pctlib.profiles.profile import Profile, load_profile
from pctlib.workflow.layout import STEPS, StudyLayout, read_description


def hashes(**changes):
    layout = StudyLayout(load_profile("smoke", **changes))
    return {step: layout.settings(step, all_seeds=step == "results") for step in STEPS}


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"people__occlusion": 0.1}, set(STEPS)),
        ({"skip_broken": True}, set(STEPS)),
        (
            {"tokenizer__drop_rate": 0.3},
            {"tokenizer", "classifier", "grid", "choices", "anatomy", "comparison"},
        ),
        ({"heatmap__sigma": 1.5}, {"heatmap", "classifier", "grid", "choices", "comparison"}),
        ({"classifier__hidden_dim": 16}, {"classifier", "grid", "choices", "comparison"}),
        ({"masked__train_people": 16}, {"masked", "flexibility"}),
        ({"knowledge_token__train_people": 16}, {"knowledge_token"}),
        ({"comparison__train_people": 16}, {"comparison", "occlusion"}),
        ({"seeds": [1]}, set()),
    ],
)
def test_a_value_marks_the_steps_that_read_it(change, steps):
    before, after = hashes(), hashes(**change)
    assert {step for step in STEPS if before[step] != after[step]} == steps | {"results"}


def test_where_and_how_fast_a_study_runs_changes_no_run():
    changed = {"device": "cpu", "workers": 0, "cache_megabytes": 1}
    changed = hashes(**changed)
    before = hashes()
    assert all(changed[step] == before[step] for step in STEPS if step != "results")


def test_more_seeds_are_another_page_and_the_same_runs():
    one, two = (StudyLayout(load_profile("smoke", seeds=seeds)) for seeds in ([0], [0, 1]))
    assert one.settings("masked", all_seeds=True) != two.settings("masked", all_seeds=True)
    assert one.settings("masked") == two.settings("masked")


def test_every_section_is_read_by_a_step_of_its_name():
    sections = {name for name in Profile.model_fields if name in STEPS}
    for name in sections:
        layouts = [StudyLayout(load_profile("smoke")), StudyLayout(load_profile("demo"))]
        assert layouts[0].settings(name) != layouts[1].settings(name)
    assert sections == set(STEPS) - {"data", "anatomy", "results"}


def test_a_missing_training_says_what_trains_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing; run notebook 01_tokenizer first"):
        read_description(tmp_path / "tokenizer-seed0")
    with pytest.raises(FileNotFoundError, match="run the notebook that trains it, or make study"):
        read_description(tmp_path / "elsewhere")
    (tmp_path / "model.json").write_text('{"skeleton": "coco"}')
    assert read_description(tmp_path) == {"skeleton": "coco"}


def test_a_cluster_gives_a_job_what_its_profile_asks_for():
    paper = StudyLayout(load_profile("paper"))
    assert paper.resources("tokenizer") == {
        "gpu": 1, "mem_mb": 256000, "runtime": 4320, "cpus_per_task": 9,
    }  # fmt: skip
    assert "gpu" not in paper.resources("data")
    assert "gpu" not in StudyLayout(load_profile("demo")).resources("tokenizer")
