"""Which samples and random numbers each step of a training run gets."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pctlib.training.settings import TrainingSettings


@dataclass(frozen=True)
class Step:
    """One forward and backward pass: which samples, and where its random numbers come from.

    Attributes:
        number: optimiser step it belongs to, from 0.
        epoch: it belongs to, from 0.
        indices: [global batch] samples of all processes together.
        local: part of `indices` this process works on.
        seed: of the draws made for the global batch; the same in every process.
        local_seed: of the draws each process makes for its own part.
    """

    number: int
    epoch: int
    indices: Tensor
    local: slice
    seed: int
    local_seed: int

    @property
    def local_indices(self) -> Tensor:
        """Samples of this process."""
        return self.indices[self.local]

    def generator(self, *, shared: bool) -> torch.Generator:
        """Return a fresh CPU generator; `shared` makes it the same in every process."""
        return torch.Generator().manual_seed(self.seed if shared else self.local_seed)


def mix_seed(*parts: int | str) -> int:
    """Return a seed that depends on all parts; neighbouring parts give unrelated seeds.

    A name says what is drawn, so that no two draws of one seed are the same by accident:
    `mix_seed(seed, "heatmap: weights")`.
    """
    numbers = [_number_of(part) if isinstance(part, str) else part for part in parts]
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])


def _number_of(name: str) -> int:
    """Return a number above all that are counted or given by hand."""
    return 1 << 64 | int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def plan_epoch(
    num_samples: int, settings: TrainingSettings, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1
) -> list[Step]:
    """List the passes of one epoch: a fresh order of all samples, cut into equal batches.

    Samples that do not fill a last batch wait for another epoch's order; a set smaller than one
    batch is one batch.

    Raises:
        ValueError: if there is no sample or a batch cannot be shared equally.
    """
    parts = settings.accumulation_steps * world_size
    batch_size = min(settings.batch_size, num_samples) // parts * parts
    if batch_size == 0:
        raise ValueError(f"{num_samples} samples cannot be shared among {parts} parts of a batch")
    order = torch.randperm(num_samples, generator=torch.Generator().manual_seed(mix_seed(seed, 1, epoch)))
    per_epoch = num_samples // batch_size
    size, local = batch_size // settings.accumulation_steps, batch_size // parts
    steps = []
    for start in range(0, per_epoch * batch_size, size):
        number, part = divmod((epoch * per_epoch * batch_size + start) // size, settings.accumulation_steps)
        shared = mix_seed(seed, 2, number, part)
        steps.append(
            Step(
                number=number,
                epoch=epoch,
                indices=order[start : start + size],
                local=slice(rank * local, (rank + 1) * local),
                seed=shared,
                local_seed=mix_seed(shared, 3, rank),
            )
        )
    return steps
