"""How a study was made, from its cards: starts, minutes, pauses left out, and who read whom."""

import pandas as pd
import pytest

from pctlib.profiles.profile import load_profile
from pctlib.reporting.run_card import RunCard
from pctlib.study.pages.results.made import steps_frame, steps_read
from pctlib.workflow.layout import StudyLayout


def card(started, **seconds):
    return RunCard("smoke", 0, "procedural", started=started, wall_times=seconds)


@pytest.fixture
def made(tmp_path):
    """Return a layout, cards of four pages, and the folder with the card of a job ahead of one."""
    layout = StudyLayout(load_profile("smoke"))
    job = tmp_path / "tokenizer-seed0" / layout.jobs(layout.steps[1], 0)[0]
    card("2026-01-01T10:01:00+00:00", training=60).save(job)
    cards = {
        ("data", None): card("2026-01-01T10:00:00+00:00", reading=30),
        ("tokenizer", 0): card("2026-01-01T10:02:00+00:00", prediction=30, other=30),
        ("anatomy", None): card("2026-01-02T10:00:00+00:00", draws=60),
        ("grid", None): card(""),
    }
    return layout, tmp_path, cards


def test_steps_are_in_order_without_the_night_between(made):
    layout, folder, cards = made
    frame = steps_frame(layout, folder, cards)
    assert frame["step"].tolist() == ["Data", "Tokenizer: training", "Tokenizer", "Token anatomy"]
    assert frame["start"].tolist() == pytest.approx([0, 1, 2, 3.5])
    assert frame["minutes"].tolist() == pytest.approx([0.5, 1, 1, 1])
    assert frame["main"].tolist() == [True, True, True, False]


def test_lines_lead_from_the_training_that_is_read(made):
    layout, folder, cards = made
    edges = steps_read(layout, steps_frame(layout, folder, cards))
    assert edges == [("Tokenizer: training", "Tokenizer"), ("Tokenizer: training", "Token anatomy")]


def test_seeds_read_their_own(tmp_path):
    layout = StudyLayout(load_profile("smoke", seeds=[0, 1]))
    steps = pd.DataFrame({"step": ["Tokenizer, seed 0", "Tokenizer, seed 1", "Token classifier, seed 1"]})
    assert steps_read(layout, steps) == [("Tokenizer, seed 1", "Token classifier, seed 1")]


def test_without_times_there_is_nothing(made, tmp_path):
    layout, _, cards = made
    assert steps_frame(layout, tmp_path / "nowhere", {("grid", None): cards["grid", None]}).empty
