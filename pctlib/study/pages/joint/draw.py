"""Batches with a fixed share of each of several data sets."""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pctlib.training.plan import mix_seed


@dataclass(frozen=True)
class BalancedDraw:
    """Which people of several data sets meet in a step.

    An epoch has `slots`; each holds `shares[d]` people of data set d. Who that is follows from seed, data
    set, epoch and slot alone. Every person comes at least once an epoch; a set that is used up starts again
    in a fresh order.

    Attributes:
        sizes: people of each data set.
        shares: of each data set in a slot.
        batch: slots of a step; an epoch has a multiple of it.
        seed: of all orders.
        drawn: the data sets that are taken, in this order; the others only count for the slots, so that a
            data set alone is seen as it is among the others.

    Raises:
        ValueError: if a number is below 1, lengths differ, or `drawn` names a set that is not there.
    """

    sizes: tuple[int, ...]
    shares: tuple[int, ...]
    batch: int
    seed: int
    drawn: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.shares):
            raise ValueError(f"shares: expected one for each of {len(self.sizes)} sets, got {self.shares}")
        if min(*self.sizes, *self.shares, self.batch) < 1:
            raise ValueError(f"expected sizes, shares and a batch of at least 1, got {self}")
        if not self.drawn or not set(self.drawn) <= set(range(len(self.sizes))):
            raise ValueError(f"drawn: expected numbers below {len(self.sizes)}, got {self.drawn}")

    @property
    def slots(self) -> int:
        """How many slots an epoch has."""
        needed = max(math.ceil(n / share) for n, share in zip(self.sizes, self.shares, strict=True))
        return math.ceil(needed / self.batch) * self.batch

    @property
    def images(self) -> int:
        """How many people are drawn in an epoch."""
        return self.slots * sum(self.shares[number] for number in self.drawn)

    @property
    def identity(self) -> dict[str, Any]:
        """JSON values of the draw."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def rows(self, epoch: int, slots: Tensor) -> list[Tensor]:
        """Return who is in some slots of an epoch.

        Args:
            epoch: from 0.
            slots: [n] numbers from 0 to `slots` - 1.

        Returns:
            Rows of each data set drawn, int64 [n share], slot by slot.
        """
        return [self._rows_of(number, epoch, slots) for number in self.drawn]

    def _rows_of(self, number: int, epoch: int, slots: Tensor) -> Tensor:
        size, share = self.sizes[number], self.shares[number]
        places = (slots[:, None] * share + torch.arange(share)).flatten()  # [n share]
        rounds = places // size
        rows = torch.empty_like(places)
        for turn in rounds.unique().tolist():
            order = _order(size, mix_seed(self.seed, "joint: order", number, epoch, turn))
            rows[rounds == turn] = order[places[rounds == turn] % size]
        return rows


@lru_cache(maxsize=64)
def _order(size: int, seed: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
