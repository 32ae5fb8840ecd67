"""The occlusion protocol on estimators whose answers are known."""

import json
import re

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.crops import crop_affine, invert_affine, transform_points
from pctlib.metrics.plausibility import PoseLimits
from pctlib.models.representations.base import Keypoints
from pctlib.profiles.pages import OcclusionProfile
from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import signed
from pctlib.skeletons import COCO, LSP
from pctlib.study import methods as methods_module
from pctlib.study.findings import json_rows
from pctlib.study.methods import MAIN_METHODS, MEAN_POSE, trained_methods
from pctlib.study.pages.occlusion.measures import METRICS, Part, Robustness, joint_groups
from pctlib.study.pages.occlusion.people import PastedSource, ProceduralSource, occlusion_source
from pctlib.study.pages.occlusion.pictures import (
    gallery,
    hidden_errors,
    level_walks,
    median_person,
    method_strip,
    protocol_strip,
)
from pctlib.study.pages.occlusion.protocol import OcclusionRun, run_protocol
from pctlib.study.pages.occlusion.report import (
    by_hidden_error,
    curve_frame,
    finding,
    protocol_table,
    summary,
    with_best,
)
from pctlib.study.people import Splits, load_splits
from pctlib.study.runs import Trained

SHARES = (0.0, 0.3, 0.6)


class Corner(torch.nn.Module):
    """Finds every joint at one point of the input."""

    def __init__(self, x, y, joints=17):
        super().__init__()
        self.register_buffer("point", torch.tensor([x, y], dtype=torch.float32))
        self.joints = joints

    def predict(self, images, *, flip_test=False):
        keypoints = self.point.expand(len(images), self.joints, 2)
        return Keypoints(keypoints, torch.ones(keypoints.shape[:2]))


TALL = (64, 48)  # height and width of crops of other proportions than the profile's


def corner(*args, size=(64, 64), **options):
    return lambda: Trained(Corner(*args, **options), size)


def smoke(**section):
    return load_profile("smoke", **{f"occlusion__{name}": value for name, value in section.items()})


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return make_people(tmp_path_factory.mktemp("people"), 14, size=128)


@pytest.fixture(scope="module")
def pasted(people):
    profile = smoke(people=5, shares=SHARES)
    source = PastedSource(people, profile, name="drawings")
    readers = {
        "Here": {0: corner(10, 20), 1: corner(10, 20)},
        "There": {0: corner(40, 5, size=TALL)},
    }
    return source, profile, run_protocol(source, readers, profile, people, progress=False)


def made_run(errors, visible=None, shares=SHARES, kinds=("object", "truncation")):
    """Return a run whose errors over the box (side 100) are given: method -> seed -> [T, L, N]."""
    first = next(iter(next(iter(errors.values())).values()))
    T, L, N = first.shape
    truth = np.tile(np.linspace(0, 99, 17)[:, None] * [1, 0.5], (T, L, N, 1, 1))
    if visible is None:
        visible = np.tile(np.where(np.arange(17) % 2, 1, 2), (T, L, N, 1))
    moved = {
        name: {seed: truth + 100 * values[..., None, None] * [0.6, 0.8] for seed, values in runs.items()}
        for name, runs in errors.items()
    }
    boxes = np.tile([0, 0, 100, 80], (T, L, N, 1))
    reached = np.tile(np.asarray(shares)[:, None], (T, 1, N))
    return OcclusionRun(kinds, shares, COCO, truth, visible.astype(np.uint8), boxes, reached, moved)


@pytest.fixture(scope="module")
def limits(people):
    return PoseLimits.of(people)


