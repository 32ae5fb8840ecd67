"""What a training run is told, and which samples and random numbers each of its steps gets."""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class TrainingSettings(BaseModel):
    """What a training run is told; defaults are those of a short run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="samples of one optimiser step, over all processes")
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(default=1e-5, ge=0)
    warmup_steps: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    max_grad_norm: float | None = Field(default=None, gt=0)
    accumulation_steps: int = Field(default=1, gt=0)
    average_decay: float | None = Field(default=None, gt=0, lt=1, description="EMA of the weights")
    mixed_precision: str = Field(default="no", pattern="^(no|bf16|fp16)$")
    compile: bool = False
    evaluate_every: int = Field(default=1, gt=0, description="epochs between evaluations")
    checkpoint_seconds: float = Field(default=60.0, ge=0)


@dataclass(frozen=True)
class Step:
    """One forward and backward pass: which samples, and where its random numbers come from.

    Attributes:
        number: optimiser step it belongs to, from 0.
        indices: [global batch] samples of all processes together.
        local: part of `indices` this process works on.
        seed: of the draws made for the global batch; the same in every process.
        local_seed: of the draws each process makes for its own part.
    """

    number: int
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


def mix_seed(*parts: int) -> int:
    """Return a seed that depends on all parts; neighbouring parts give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


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
                indices=order[start : start + size],
                local=slice(rank * local, (rank + 1) * local),
                seed=shared,
                local_seed=mix_seed(shared, 3, rank),
            )
        )
    return steps
