"""Which samples and random numbers a step gets."""

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import pctlib
from pctlib.training.plan import mix_seed, plan_epoch
from pctlib.training.settings import TrainingSettings


def settings(**changes):
    return TrainingSettings(**({"epochs": 2, "batch_size": 12, "learning_rate": 0.1} | changes))


@given(
    world=st.integers(1, 4), parts=st.integers(1, 3), samples=st.integers(12, 100), epoch=st.integers(0, 3)
)
def test_processes_share_each_batch_without_overlap(world, parts, samples, epoch):
    plans = [
        plan_epoch(samples, settings(accumulation_steps=parts), seed=1, epoch=epoch, rank=r, world_size=world)
        for r in range(world)
    ]
    alone = plan_epoch(samples, settings(accumulation_steps=parts), seed=1, epoch=epoch)
    seen = torch.cat([step.local_indices for plan in plans for step in plan])
    assert len(seen.unique()) == len(seen) == sum(len(step.indices) for step in plans[0])
    assert [s.number for s in plans[0]] == [s.number for s in plans[-1]]
    if 12 % (world * parts) == 0:  # the global batch is the same whatever the number of processes
        assert all(torch.equal(a.indices, b.indices) for a, b in zip(alone, plans[0], strict=True))
        assert [s.seed for s in alone] == [s.seed for s in plans[0]]


def test_steps_are_numbered_through_the_epochs_and_orders_differ():
    first, second = (plan_epoch(40, settings(accumulation_steps=2), seed=1, epoch=e) for e in (0, 1))
    assert [s.number for s in first + second] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert {s.epoch for s in first} == {0}
    assert {s.epoch for s in second} == {1}
    assert not torch.equal(first[0].indices, second[0].indices)
    assert len({s.seed for s in first + second}) == 12


def test_a_set_smaller_than_a_batch_is_one_batch():
    (step,) = plan_epoch(5, settings(), seed=1, epoch=0)
    assert sorted(step.indices.tolist()) == [0, 1, 2, 3, 4]


def test_draws_are_shared_or_local():
    a, b = (plan_epoch(24, settings(), seed=1, epoch=0, rank=r, world_size=2)[0] for r in (0, 1))
    shared = [torch.rand(1, generator=s.generator(shared=True)) for s in (a, b)]
    local = [torch.rand(1, generator=s.generator(shared=False)) for s in (a, b)]
    assert shared[0] == shared[1]
    assert local[0] != local[1]


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="0 samples cannot be shared among 1"):
        plan_epoch(0, settings(), seed=1, epoch=0)
    with pytest.raises(ValueError, match="2 samples cannot be shared among 3"):
        plan_epoch(2, settings(), seed=1, epoch=0, world_size=3)


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("batch_size", -1), ("learning_rate", 0), ("mixed_precision", "fp8")]
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValidationError, match=field):
        settings(**{field: value})
    with pytest.raises(ValidationError, match="learnig_rate"):
        settings(learnig_rate=1)


def test_mixed_seeds_do_not_collide():
    assert len({mix_seed(a, b) for a in range(30) for b in range(30)}) == 900
    assert len({mix_seed(3, name) for name in ("a", "b", "ab", "", "a ")} | {mix_seed(3, 0)}) == 6
    assert mix_seed(3, "a", 1) not in (mix_seed(3, "a"), mix_seed(3, 1, "a"), mix_seed(4, "a", 1))


def test_a_named_seed_is_the_same_everywhere():
    assert mix_seed(1, 2) == 1596810411, "those of shipped weights stay"
    assert mix_seed(0, "heatmap: weights") == 1362900854


def test_what_is_drawn_has_a_name_of_its_own():
    """Draws of one seed are told apart by names; only the loop, and what has made shipped weights, counts."""
    room = Path(pctlib.__file__).parent
    counted = {room / "training" / "plan.py", room / "study" / "backbones" / "train.py"}
    names = []
    for file in sorted(set(room.rglob("*.py")) - counted):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and "mix_seed" in ast.unparse(n.func)]
        given = [arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant)]
        names += [value for value in given if isinstance(value, str)]
        used = {arg.id for call in calls for arg in call.args if isinstance(arg, ast.Name)}
        given += [n.value.value for n in tree.body if _names_a_constant(n, used)]
        assert not [value for value in given if isinstance(value, int) and value], file
    assert sorted(set(names)) == sorted(names)
    assert len(names) > 15


def _names_a_constant(node, names):
    assigned = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    return assigned and ast.unparse(node.targets[0]) in names


def test_stairs_and_a_flat_share_are_two_schedules():
    with pytest.raises(ValidationError, match="flat_share"):
        settings(flat_share=0.5, decay_epochs=(1,))