def test_the_profile_says_who_and_how():
    section = OcclusionProfile(people=4)
    assert section.kinds == ("object", "person", "truncation")
    assert section.shares == (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
    for bad in ({"people": 0}, {"people": 2, "shares": [0.1, 0.2]}, {"people": 2, "shares": [0, 0.2, 0.2]},
                {"people": 2, "shares": [0, 1.0]}, {"people": 2, "kinds": ["rain"]},
                {"people": 2, "kinds": ["object", "object"]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"smoke\.yml: occlusion"):
            smoke(**bad)


def test_trained_methods_are_found_by_folder(tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"Heatmap: no trained model .*heatmap-seed0/model.safetensors"
    ):
        trained_methods(tmp_path, [0])
    for seed in (0, 1):
        folders = [folder.format(seed=seed) for folder in MAIN_METHODS.values()]
        for folder in [*folders, f"comparison/seed{seed}/simcc"] + ["comparison/seed1/rle"] * (seed == 1):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "model.safetensors").touch()
    (tmp_path / "comparison" / "seed0" / "failed").mkdir()
    (tmp_path / "comparison/seed0/retired").mkdir()
    (tmp_path / "comparison/seed0/retired/model.safetensors").touch()
    names = ["simcc", "rle", "failed"]
    found = trained_methods(tmp_path, [0, 1], compared=names)
    assert {name: sorted(runs) for name, runs in found.items()} == {
        "Heatmap": [0, 1], "Heatmap control": [0, 1], "PCT": [0, 1], "simcc": [0, 1], "rle": [1],
    }  # fmt: skip
    assert list(trained_methods(tmp_path, [0])) == list(MAIN_METHODS)
    monkeypatch.setattr(methods_module, "load_estimator", lambda folder: folder.name)
    assert trained_methods(tmp_path, [1], compared=names)["rle"][1]() == "rle"


def test_the_source_follows_the_data_set(people):
    splits = Splits(people, people, "drawings")
    assert isinstance(occlusion_source(splits, smoke(people=3), dataset="procedural"), ProceduralSource)
    assert len(occlusion_source(splits, smoke(people=3), dataset="coco")) == 3
    with pytest.raises(ValueError, match="profile demo: expected a section 'occlusion'"):
        occlusion_source(splits, load_profile("demo").model_copy(update={"occlusion": None}), dataset="coco")


def test_photographs_need_people_who_are_large_and_seen(people):
    source = PastedSource(people, smoke(people=100), name="drawings")
    assert 5 < len(source) <= len(people)
    assert (source.people.boxes_xywh[:, 2:].max(1) >= 64).all()
    assert ((source.people.visible == 2).sum(1) >= 8).all()
    hidden = people.select(range(4))
    hidden.visible = np.minimum(hidden.visible, 1)
    with pytest.raises(ValueError, match="needs people in at least two images with 8 seen joints"):
        PastedSource(hidden, smoke(people=2), name="drawings")


def test_views_depend_on_seed_person_and_kind_alone(people, pasted):
    source, _, _ = pasted
    again = PastedSource(people, smoke(people=3, shares=SHARES), name="drawings")
    other = PastedSource(people, smoke(people=3, shares=SHARES, seed=9), name="drawings")
    for kind in ("object", "person"):
        views = source.views(1, kind)
        np.testing.assert_array_equal(views[2].image, again.views(1, kind)[2].image)
        assert (views[2].image != other.views(1, kind)[2].image).any()
        assert views[0].image.shape == (128, 128, 3)


def test_predictions_are_in_the_pixels_of_each_view(pasted):
    source, profile, run = pasted
    assert run.methods == ["Here", "There", MEAN_POSE]
    for t, kind in enumerate(run.kinds):
        for level, view in enumerate(source.views(3, kind)):
            np.testing.assert_allclose(run.truth[t, level, 3], view.keypoints_image)
            assert (run.visible[t, level, 3] == view.visible).all()
            assert run.shares[t, level, 3] == view.share
            box = torch.from_numpy(view.box_xywh)[None]
            for name, size, point in (("Here", (64, 64), [10.0, 20.0]), ("There", TALL, [40.0, 5.0])):
                affine = crop_affine(box, size, padding=profile.crop.evaluation_padding)
                place = transform_points(invert_affine(affine), torch.tensor([[point]]))[0, 0].expand(17, 2)
                np.testing.assert_allclose(run.predictions[name][0][t, level, 3], place, atol=1e-3)
    np.testing.assert_array_equal(run.predictions["Here"][0], run.predictions["Here"][1])
    distance = np.linalg.norm(run.predictions["There"][0] - run.truth, axis=-1)
    np.testing.assert_allclose(run.errors("There", 0), distance / run.boxes_xywh[..., 2:].max(-1)[..., None])


def test_level_0_is_the_same_for_every_kind(pasted):
    _, _, run = pasted
    for values in (
        run.truth,
        run.visible,
        run.shares,
        run.predictions[MEAN_POSE][0],
        run.predictions["There"][0],
    ):
        np.testing.assert_array_equal(values[0, 0], values[2, 0])
    assert (run.shares[:, 0] == 0).all()
    assert (run.shares[:, 2] > 0.4).all()


def test_an_estimator_of_other_joints_is_refused(people):
    profile = smoke(people=2, shares=SHARES)
    source = PastedSource(people, profile, name="drawings")
    readers = {"LSP network": {0: corner(1, 1, joints=LSP.num_keypoints)}}
    with pytest.raises(ValueError, match="LSP network: finds 14 joints, the people have 17"):
        run_protocol(source, readers, profile, people, progress=False)


def test_metrics_are_pooled_over_joints_in_per_cent(limits):
    errors = np.zeros((2, 3, 4))
    errors[1] = 0.15
    errors[1, 2, :2] = 0.3
    robustness = Robustness(made_run({"A": {0: errors}}), limits)
    assert float(robustness.interval("A", "error hidden", Part(["truncation"], [0]))) == pytest.approx(15)
    assert float(robustness.interval("A", "error seen", Part(["truncation"], [2]))) == pytest.approx(22.5)
    assert float(robustness.interval("A", "PCK@0.2 hidden", Part(["truncation"], [2]))) == pytest.approx(50)
    assert float(robustness.interval("A", "PCK@0.1 hidden")) == pytest.approx(50)
    assert robustness.interval("A", "error seen", Part(["truncation"], [1])).half_width == pytest.approx(0)
    assert robustness.interval("A", "error seen", Part(["truncation"], [2])).half_width > 3


def test_joints_that_are_never_hidden_have_no_value(limits):
    visible = np.full((2, 3, 4, 17), 2)
    robustness = Robustness(made_run({"A": {0: np.zeros((2, 3, 4))}}, visible), limits)
    assert np.isnan(robustness.interval("A", "error hidden"))
    assert "joint" in robustness.by_joint(["A"])
    assert not len(robustness.by_joint(["A"]))


def test_one_person_alone_has_no_interval(limits):
    """A bootstrap over one person would always draw the same, and call any difference certain."""
    visible = np.full((2, 3, 4, 17), 2)
    visible[:, 1:, 2, 3] = 1
    errors = {"PCT": {0: np.full((2, 3, 4), 0.1)}, "Heatmap control": {0: np.full((2, 3, 4), 0.2)}}
    errors[MEAN_POSE] = {0: np.full((2, 3, 4), 0.3)}
    robustness = Robustness(made_run(errors, visible), limits)
    found = robustness.difference("error hidden", "PCT", "Heatmap control")
    assert found.mean == pytest.approx(-10)
    assert (found.half_width, found.count) == (None, 1)
    assert "There is no interval under objects and truncation." in finding(robustness)


def test_nothing_hidden_is_said_so(limits):
    names = ("PCT", "Heatmap control", MEAN_POSE)
    errors = {name: {0: np.full((2, 3, 4), 0.1)} for name in names}
    run = made_run(errors, np.full((2, 3, 4, 17), 2))
    assert finding(Robustness(run, limits)).startswith("No joint is hidden at these levels")
    assert median_person(run, names[:2]) == 0


def test_several_seeds_give_intervals_over_seeds_and_one_over_people(limits):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.1, 0.3, (2, 3, 9))
    one = Robustness(made_run({"A": {4: base + 0.01}, "B": {4: base}, MEAN_POSE: {0: base}}), limits)
    assert one.seeds == [4]
    assert "bootstrap over the 9 people" in one.interval_note
    assert one.interval("A", "error hidden").half_width > 1
    paired = one.difference("error hidden", "A", "B")
    assert paired.mean == pytest.approx(1)
    assert paired.half_width == pytest.approx(0, abs=1e-9), "differences are paired by person"
    runs = {name: {s: base + shift + 0.001 * s for s in (0, 1, 2)} for name, shift in (("A", 0.02), ("B", 0))}
    three = Robustness(made_run({**runs, MEAN_POSE: {0: base}}), limits)
    assert "3 seeds" in three.interval_note
    assert three.interval("A", "error hidden").count == 3
    assert three.interval(MEAN_POSE, "error hidden").half_width is None
    assert three.difference("error hidden", "A", "B").mean == pytest.approx(2)
    assert three.difference("error hidden", "A", "B").half_width == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="no seed has both 'A' and 'C'"):
        Robustness(made_run({"A": {1: base}, "C": {2: base}}), limits).difference("error seen", "A", "C")


