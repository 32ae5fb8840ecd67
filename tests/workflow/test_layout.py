import ast

import pytest

from pctlib.profiles.profile import Profile, load_profile
from pctlib.workflow.closure import ROOM
from pctlib.workflow.layout import StudyLayout, training_code
from pctlib.workflow.pages import PAGES, SHARED, page_named

STEPS = [page.name for page in PAGES]


def hashes(**changes):
    layout = StudyLayout(load_profile("smoke", **changes))
    return {page.name: layout.settings(page, 0 if page.name != "results" else None) for page in PAGES}


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"people__occlusion": 0.1}, set(STEPS)),
        ({"skip_broken": True}, set(STEPS)),
        (
            {"tokenizer__drop_rate": 0.3},
            {"tokenizer", "classifier", "grid", "choices", "anatomy", "comparison", "pose3d"},
        ),
        ({"heatmap__sigma": 1.5}, {"heatmap", "classifier", "grid", "choices", "comparison", "pose3d"}),
        ({"classifier__hidden_dim": 16}, {"classifier", "grid", "choices", "comparison", "pose3d"}),
        ({"masked__train_people": 16}, {"masked", "flexibility"}),
        ({"knowledge_token__train_people": 16}, {"knowledge_token"}),
        ({"comparison__train_people": 16}, {"comparison", "occlusion"}),
        ({"anatomy__draws": 2}, {"anatomy"}),
        ({"seeds": [1]}, set()),
    ],
)
def test_a_value_marks_the_steps_that_read_it(change, steps):
    before, after = hashes(), hashes(**change)
    assert {step for step in STEPS if before[step] != after[step]} == steps | {"results"}


def test_where_and_how_fast_a_study_runs_changes_no_run():
    changed = hashes(device="cpu", workers=0, cache_megabytes=1)
    before = hashes()
    assert all(changed[step] == before[step] for step in STEPS if step != "results")


def test_more_seeds_are_another_page_and_the_same_runs():
    one, two = (StudyLayout(load_profile("smoke", seeds=seeds)) for seeds in ([0], [0, 1]))
    masked = page_named("masked")
    assert one.settings(masked) != two.settings(masked)
    assert one.settings(masked, 0) == two.settings(masked, 0) == one.settings(masked)
    first = page_named("anatomy")
    assert one.settings(first) == two.settings(first), "it shows the first seed"


def test_data_set_and_settings_outside_the_profile_are_other_runs():
    profile, page = load_profile("smoke"), page_named("anatomy")
    layouts = [StudyLayout(profile), StudyLayout(profile, dataset="coco", root="/data")]
    known = {layout.settings(page) for layout in layouts}
    known.add(layouts[0].settings(page, others={"seed": 3}))
    assert len(known) == 3
    assert layouts[0].settings(page, others={"seed": None}) == layouts[0].settings(page)


def sections_read(file):
    """Return the sections of a profile that a source file reads from something called profile or settings."""
    nodes = ast.walk(ast.parse(file.read_text()))
    read = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in Profile.model_fields]
    return {node.attr for node in read if ast.unparse(node.value).endswith(("profile", "settings"))}


@pytest.mark.parametrize("page", [page for page in PAGES if page.trains], ids=lambda page: page.name)
def test_a_page_has_in_its_record_the_sections_that_its_training_reads(page):
    """Models of other pages come as files: sections that only say how to build them need not be there."""
    shared = {ROOM / "study" / name for name in ("people.py", "page.py")}  # .occlusion there is of people
    code = [file for file in training_code(page) if "study" in file.parts and file not in shared]
    found = {name for file in code for name in sections_read(file)}
    found &= {page.name for page in PAGES}
    declared = {page.name, *page.reads}
    assert declared <= found | {*page.needs}
    assert found <= declared | {*page.needs, *page.guided}


