"""Foreign weight files: read safely, renamed both ways, loaded strictly."""

import os
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from pctlib.checkpoints.files import NameTable, Shapes, WithoutInitialisation, load_strictly
from pctlib.checkpoints.reading import read_state

NAMES = NameTable([("fc.#.*", "layers.#.*")])


class _Runs:
    """A pickle that makes a file when it is loaded unsafely."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "meta": {"epoch": 3}},
        lambda state: {"model": state},
    ],
)
def test_state_is_found_at_the_top_or_under_its_key(tmp_path, wrap):
    torch.save(wrap({"w": torch.arange(3)}), tmp_path / "a.pth")
    state = read_state(tmp_path / "a.pth")
    assert list(state) == ["w"]
    assert state["w"].tolist() == [0, 1, 2]


def test_numpy_scalars_beside_the_weights_are_read(tmp_path):
    meta = {"best_score": np.float64(0.5), "epoch": np.int64(3)}
    torch.save({"meta": meta, "state_dict": {"w": torch.ones(1)}}, tmp_path / "a.pth")
    assert list(read_state(tmp_path / "a.pth")) == ["w"]


def test_safetensors_are_read(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    assert read_state(tmp_path / "a.safetensors")["w"].tolist() == [1, 1]


def test_a_file_that_runs_code_is_refused_and_does_not_run(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "meta": _Runs(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=r"bad\.pth: .*: it holds posix\.mkdir, which is no weight$"):
        read_state(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0, 1, 100, 700])
def test_truncated_files_name_themselves(tmp_path, keep):
    path = tmp_path / "cut.pth"
    torch.save({"state_dict": {"w": torch.ones(100)}}, path)
    path.write_bytes(path.read_bytes()[:keep])
    why = "it is empty" if keep == 0 else "of another format, or damaged"
    with pytest.raises(ValueError, match=rf"cut\.pth: not a file of weights .*: {why}$"):
        read_state(path)


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"state_dict": {}}, {"w": 3}, {4: torch.ones(1)}, torch.ones(3)]
)
def test_files_without_named_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth: expected named tensors"):
        read_state(tmp_path / "odd.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_state(tmp_path / "none.pth")


def test_names_translate_both_ways_and_strictly():
    table = NameTable([("a.#.x.*", "b.#.y.*"), ("token", "learnt.token")])
    for official, ours in [("a.12.x.weight", "b.12.y.weight"), ("token", "learnt.token")]:
        assert table.to_ours(official) == ours
        assert table.to_official(ours) == official
    for stranger in ("a.1.x.weight.more", "aX1.x.weight", "a.one.x.weight", "my.token"):
        with pytest.raises(ValueError, match=re.escape(stranger)):
            table.to_ours(stranger)


def _module():
    return nn.ModuleDict({"layers": nn.Sequential(nn.Linear(2, 3))})


def test_strict_loading_sets_every_value():
    state = {"fc.0.weight": torch.arange(6.0).view(3, 2), "fc.0.bias": torch.tensor([7.0, 8.0, 9.0])}
    module = _module()
    load_strictly(module, state, NAMES, "f.pth")
    assert module["layers"][0].weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert module["layers"][0].bias.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.0.bias": None}, r"f\.pth.*missing: head\.fc\.0\.bias"),
        ({"extra": torch.ones(1)}, r"f\.pth.*unexpected: head\.extra"),
        (
            {"fc.0.weight": torch.ones(2, 3)},
            r"f\.pth.*other shape: head\.fc\.0\.weight \(2, 3\), expected \(3, 2\)",
        ),
    ],
)
def test_strict_loading_names_what_does_not_fit(change, message):
    state = {"fc.0.weight": torch.ones(3, 2), "fc.0.bias": torch.ones(3)} | change
    module = _module()
    before = module["layers"][0].weight.clone()
    with pytest.raises(ValueError, match=message):
        load_strictly(
            module, {n: v for n, v in state.items() if v is not None}, NAMES, "f.pth", prefix="head."
        )
    assert torch.equal(module["layers"][0].weight, before)


def test_long_lists_are_cut():
    state = {f"odd{i}": torch.ones(1) for i in range(20)}
    with pytest.raises(ValueError, match="odd7 and 12 more"):
        load_strictly(nn.Module(), state, NAMES, "f.pth")


def test_shapes_name_missing_entries_and_wrong_axes():
    shapes = Shapes({"w": torch.ones(3, 4)}, "f.pth", "head.")
    assert (shapes.size("w", 0), shapes.size("w", 1)) == (3, 4)
    with pytest.raises(ValueError, match=r"f\.pth: missing 'head\.v'"):
        shapes.size("v", 0)
    with pytest.raises(ValueError, match=r"'head\.w' has shape \(3, 4\), expected 4 axes"):
        shapes.size("w", 0, ndim=4)


def test_building_without_initialisation_draws_nothing():
    before = torch.get_rng_state()
    with WithoutInitialisation():
        layer = nn.Linear(3, 4)
        nn.init.trunc_normal_(layer.weight)
        norm = nn.LayerNorm(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert norm.weight.tolist() == [1] * 4


@pytest.mark.parametrize("bound", [0.01, 1.0])
def test_building_without_initialisation_ends_whatever_the_memory_holds(bound):
    """A truncated normal draws again until all values are in bounds."""
    with WithoutInitialisation():
        values = nn.init.trunc_normal_(torch.full((3,), 9.0), std=1.0, a=-bound, b=bound)
    assert values.abs().max() <= bound