def test_the_bootstrap_has_the_width_of_the_mean(limits):
    values = np.random.default_rng(1).normal(0.3, 0.05, 200)
    robustness = Robustness(made_run({"A": {0: np.tile(values, (2, 3, 1))}}), limits)
    found = robustness.interval("A", "error hidden")
    assert found.half_width == pytest.approx(100 * 1.96 * values.std(ddof=1) / np.sqrt(200), rel=0.08)


def test_implausible_poses_are_counted(limits, people):
    run = made_run({"A": {0: np.zeros((2, 3, 4))}})
    run.predictions["A"][0][:] = people.keypoints_image[0]
    run.predictions["A"][0][1, 2, 0, 9] += 500  # a wrist far away
    robustness = Robustness(run, PoseLimits.of(people, margin=3.0))
    assert float(robustness.interval("A", "implausible", Part(["truncation"], [2]))) == pytest.approx(25)
    assert float(robustness.interval("A", "implausible", Part(["object"]))) == 0


def test_tables_have_a_row_for_everything(limits):
    base = np.full((2, 3, 4), 0.1)
    robustness = Robustness(made_run({"A": {0: base}, MEAN_POSE: {0: base}}), limits)
    table = robustness.table()
    assert len(table) == 2 * 2 * 3
    assert table.wanted.tolist()[:3] == [0, 30, 60]
    rows = json_rows(table)
    json.dumps(rows, allow_nan=False)
    assert rows[1]["error hidden"] == pytest.approx(10)
    assert rows[1]["error hidden half width"] == pytest.approx(0)
    assert rows[0]["kind"] == "objects"
    points = curve_frame(table, ["error hidden", "PCK@0.2 seen"])
    assert len(points) == 2 * len(table)
    assert set(points.metric) == {"error hidden", "PCK@0.2 seen"}
    assert (points.low <= points.value).all()
    overview = summary(robustness)
    assert overview["", "method"].tolist() == ["A", MEAN_POSE]
    assert len(overview.columns) == 1 + 2 + len(METRICS) - 1
    levels = protocol_table(robustness.run)
    assert levels["joints hidden"].tolist() == [4 * 8] * 6
    assert levels["hidden (%)"].tolist() == [0, 30, 60] * 2