def test_a_cluster_gives_a_job_what_its_profile_asks_for():
    paper = StudyLayout(load_profile("paper"))
    data, tokenizer = page_named("data"), page_named("tokenizer")
    assert paper.resources(tokenizer) == {
        "gpu": 1, "mem_mb": 256000, "runtime": 4320, "cpus_per_task": 9,
    }  # fmt: skip
    assert "gpu" not in paper.resources(data)
    assert "gpu" not in StudyLayout(load_profile("demo")).resources(tokenizer)


def test_the_main_comparison_comes_before_what_else_is_ready():
    layout = StudyLayout(load_profile("demo"))
    first = {page.name for page in PAGES if layout.priority(page) == 10}
    assert first == {"data", "tokenizer", "heatmap", "classifier", "results"}


def test_of_the_other_pages_the_longest_come_first(monkeypatch):
    times = {"mesh": 200.0, "grid": 100.0, "anatomy": 10.0, "classifier": 900.0}
    monkeypatch.setattr(
        "pctlib.workflow.layout.known_durations", lambda study: times if study == "demo" else {}
    )
    demo, smoke = (StudyLayout(load_profile(name)) for name in ("demo", "smoke"))
    first, second, last = (demo.priority(page_named(name)) for name in ("mesh", "grid", "anatomy"))
    assert (first, second, last) == (9, 4, 0)
    assert smoke.priority(page_named("mesh")) == 0


def test_short_variants_share_a_job_and_one_seed_needs_none():
    masked, tokenizer = page_named("masked"), page_named("tokenizer")
    one, two = (StudyLayout(load_profile("smoke", seeds=seeds)) for seeds in ([0], [0, 1]))
    assert one.jobs(masked, 0) == []
    assert two.jobs(masked, 1) == ["trained/seed1/all.json"]
    assert one.jobs(tokenizer, 0) == ["trained.json"]
    assert one.jobs(page_named("classifier"), 0) == [], "no training starts from it"


def test_long_variants_are_a_job_each_in_the_order_they_need():
    layout = StudyLayout(load_profile("smoke", jobs="variant"))
    page = page_named("distillation")
    folder = "reports/smoke/distillation/trained/seed0"
    assert layout.jobs(page, 0)[:3] == [
        f"trained/seed0/{name}.json" for name in ("teacher", "neither", "first-stage")
    ]
    assert f"{folder}/first-stage.json" in layout.job_inputs(page, "0", "both-stages")
    assert f"{folder}/teacher.json" in layout.job_inputs(page, "0", "first-stage-no-decay")
    assert not any(folder in file for file in layout.job_inputs(page, "0", "teacher"))
    assert {f"{folder}/{name}.json" for name in ("teacher", "both-stages")} <= set(layout.page_inputs(page))
    row = layout.job_inputs(page_named("grid"), "0", "classifiers-v8")
    assert "reports/smoke/grid/trained/seed0/points-v8-m4.json" in row
    own = layout.job_inputs(page_named("flexibility"), "0", "base")
    assert "reports/smoke/masked/trained/seed0/pretrained.json" in own


def test_a_guided_tokenizer_waits_for_the_backbone_that_guides_it():
    guided = {"tokenizer__guide_ratio": 0.5, "classifier__cached_views": 0}
    backbone = "reports/smoke/heatmap-seed0/trained.json"
    for name in ("tokenizer", "anatomy"):
        page = page_named(name)
        assert backbone in StudyLayout(load_profile("smoke", **guided)).page_inputs(page, "0")
        assert backbone not in StudyLayout(load_profile("smoke")).page_inputs(page, "0")


def test_every_page_reads_the_people_and_sections_exist():
    layout = StudyLayout(load_profile("smoke"))
    for page in PAGES:
        assert layout.people in layout.page_inputs(page, "0"), "else it would make them once more, at once"
        assert set(page.reads) <= set(Profile.model_fields)
        assert set(SHARED) <= set(Profile.model_fields)
        known = {other.name for other in PAGES} | {"*"}
        assert {*page.needs, *page.guided, *page.after} <= known
