"""A share of the damaged files, and those once answered wrongly; `make test-fuzz` runs thousands."""

import random

import pytest

from faults.cases import CASES
from faults.mutations import damaged_bytes, damaged_value
from faults.watch import BYTES, Case, faults_of

SHARE = 20
FAILED = {
    "h36m": (7, 12, 22, 25, 36, 49, 53, 548, 1533, 1812, 1942, 2983),
    "h36m of VideoPose3D": (1, 12, 18, 26, 42, 45, 70, 681, 793),
    "RTMPose": (99,),
    "PCT tokenizer": (145, 417),
    "ViTPose": (792, 1749),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_damaged_files_are_read_or_refused_by_name(tmp_path, case):
    seeds = [*range(SHARE), *FAILED.get(case.name, ())]
    faults, counts = faults_of(case, seeds, tmp_path / "files")
    assert faults == []
    assert sum(counts.values()) == len(seeds)
    assert counts["refused"] > 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_seed_makes_the_same_file_again(tmp_path, case):
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        case.write(random.Random(5), tmp_path / name)
        contents.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_what_is_sound_stays_as_it_was():
    value = {"images": [{"id": 1}, {"id": 2}], "n": 3}
    changed = [damaged_value(value, random.Random(seed)) for seed in range(50)]
    assert value == {"images": [{"id": 1}, {"id": 2}], "n": 3}
    assert sum(entry != value for entry in changed) > 40
    assert sum(damaged_bytes(b"x" * 100, random.Random(seed)) != b"x" * 100 for seed in range(50)) > 40


def _raises(error):
    def read(folder):
        raise error(folder)

    return read


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (_raises(lambda folder: ValueError("odd")), "names no file: ValueError: odd"),
        (_raises(lambda folder: KeyError("x")), "KeyError: 'x'"),
        (_raises(lambda folder: SystemExit(3)), "SystemExit: 3"),
        (lambda folder: bytearray(2 * BYTES), "MemoryError: "),
        (lambda folder: __import__("os")._exit(7), "the process ended with 7"),
        (lambda folder: (folder / "a").write_text("x"), None),
        (_raises(lambda folder: ValueError(f"{folder}/a: odd")), None),
    ],
)
def test_wrong_answers_are_found(tmp_path, read, what):
    def write(rng, folder):
        (folder / "seed").write_text(str(rng.random()))

    def only_damaged(folder):  # the first reading is to warm up
        if (folder / "seed").read_text() != str(random.Random(-1).random()):
            read(folder)

    faults, counts = faults_of(Case("toy", write, only_damaged), [4, 5], tmp_path / "files")
    assert [(fault.seed, fault.what) for fault in faults] == ([] if what is None else [(4, what), (5, what)])
    assert sum(counts.values()) == (2 if what is None else 0)


def test_what_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("faults.watch.SECONDS", 0.2)

    def write(rng, folder):
        (folder / "seed").write_text(str(rng.random()))

    def read(folder):
        if (folder / "seed").read_text() == str(random.Random(4).random()):
            while True:
                pass

    faults, counts = faults_of(Case("toy", write, read), [3, 4, 5], tmp_path / "files")
    assert [(fault.seed, fault.what) for fault in faults] == [(4, "longer than 0.2 s")]
    assert counts["read"] == 2