def test_joints_are_told_by_name_without_their_side(limits):
    groups = joint_groups(COCO)
    assert groups["head"] == [0, 1, 2, 3, 4]
    assert groups["knee"] == [13, 14]
    assert set(groups["lower body"]) == {11, 12, 13, 14, 15, 16}
    assert {"neck", "head", "ankle"} <= set(joint_groups(LSP))
    run = made_run({"A": {0: np.full((2, 3, 4), 0.1)}})
    run.predictions["A"][0][..., 15, :] += 300  # the left ankle, hidden
    frame = Robustness(run, limits).by_joint(["A"]).set_index("joint")
    assert frame.value["ankle"] > 100 > 20 > frame.value["knee"]
    assert frame.value["lower body"] > frame.value["upper body"]


def test_the_best_others_are_shown_too(limits):
    runs = {
        name: {0: np.full((2, 3, 4), error)} for name, error in zip("ABCDE", (5, 4, 1, 2, 3), strict=True)
    }
    robustness = Robustness(made_run({**runs, MEAN_POSE: runs["A"]}), limits)
    assert list(by_hidden_error(robustness)) == ["C", "D", "E", "B", "A"]
    assert with_best(robustness, ["A", "C"], most=4) == ["A", "C", "D", "E"]
    assert with_best(robustness, ["A", "C"], most=1) == ["A", "C"]


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (-0.03, "PCT keeps them better under objects and truncation."),
        (0.03, "Worse under objects and truncation."),
        (0.0, "The interval includes zero under objects and truncation."),
    ],
)
def test_the_finding_says_what_the_numbers_say(limits, shift, words):
    rng = np.random.default_rng(2)
    base = rng.uniform(0.1, 0.3, (2, 3, 9))
    noise = rng.normal(0, 0.01, base.shape)
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    errors = {"PCT": {0: base + shift + noise}, "Heatmap control": {0: base}, MEAN_POSE: {0: base + 0.1}}
    text = finding(Robustness(made_run(errors), limits))
    assert words in text
    assert f"{100 * base[:, 1:].mean():.1f} % with the heatmap control" in text
    assert "There is one seed: the intervals are over people" in text
    level = 100 * (shift + noise[:, [1, 2]].mean(axis=(0, 2)))
    ends = [re.escape(signed(float(value))) for value in level]
    assert re.search(
        rf"From level 1 to level 2 it goes from {ends[0]} ± .* to {ends[1]} ± .* on hidden", text
    )
    assert re.search(r"Implausible are .* % of the heatmap control: \S+ ± ", text)
    assert "compared heads" not in text
    errors |= {f"frozen-{name}": {0: base + n} for name, n in (("a", 0.02), ("b", 0.01))} | {
        "rival": {0: base}
    }
    text = finding(Robustness(made_run(errors), limits))
    least, largest = (f"frozen-{name}" for name in "ba")
    assert f"Of the 2 compared heads on the same frozen features {least} has the least error" in text
    assert f"{largest} the largest ({100 * (base[:, 1:] + 0.02).mean():.1f} %)" in text
    errors = {name: {0: runs[0], 1: runs[0] + 0.001} for name, runs in errors.items()}
    assert "one seed" not in finding(Robustness(made_run(errors), limits))


