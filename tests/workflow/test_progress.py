"""Where a study stands, in words: names of the report's pages, estimates, failures with their last words."""

import io
import json

import pytest
from rich.console import Console

from pctlib.profiles.profile import load_profile
from pctlib.workflow.durations import known_durations
from pctlib.workflow.follow import Again, Failed, Finished, Planned, Started
from pctlib.workflow.layout import StudyLayout
from pctlib.workflow.progress import Progress, clock_time, spoken

JOBS = {"people": 1, "train_tokenizer": 1, "tokenizer": 1, "first_index": 1, "grid": 2}


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def told(tmp_path):
    """Return a function that gives a progress without a terminal, its clock, and what it has said."""

    def make(expected=(), seeds=(0,), cores=2, terminal=False):
        words, clock = io.StringIO(), Clock()
        layout = StudyLayout(load_profile("smoke", seeds=list(seeds)))
        console = Console(file=words, width=120, force_terminal=terminal, soft_wrap=True, highlight=False)
        index = tmp_path / "index.html"
        progress = Progress(layout, cores, index, console, clock)
        progress.expected = dict(expected)
        return progress, clock, lambda: words.getvalue().splitlines()

    return make


def test_a_line_a_job_where_there_is_no_terminal(told, tmp_path):
    progress, clock, words = told({"people": 20, "train_tokenizer": 60})
    with progress:
        assert progress.line() == "looking for what is to be done"
        progress.take(Planned({"people": 1, "train_tokenizer": 1}))
        progress.take(Started(1, "people", threads=2))
        clock.now = 20.0  # two cores: twice as much as expected
        progress.take(Finished(1))
        progress.take(Started(2, "train_tokenizer", {"seed": "0"}))
        clock.now = 30.0
        assert progress.line() == ("1 of 2 jobs done · now Tokenizer (training) 0:10 · 0:30, about 50 s left")
        progress.take(Finished(2))
    assert words() == [
        "0 of 2 jobs done · 0:00, about 60 s left",
        "people took 20 s; 1 of 2 jobs done · 0:20, about 60 s left",
        "Tokenizer (training) took 10 s; 2 of 2 jobs done · 0:30",
    ]
    assert json.loads((tmp_path / "durations.json").read_text()) == {"people": 40, "train_tokenizer": 10}


def test_the_guess_is_the_work_over_the_cores_and_at_least_the_longest_job(told):
    progress, clock, _ = told({"people": 10, "train_tokenizer": 100, "tokenizer": 10, "grid": 30})
    progress.take(Planned({"train_tokenizer": 1, "tokenizer": 1, "grid": 2}))
    assert progress.left() == pytest.approx(100)
    progress.cores = 1
    assert progress.left() == pytest.approx(100 + 10 + 60)
    progress.cores = 2
    progress.take(Started(1, "train_tokenizer"))
    assert progress.left() == pytest.approx(100)
    clock.now = 70
    assert progress.left() == pytest.approx((30 + 10 + 60) / 2)
    clock.now = 500
    assert progress.left() == pytest.approx((10 + 60) / 2), "what is overdue ends now"
    progress.take(Finished(1))  # five times as long as thought: so is the rest
    assert progress.left() == pytest.approx(5 * (10 + 60) / 2)


def test_without_any_time_there_is_no_guess_and_one_of_its_own_is_learned(told, tmp_path):
    progress, clock, _ = told()
    progress.take(Planned({"grid": 3}))
    assert progress.left() is None
    assert progress.line() == "0 of 3 jobs done · 0:00"
    with progress:
        progress.take(Started(1, "grid", {"seed": "0"}))
        clock.now = 8
        progress.take(Finished(1))
    assert progress.left() == pytest.approx(8)
    again = Progress(progress.layout, 2, tmp_path / "index.html")
    assert again.expected["grid"] == 8


def test_the_first_results_and_failures_have_lines_of_their_own(told, tmp_path, monkeypatch):
    progress, clock, words = told(seeds=(0, 1))
    monkeypatch.setenv("PCTLIB_ROOT", str(tmp_path))
    (tmp_path / "workflow" / "sizes").mkdir(parents=True)
    (tmp_path / "page.log").write_text("12%|#\r100%|##\nValueError: no memory\n\n")
    progress.take(Planned({"first_index": 1, "train_grid": 1}))
    progress.take(Started(7, "first_index"))
    progress.take(Started(8, "train_grid", {"seed": "1", "variant": "v8"}, "page.log"))
    clock.now = 125
    progress.take(Finished(7))
    progress.take(Failed(8))
    progress.take(Again(8))
    progress.take(Started(8, "train_grid", {"seed": "1", "variant": "v8"}, "page.log"))
    assert not progress.failed
    progress.take(Failed(8))
    name = "Codebook size and tokens (training, v8, seed 1)"
    assert words()[1:] == [
        f"first results after 2 min: {(tmp_path / 'index.html').as_uri()}",
        f"failed: {name}: ValueError: no memory (its log: page.log)",
        f"once more: {name}",
        f"failed: {name}: ValueError: no memory (its log: page.log)",
    ]
    assert progress.line().startswith("1 of 2 jobs done · 1 failed · 2:05")


def test_a_terminal_has_one_line_that_is_taken_away(told):
    progress, _, words = told({"grid": 5}, terminal=True)
    with progress:
        progress.take(Planned(JOBS))
        progress.take(Started(1, "people"))
        progress.take(Finished(1))
    text = "\n".join(words())
    assert "looking for what is to be done" in text or "jobs done" in text
    assert "took" not in text
    assert "\x1b[2K" in text, "the line is erased"


@pytest.mark.parametrize(
    ("seconds", "short", "words"),
    [
        (7.4, "0:07", "7 s"),
        (98, "1:38", "98 s"),
        (125, "2:05", "2 min"),
        (750, "12:30", "12 min"),
        (9000, "2:30:00", "2.5 h"),
    ],
)
def test_times_are_read_at_a_glance(seconds, short, words):
    assert (clock_time(seconds), spoken(seconds)) == (short, words)


def test_damaged_or_missing_times_only_cost_the_guess(told, tmp_path):
    (tmp_path / "durations.json").write_text("{")
    progress, _, _ = told()
    assert progress.left() is None
    assert known_durations("no such study") == {}
