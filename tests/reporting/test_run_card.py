import subprocess
import time

import pytest
import torch

from pctlib.reporting.run_card import RunCard, collect, format_seconds, git_revision, load_run_card


def git(folder, *arguments):
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_card_survives_a_round_trip(tmp_path):
    card = collect(profile="smoke", seed=3, data="procedural", root=tmp_path)
    card.counts = {"skipped images": 2}
    with card.timed("train"):
        time.sleep(0.01)
    assert load_run_card(card.save(tmp_path / "run_card.json")) == card
    assert card.wall_times["train"] >= 0.01
    assert card.threads == torch.get_num_threads()
    assert card.versions["torch"] == torch.__version__.partition("+")[0]
    assert card.device.startswith("cpu (")
    assert card.started.endswith("+00:00")


def test_a_card_of_several_seeds_names_them(tmp_path):
    card = collect(profile="smoke", seed=[0, 2], data="procedural", root=tmp_path)
    assert card.seed == "0, 2"
    assert collect(profile="smoke", seed=[4], data="procedural", root=tmp_path).seed == "4"


def test_times_of_a_step_add_up_even_if_it_fails():
    card = RunCard("smoke", 0, "none", wall_times={"train": 5.0})
    with pytest.raises(KeyError), card.timed("train"):
        raise KeyError("x")
    assert card.wall_times["train"] > 5.0


def test_every_fact_is_in_the_table():
    card = RunCard(
        "smoke",
        7,
        "coco",
        {"skipped images": 2},
        "abc123",
        {"torch": "2.9"},
        "cpu (X)",
        4,
        "2026",
        {"train": 75.0},
    )
    facts = dict(card.table().frame.itertuples(index=False))
    assert facts == {
        "Profile": "smoke",
        "Seed": "7",
        "Data": "coco",
        "Data: skipped images": "2",
        "Code revision": "abc123",
        "Device": "cpu (X)",
        "CPU threads": "4",
        "Started": "2026",
        "Wall time: train": "1 min 15 s",
        "Versions": "torch 2.9",
    }
    assert "Given." in card.table("Given.").html()


def test_revision_notes_changes_and_the_lack_of_git(tmp_path, monkeypatch):
    assert git_revision(tmp_path) == "unknown (not a git checkout)"
    git(tmp_path, "init")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    revision = git_revision(tmp_path)
    assert len(revision) == 12
    (tmp_path / "file").write_text("b")
    assert git_revision(tmp_path) == f"{revision}+changes"
    monkeypatch.setenv("PATH", "")
    assert git_revision(tmp_path) == "unknown (not a git checkout)"


def test_a_file_that_is_no_card_names_its_fields(tmp_path):
    (tmp_path / "card.json").write_text('{"profile": "demo", "colour": 1}')
    with pytest.raises(ValueError, match=r"card\.json: not a run card.*'colour'.*'seed'"):
        load_run_card(tmp_path / "card.json")
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(ValueError, match="list"):
        load_run_card(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.2, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text