def test_who_is_shown_follows_from_the_errors(pasted):
    source, _, run = pasted
    errors = hidden_errors(run, ["Here", "There"], kind="object", level=2)
    hidden = run.visible[0, 2] == 1
    both = (run.errors("Here", 0) * 2 + run.errors("There", 0)) / 3  # two seeds and one
    np.testing.assert_allclose(errors, [both[0, 2, n][hidden[n]].mean() for n in range(5)])
    rows = gallery(run, source, ["Here", "There"], level=2, kinds=["object"], size=48)
    assert [row.label for row in rows] == [
        f"objects, level 2\n{why} error" for why in ("least", "median", "largest")
    ]
    order = np.argsort(errors)
    for row, person in zip(rows, order[[0, 2, 4]], strict=True):
        assert row.image.shape == (48, 48, 3)
        assert list(row.predictions) == ["Here", "There"]
        np.testing.assert_array_equal(row.visible, run.visible[0, 2, person])
        scale = row.length / run.lengths[0, 2, person]
        apart = np.linalg.norm(row.predictions["Here"] - row.truth, axis=1) / scale
        expected = np.linalg.norm(run.predictions["Here"][0][0, 2, person] - run.truth[0, 2, person], axis=1)
        np.testing.assert_allclose(apart, expected, rtol=1e-3)
    rows = gallery(run, source, ["There"], size=32)
    assert len(rows) == 9
    assert rows[0].label.startswith("objects, level 1"), "the middle one"


def test_strips_show_one_person_at_every_level(pasted):
    source, _, run = pasted
    person = median_person(run, ["Here", "There"])
    assert 0 <= person < 5
    strip = protocol_strip(run, source, person, size=32)
    assert [row.title for row in strip] == ["objects", "other people", "truncation"]
    assert [cell.label for cell in strip[1].cells] == ["level 0: 0 %", "level 1: 30 %", "level 2: 60 %"]
    rows = method_strip(run, source, person, ["There"], kind="truncation", size=32)
    assert [(row.title, row.method) for row in rows] == [("Ground truth", None), ("There", "There")]
    shares = run.shares[2, :, person]
    assert [cell.label for cell in rows[1].cells] == [
        f"level {n}: {100 * s:.0f} %" for n, s in enumerate(shares)
    ]


def test_a_reader_chooses_kind_method_and_level_of_one_person(pasted):
    source, _, run = pasted
    explorer = level_walks(run, source, 3, ["Here", "There"], size=32)
    assert list(explorer.poses) == ["objects", "other people", "truncation"]
    for kind, walks in enumerate(explorer.poses.values()):
        assert [walk.name for walk in walks] == ["Here", "There"]
        assert walks[0].entries[0] == "of none: the true pose"
        assert walks[0].entries[2] == f"1: {100 * run.shares[kind, 1, 3]:.0f} %"
        known = run.visible[kind, 0, 3] > 0
        for walk in walks:
            apart = np.linalg.norm(walk.keypoints[1:] - walk.keypoints[0], axis=-1)[:, known]  # [L, K]
            expected = 100 * run.errors(walk.name, 0)[kind, :, 3][:, known]
            np.testing.assert_allclose(apart, expected, rtol=1e-3, atol=1e-3)
    assert all(behind.images.shape == (3, 32, 32, 3) for behind in explorer.backdrops.values())


def test_procedural_people_are_rendered_by_the_profile():
    profile = smoke(people=2, shares=SHARES, kinds=["object"])
    source = ProceduralSource(profile)
    assert len(source) == 2
    views = source.views(1, "object")
    assert len(views) == 3
    assert views[0].image.shape == (128, 128, 3)
    other = ProceduralSource(smoke(people=2, shares=SHARES, seed=8)).views(1, "object")
    assert (views[0].image != other[0].image).any()


def test_real_photographs(shared):
    root = shared / "data" / "coco-mini"
    profile = smoke(people=2, shares=SHARES)
    splits = load_splits("coco", profile, root=str(root))
    source = occlusion_source(splits, profile, dataset="coco")
    run = run_protocol(source, {"Here": {0: corner(3, 4)}}, profile, splits.train, progress=False)
    assert np.isfinite(run.errors("Here", 0)).all()
    assert abs(run.shares.mean(axis=2) - SHARES).max() < 0.1
