"""Seals: what is done to a file of a finished run is found, and nothing else is."""

import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pctlib.workflow.seals import damaged, is_sealed, seal, set_aside, unseal


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "tokenizer-seed0"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.json").write_text('{"AP": 0.5}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    (folder / "checkpoints" / "step-000000010.safetensors").write_bytes(b"abc")
    (tmp_path / "01_tokenizer-seed0.html").write_text("<p>0.5")
    seal(folder, beside=[tmp_path / "01_tokenizer-seed0.html"])
    return folder


def names(folder):
    return {os.path.relpath(path, folder): reason for path, reason in damaged(folder)}


def test_a_seal_holds_sizes_and_hashes_of_every_file(run):
    files = json.loads((run / "seal.json").read_text())["files"]
    assert {name: entry["size"] for name, entry in files.items()} == {
        "metrics.json": 11,
        "model.safetensors": 256,
        "checkpoints/step-000000010.safetensors": 3,
        "../01_tokenizer-seed0.html": 6,
    }
    for name, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((run / name).read_bytes()).hexdigest(), name
    assert damaged(run) == []


def test_each_kind_of_damage_is_named(run):
    (run / "metrics.json").write_text('{"AP": 0.9}')  # a metric edited by hand, to the same length
    (run / "model.safetensors").write_bytes(bytes(range(200)))
    (run / "checkpoints" / "step-000000010.safetensors").unlink()
    (run.parent / "01_tokenizer-seed0.html").write_text("<p>0.51")
    assert names(run) == {
        "metrics.json": "changed",
        "model.safetensors": "cut",
        "checkpoints/step-000000010.safetensors": "missing",
        "../01_tokenizer-seed0.html": "changed",
    }


@given(place=st.integers(0, 255), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_though_the_time_of_writing_is_set_back(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("run")
    path = folder / "model.safetensors"
    content = bytearray(range(256))
    path.write_bytes(content)
    seal(folder)
    before = path.stat()
    content[place] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names(folder) == {"model.safetensors": "changed"}


def test_a_file_that_was_touched_or_copied_is_the_same_and_read_once(run, monkeypatch):
    path = run / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    (run / "metrics.json").touch()
    assert damaged(run) == []
    monkeypatch.setattr(hashlib, "file_digest", None)  # nothing is read any more
    assert damaged(run) == []


def test_a_seal_in_a_folder_that_can_only_be_read_still_serves(run, monkeypatch):
    (run / "metrics.json").touch()

    def refuse(path, *_):
        raise PermissionError(f"cannot write {path}")

    monkeypatch.setattr("pctlib.workflow.seals.write_json", refuse)
    assert damaged(run) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}', '{"files": {}, "sha256": "0"}'])
def test_a_damaged_seal_is_named(run, text):
    (run / "seal.json").write_text(text)
    assert names(run) == {"seal.json": "changed"}


def test_an_edited_seal_is_named(run):
    text = (run / "seal.json").read_text()
    (run / "seal.json").write_text(text.replace('"size": 11', '"size": 12'))
    assert names(run) == {"seal.json": "changed"}


def test_a_file_that_the_disk_cannot_read_is_named(run, monkeypatch):
    (run / "metrics.json").touch()

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", fail)
    assert names(run) == {"metrics.json": "unreadable"}


def test_what_is_made_again_has_no_seal(run):
    unseal(run)
    unseal(run)
    assert not is_sealed(run)
    (run / "metrics.json").unlink()
    assert damaged(run) == []


def test_what_is_not_the_run_is_left_out(tmp_path):
    variant = tmp_path / "points" / "seed0" / "v8-m4"
    others = [
        "page.log",
        "trained.tsv",
        ".metrics.json.x.tmp",
        "checkpoints.replaced/step-000000001.safetensors",
    ]
    for name in ["metrics.json", "trained/seed0/all.json", "control/model.json", *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    variant.mkdir(parents=True)
    (variant / "metrics.json").write_text("{}")
    seal(variant)
    seal(tmp_path, beside=[tmp_path / "no.html"])
    files = json.loads((tmp_path / "seal.json").read_text())["files"]
    assert set(files) == {"metrics.json", "trained/seed0/all.json", "control/model.json"}


def test_damaged_files_are_kept_aside_and_never_replaced(run):
    page = run.parent / "01_tokenizer-seed0.html"
    first = set_aside(run, [run / "metrics.json", run / "checkpoints" / "step-000000010.safetensors", page])
    assert first == run.parent / "tokenizer-seed0.damaged"
    kept = {str(path.relative_to(first)) for path in first.rglob("*") if path.is_file()}
    assert kept == {"metrics.json", "checkpoints/step-000000010.safetensors", "01_tokenizer-seed0.html"}
    assert (first / "metrics.json").read_text() == '{"AP": 0.5}'
    assert not is_sealed(run)
    (run / "metrics.json").write_text("{}")
    second = set_aside(run, [run / "metrics.json", run / "not-there.json"])
    assert second == run.parent / "tokenizer-seed0.damaged-2"
    assert (first / "metrics.json").read_text() == '{"AP": 0.5}'
    assert [path.name for path in second.iterdir()] == ["metrics.json"]


def test_nothing_left_nothing_is_kept(run):
    assert not set_aside(run, [run / "gone.json"]).exists()
