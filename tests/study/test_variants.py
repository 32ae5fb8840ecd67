"""Variants side by side: what fails is shown, what is summarised is right."""

import json

import numpy as np
import pandas as pd
import pytest

from pctlib.reporting.run_card import RunCard
from pctlib.study.variants import check_variant, summarise, train_variants
from pctlib.workflow.seals import damaged, is_sealed


def train(variant, seed, folder):
    if variant == "broken" and seed == 1:
        raise ValueError("no such thing")
    return {"AP": {"plain": 0.5, "broken": 0.7}[variant] + 0.1 * seed}


def test_a_failing_variant_is_written_down_and_the_others_go_on(tmp_path):
    frame = train_variants(train, ["plain", "broken"], seeds=[0, 1], runs_dir=tmp_path, progress=False)
    assert frame["AP"].tolist()[:3] == pytest.approx([0.5, 0.7, 0.6])
    assert np.isnan(frame["AP"].iloc[3])
    assert frame["failed"].iloc[3] == "ValueError: no such thing"
    saved = json.loads((tmp_path / "seed1" / "broken" / "metrics.json").read_text())
    assert saved == {"failed": "ValueError: no such thing"}
    table = summarise(frame, ["AP"])
    assert table["variant"].tolist() == ["plain", "broken"]
    assert [float(v) for v in table["OKS-AP (%)"]] == pytest.approx([55, 70])
    assert table["failed runs"].tolist() == [0, 1]


def test_a_failure_leaves_no_result_of_an_earlier_success(tmp_path):
    def train(variant, seed, folder):
        for name in ("model.safetensors", "predictions.npz", "history.jsonl"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        if variant == "broken":
            raise RuntimeError("out of memory")
        return {"AP": 0.5}

    train_variants(train, ["plain", "broken"], seeds=[0], runs_dir=tmp_path, progress=False)
    kept = {
        name: sorted(p.name for p in (tmp_path / "seed0" / name).iterdir()) for name in ("plain", "broken")
    }
    assert kept["plain"] == ["history.jsonl", "metrics.json", "model.safetensors", "predictions.npz"]
    assert kept["broken"] == ["history.jsonl", "metrics.json"]


def card(settings):
    return lambda variant, seed: RunCard("smoke", seed, "procedural", settings=f"{settings}-{variant}-{seed}")


def test_a_run_of_the_same_settings_is_read_back(tmp_path):
    calls = []

    def train(variant, seed, folder):
        calls.append((variant, seed))
        return {"AP": 0.5 + seed, "NME": float("nan"), "kind": "frozen"}

    def frame(settings):
        options = {"seeds": [0, 1], "runs_dir": tmp_path, "progress": False}
        return train_variants(train, ["a, b"], card=card(settings), **options)

    first = frame("x")
    pd.testing.assert_frame_equal(frame("x"), first)
    assert calls == [("a, b", 0), ("a, b", 1)]
    frame("y")
    assert len(calls) == 4
    (tmp_path / "seed1" / "a-b" / "run_card.json").write_text("{")  # damaged
    frame("y")
    assert calls[4:] == [("a, b", 1)]


def test_a_damaged_run_is_not_read_back_but_made_again(tmp_path):
    def train(variant, seed, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        return {"AP": 0.5}

    def frame():
        return train_variants(train, ["a"], card=card("x"), seeds=[0], runs_dir=tmp_path, progress=False)

    frame()
    folder = tmp_path / "seed0" / "a"
    assert is_sealed(folder)
    (folder / "metrics.json").write_text('{"AP": 0.9}')  # by hand
    assert frame()["AP"].tolist() == [0.5]
    assert (tmp_path / "seed0" / "a.damaged" / "metrics.json").read_text() == '{"AP": 0.9}'
    (folder / "model.safetensors").write_bytes(b"weighte")
    assert frame()["AP"].tolist() == [0.5]
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert damaged(folder) == []


def test_a_failed_run_is_tried_again_and_a_killed_one_has_no_card(tmp_path):
    options = {"seeds": [1], "runs_dir": tmp_path, "progress": False, "all_may_fail": True}
    for _ in range(2):
        frame = train_variants(train, ["broken"], card=card("x"), **options)
        assert frame["failed"].tolist() == ["ValueError: no such thing"]

    def killed(variant, seed, folder):
        assert not (folder / "run_card.json").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variants(killed, ["broken"], card=card("x"), **options)
    assert not (tmp_path / "seed1" / "broken" / "run_card.json").exists()


def test_unknown_variants_are_refused_with_those_there_are():
    check_variant("plain", ["plain", "broken"])
    with pytest.raises(ValueError, match=r"variant: expected one of \['plain', 'broken'\], got 'plan'"):
        check_variant("plan", ("plain", "broken"))


def test_nothing_but_failures_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="all 1 runs failed, the last one with: ValueError: no such"):
        train_variants(train, ["broken"], seeds=[1], runs_dir=tmp_path, progress=False)


def test_a_page_with_more_to_show_goes_on_with_nothing_but_failures(tmp_path):
    options = {"seeds": [1], "runs_dir": tmp_path, "progress": False}
    frame = train_variants(train, ["broken"], all_may_fail=True, **options)
    assert frame["failed"].tolist() == ["ValueError: no such thing"]


def test_an_error_of_the_program_is_not_swallowed(tmp_path):
    with pytest.raises(KeyError):
        train_variants(train, ["unheard of"], seeds=[0], runs_dir=tmp_path, progress=False)
