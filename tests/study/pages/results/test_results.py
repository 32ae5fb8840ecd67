"""The index: numbers from the runs, intervals where there are several seeds, times of all jobs."""

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.io import write_json
from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import RunCard
from pctlib.reporting.tables import ONE_SEED, Interval
from pctlib.study.methods import MAIN_METHODS, MEAN_POSE
from pctlib.study.pages.results.cards import joined_card, read_cards
from pctlib.study.pages.results.index import cards, findings_text, summary
from pctlib.study.pages.results.read import StudyResults
from pctlib.study.predictions import Predictions
from pctlib.workflow.layout import StudyLayout, run_name
from pctlib.workflow.pages import page_named
from pctlib.workflow.seals import seal

T_95 = 12.7062  # Student's t, one degree of freedom, two-sided 95 %
SEEN = {"Heatmap": 0.8, "Heatmap control": 0.9, "PCT": 0.85}


def metrics_of(seen, hidden, AP=0.5):
    names = ("PCK@0.1 seen", "PCK@0.1 hidden", "NME seen", "NME hidden", "AP")
    return dict(zip(names, (seen, hidden, 0.1, 0.2, AP), strict=True))


@pytest.fixture
def made(tmp_path):
    """Return a function that gives results of two seeds, or with other values of the profile or fields."""
    people = make_people(tmp_path, 6)
    truth = Predictions(people.keypoints_image, np.ones((len(people), 17), np.float32))

    def results(dataset="procedural", seeds=(0, 1), changes=None, **fields):
        layout = StudyLayout(load_profile("smoke", seeds=list(seeds), **(changes or {})), dataset=dataset)
        metrics = {
            name: [metrics_of(seen + s / 100, seen - (0.1 if name == "PCT" else 0.2)) for s in seeds]
            for name, seen in SEEN.items()
        }
        values = {
            "layout": layout,
            "study_dir": tmp_path,
            "people": people,
            "metrics": {MEAN_POSE: [metrics_of(0.7, 0.7)], **metrics},
            "predictions": dict.fromkeys([MEAN_POSE, *MAIN_METHODS], truth),
            "tokenizer": [{"AP": 0.9, "error px": 1.0}, {"AP": 0.8, "error px": 3.0}][: len(seeds)],
            "parts": {
                "grid": {"finding": f"More helps. {ONE_SEED}"},
                "choices": {"headline": "A", "finding": "B"},
            },
            "costs": {name: {"parameters (M)": 1.0, "GFLOPs": 2.0, "images/s": 3.0} for name in MAIN_METHODS},
            "measured_on": "cpu (X), 3 threads",
            "run_card": RunCard("smoke", 0, dataset, {"training people": 150000, "training images": 9}),
        }
        return StudyResults(**values | fields)

    return results


def test_rows_are_means_with_intervals_over_the_seeds(made):
    table = made().table()
    row = table.frame.set_index("method").loc["PCT"]
    column = next(name for name in table.frame if "PCK" in name and "seen" in name)
    assert isinstance(row[column], Interval)
    assert row[column].mean == pytest.approx(85.5)
    assert row[column].half_width == pytest.approx(100 * T_95 * 0.005, rel=1e-4)
    assert table.caption.endswith(
        "6 validation people, mean and 95 % interval over the seeds 0, 1; flip test."
    )


def test_costs_are_those_measured_here(made):
    table = made().cost_table()
    assert table.frame["method"].tolist() == list(MAIN_METHODS)
    assert table.frame["GFLOPs"].tolist() == [2, 2, 2]
    assert table.caption.endswith("speed of prediction: cpu (X), 3 threads, without flip test.")


@pytest.mark.parametrize(
    ("heatmap", "heads", "words"),
    [
        (False, False, "; no flip test."),
        (True, False, "; flip test of the whole network alone."),
        (False, True, "; flip test of the heads alone."),
    ],
)
def test_the_caption_says_what_was_measured_with_mirrored_images(made, heatmap, heads, words):
    changes = {"heatmap__flip_test": heatmap, "classifier__flip_test": heads}
    assert words in made(changes=changes).table().caption


def test_the_abstract_has_the_paired_difference(made):
    numbers = summary(made())
    assert numbers["reconstruction_ap"] == pytest.approx(0.85)
    assert numbers["reconstruction_px"] == pytest.approx(2)
    assert (numbers["pct_seen"], numbers["control_hidden"]) == pytest.approx((85.5, 70))
    assert numbers["difference"] == (
        " PCT minus control: −5.00 ± 0.00 points on seen joints and +5.00 ± 0.00 points on hidden joints "
        "(95 % intervals over 2 seeds)."
    )
    assert "2 seeds" in numbers["limits"]
    one = summary(made(seeds=[0]))
    assert one["difference"] == ""
    assert "one seed, so no interval" in one["limits"]


def test_limits_fit_every_data_set(made):
    assert "procedural people in ground-truth boxes" in summary(made())["limits"]
    coco = summary(made(dataset="coco"))
    assert coco["source"] == "COCO"
    assert "of people in ground-truth boxes" in coco["limits"]


def test_people_without_hidden_joints_leave_out_what_is_unknown(made):
    metrics = {name: [metrics_of(0.8, np.nan, np.nan)] * 2 for name in (MEAN_POSE, *MAIN_METHODS)}
    results = made(metrics=metrics)
    assert set(results.visibility_frame()["joints"]) == {"seen"}
    assert summary(results)["difference"] == (
        " PCT minus control: 0.00 ± 0.00 points on seen joints (95 % intervals over 2 seeds)."
    )
    assert len(results.table().frame) == 4
    assert "published" in results.published_table().name


