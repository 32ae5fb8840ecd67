"""The codebook of the published size against the release's one-hot matrices."""

import torch

from benchmarks.common import Row, cpu_seconds
from pctlib.models.codebook import Codebook

POSES, TOKENS, ENTRIES, DIM = 64, 34, 2048, 512


def benchmark() -> list[Row]:
    """Return the rows: look-up and update of one training step."""
    torch.manual_seed(0)
    tokens = torch.randn(POSES, TOKENS, DIM)
    ours = Codebook(ENTRIES, DIM)

    def step() -> None:
        ours.update(tokens, ours(tokens).indices)

    name = f"codebook look-up and update, {POSES} poses, M {TOKENS}, V {ENTRIES}, E {DIM}"
    return [Row(name, cpu_seconds(step), cpu_seconds(lambda: _one_hot_step(tokens)), note="one-hot matrices")]


def _one_hot_step(tokens: torch.Tensor, decay: float = 0.9) -> torch.Tensor:
    """Do the same as plain as the formulas: all distances, a one-hot matrix, two products with it."""
    codebook, size, sums = torch.randn(ENTRIES, DIM), torch.zeros(ENTRIES), torch.randn(ENTRIES, DIM)
    rows = tokens.flatten(0, 1)
    distances = rows.square().sum(1, keepdim=True) + codebook.square().sum(1) - 2 * rows @ codebook.T
    chosen = torch.zeros(len(rows), ENTRIES).scatter_(1, distances.argmin(1, keepdim=True), 1)
    looked_up = chosen @ codebook
    size = decay * size + (1 - decay) * chosen.sum(0)
    sums = decay * sums + (1 - decay) * chosen.T @ rows
    return looked_up + (sums / (size + 1e-5).unsqueeze(1)).sum()
