"""Batches with a fixed share of each data set."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.study.pages.joint.draw import BalancedDraw
from pctlib.training.plan import plan_epoch
from pctlib.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=3, batch_size=4, learning_rate=1e-3)
DRAW = BalancedDraw(sizes=(10, 23, 7), shares=(1, 2, 1), batch=4, seed=5, drawn=(0, 1, 2))


def epoch_rows(draw, epoch, settings=SETTINGS):
    """Return the rows of each set, step by step, as the trainer asks for them."""
    steps = plan_epoch(draw.slots, settings, seed=1, epoch=epoch)
    return [draw.rows(step.epoch, step.local_indices) for step in steps]


def test_every_batch_holds_exactly_the_shares():
    for step in epoch_rows(DRAW, 0):
        assert [len(rows) for rows in step] == [4, 8, 4]
        assert all(
            0 <= int(rows.min()) <= int(rows.max()) < n for rows, n in zip(step, DRAW.sizes, strict=True)
        )


def test_every_epoch_shows_everyone_and_nobody_much_more_often():
    assert DRAW.slots == 12  # 23 people, two a slot, in steps of 4
    for epoch in range(3):
        steps = epoch_rows(DRAW, epoch)
        for number, size in enumerate(DRAW.sizes):
            counts = torch.bincount(torch.cat([rows[number] for rows in steps]), minlength=size)
            assert len(counts) == size
            assert counts.min() >= 1
            assert counts.max() - counts.min() <= 1
            assert counts.sum() == DRAW.slots * DRAW.shares[number]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    shares=st.lists(st.integers(1, 4), min_size=4, max_size=4),
    batch=st.integers(1, 9),
    epoch=st.integers(0, 5),
)
def test_any_sizes_are_covered(sizes, shares, batch, epoch):
    shares = shares[: len(sizes)]
    draw = BalancedDraw(tuple(sizes), tuple(shares), batch, 0, drawn=tuple(range(len(sizes))))
    assert draw.slots % batch == 0
    for rows, size, share in zip(draw.rows(epoch, torch.arange(draw.slots)), sizes, shares, strict=True):
        counts = torch.bincount(rows, minlength=size)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1
        assert counts.sum() == draw.slots * share


def test_who_comes_follows_from_seed_epoch_and_slot_alone():
    slots = torch.tensor([7, 0, 3])
    rows = DRAW.rows(1, slots)
    assert all(torch.equal(a, b) for a, b in zip(rows, DRAW.rows(1, slots), strict=True))
    single = [DRAW.rows(1, slot[None]) for slot in slots]
    for number in range(3):
        assert torch.equal(rows[number], torch.cat([one[number] for one in single]))
    everyone, again = torch.arange(DRAW.slots), BalancedDraw(DRAW.sizes, DRAW.shares, 4, 6, drawn=DRAW.drawn)
    for other in (DRAW.rows(2, everyone), again.rows(1, everyone)):
        assert all(not torch.equal(a, b) for a, b in zip(DRAW.rows(1, everyone), other, strict=True))


def test_companions_change_from_epoch_to_epoch():
    pairs = []
    for epoch in (0, 1):
        first, _, third = DRAW.rows(epoch, torch.arange(7))
        pairs.append(set(zip(first.tolist(), third.tolist(), strict=True)))
    assert pairs[0] != pairs[1]


def test_a_data_set_alone_is_seen_as_among_the_others():
    alone = BalancedDraw(DRAW.sizes, DRAW.shares, DRAW.batch, DRAW.seed, drawn=(2,))
    assert alone.slots == DRAW.slots
    assert (alone.images, DRAW.images) == (12, 48)
    for together, (own,) in zip(epoch_rows(DRAW, 1), epoch_rows(alone, 1), strict=True):
        assert torch.equal(together[2], own)


def test_processes_share_a_step_without_meeting():
    settings = SETTINGS.model_copy(update={"accumulation_steps": 2})
    whole = [rows for step in epoch_rows(DRAW, 0) for rows in step[0].tolist()]
    parts = []
    for rank in range(2):
        for step in plan_epoch(DRAW.slots, settings, seed=1, epoch=0, rank=rank, world_size=2):
            parts.extend(DRAW.rows(0, step.local_indices)[0].tolist())
    assert sorted(parts) == sorted(whole)


def test_identity_tells_draws_apart():
    assert DRAW.identity["sizes"] == [10, 23, 7]
    assert DRAW.identity != BalancedDraw(DRAW.sizes, (1, 1, 1), 4, 5, drawn=(0, 1, 2)).identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": (1, 2)}, r"shares: expected one for each of 3 sets, got \(1, 2\)"),
        ({"sizes": (), "shares": ()}, "each of 0 sets"),
        ({"sizes": (3, 0, 1)}, "at least 1"),
        ({"shares": (1, 0, 1)}, "at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"drawn": (3,)}, r"drawn: expected numbers below 3, got \(3,\)"),
        ({"drawn": ()}, r"drawn: expected numbers below 3, got \(\)"),
    ],
)
def test_bad_numbers_are_named(change, message):
    values = {"sizes": (1, 2, 3), "shares": (1, 1, 1), "batch": 2, "seed": 0, "drawn": (0, 1)} | change
    with pytest.raises(ValueError, match=message):
        BalancedDraw(**values)