def test_bars_have_the_ends_of_their_intervals(made):
    frame = made().visibility_frame().set_index(["method", "joints"])
    assert frame.loc[("PCT", "seen"), ["PCK@0.1", "low", "high"]].tolist() == pytest.approx(
        [0.855, 0.855 - T_95 * 0.005, 0.855 + T_95 * 0.005], rel=1e-4
    )
    assert frame.loc[(MEAN_POSE, "seen"), ["low", "high"]].tolist() == [0.7, 0.7]


def test_findings_are_those_of_the_pages(made):
    several, one = findings_text(made()), findings_text(made(seeds=[0]))
    assert "- **[Codebook size and tokens](04_grid.html).** More helps." in several
    assert several.splitlines()[1].endswith("** A"), "the headline where there is one"
    assert several.count(ONE_SEED) == 0
    assert one.count(ONE_SEED) == 1
    assert findings_text(made(parts={})) == "Only the main comparison ran in this profile."


def test_a_card_a_page_with_its_question(made):
    found = {card.title: card for card in cards(made(seeds=[0, 1]))}
    assert len(found) == len({name for name, _ in made().layout.runs()})
    assert found["Tokenizer"].file == "01_tokenizer-seed0.html"
    assert found["Codebook size and tokens"].question == page_named("grid").question
    assert found["Codebook size and tokens"].finding == "More helps."
    assert found["Data"].finding == ""


def test_measured_and_published_numbers_stand_apart(made):
    groups = {column[0] for column in made().published_table().frame.columns if isinstance(column, tuple)}
    assert {"published", "measured"} <= groups


def write_cards(layout, folder):
    """Write the card of every run of a study, and of one job ahead of them."""
    for step, seed in layout.runs():
        page = page_named(step)
        card = RunCard("smoke", 0, "procedural", {"training people": 5}, wall_times={"reading": 1.0})
        card.settings = layout.settings(page, seed)
        card.save(folder / run_name(step, seed) / "run_card.json")
        for one in layout.profile.seeds if step == "masked" else ():
            card.wall_times = {"pretraining": 100.0 + one, "poses": 5.0}
            for job in layout.jobs(page, one):
                card.save(folder / step / job)


def test_the_card_counts_what_was_trained_ahead(tmp_path):
    layout = StudyLayout(load_profile("smoke", seeds=[0, 1]))
    write_cards(layout, tmp_path)
    card = joined_card(layout, tmp_path, read_cards(layout, tmp_path))
    assert card.seed == "0, 1"
    assert [card.wall_times[f"masked, seed {seed}: jobs ahead"] for seed in (0, 1)] == [105, 106]
    assert card.wall_times["masked: reading"] == card.wall_times["tokenizer, seed 1: reading"] == 1
    assert "choices, seed 0: jobs ahead" not in card.wall_times


def test_a_damaged_run_is_refused_and_named(tmp_path):
    layout = StudyLayout(load_profile("smoke"))
    write_cards(layout, tmp_path)
    metrics = write_json(tmp_path / "masked" / "metrics.json", {"AP": 0.5})
    seal(metrics.parent)
    assert len(read_cards(layout, tmp_path)) == len(layout.runs())
    write_json(metrics, {"AP": 0.9})
    with pytest.raises(ValueError, match=r"masked: damaged since it was made: .*masked.metrics\.json"):
        read_cards(layout, tmp_path)


def test_a_run_by_other_settings_is_refused_and_named(tmp_path):
    layout = StudyLayout(load_profile("smoke"))
    write_cards(layout, tmp_path)
    assert len(read_cards(layout, tmp_path)) == len(layout.runs())
    other = StudyLayout(load_profile("smoke", masked__vitpose__depth=1))
    with pytest.raises(ValueError, match="masked: this run was made by other settings"):
        read_cards(other, tmp_path)
    (tmp_path / "heatmap-seed0" / "run_card.json").unlink()
    with pytest.raises(FileNotFoundError, match="heatmap-seed0"):
        read_cards(layout, tmp_path)


def test_so_far_what_is_not_made_yet_is_left_out(tmp_path):
    layout = StudyLayout(load_profile("smoke"))
    write_cards(layout, tmp_path)
    main = layout.main_runs()
    assert main == [("data", None), ("tokenizer", 0), ("heatmap", 0), ("classifier", 0)]
    assert list(read_cards(layout, tmp_path, so_far=True)) == main, "no other page has metrics"
    for step in ("grid", "masked"):
        write_json(tmp_path / step / "metrics.json", {})
    other = StudyLayout(load_profile("smoke", masked__vitpose__depth=1))
    assert [step for step, _ in read_cards(other, tmp_path, so_far=True)][4:] == ["grid"], "one is outdated"
    (tmp_path / "heatmap-seed0" / "run_card.json").unlink()
    with pytest.raises(FileNotFoundError, match="heatmap-seed0"):
        read_cards(layout, tmp_path, so_far=True)


def test_cards_say_which_pages_are_to_come(made):
    results = made(to_come=(("masked", None), ("tokenizer", 1)))
    assert [card.file for card in cards(results) if card.to_come] == ["09_masked.html"], "one seed is there"
