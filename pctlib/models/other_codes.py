"""Codes of pose tokens beyond the paper, each in place of `Codebook`: finite scalars, and two levels."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from pctlib.models.codebook import Codebook, Quantized

_MOST_LEVELS = 8  # of one number; more levels are rarely worth it (Mentzer et al. 2023, section 4)
_INSIDE = 1e-3  # how far tanh reaches beyond the outermost level
_SPREAD = 0.7  # standard deviation that numbers start with: most tokens within 2 of 8 levels from the middle


class FiniteScalarCodes(nn.Module):
    """V codes without a codebook: a token becomes a few numbers, each rounded to one of a few levels.

    The codes are a fixed grid, so none can die; only the two projections learn, through the rounding
    (straight-through).

    Source: Mentzer et al. 2023, arXiv:2309.15505; in pose tokens Di2Pose (2024, arXiv:2405.17016), whose
    4375 codes are levels 7, 5, 5, 5, 5.
    Differs: the start from data, the counterpart of the codebook's from k-means; the paper has none.

    Args:
        size: V, a product of numbers of 2 to 8.
        dim: E of the tokens.

    Raises:
        ValueError: if V is no such product.
    """

    learning = "scalar"

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.levels = levels_of(size)
        self.to_numbers = nn.Linear(dim, len(self.levels))
        self.to_codes = nn.Linear(len(self.levels), dim)
        levels = torch.tensor(self.levels)
        steps = torch.tensor([prod(self.levels[:i]) for i in range(len(self.levels))])
        self.register_buffer("_steps", steps, persistent=False)  # of the index, one a number
        digits = torch.arange(size)[:, None] // steps % levels
        self.register_buffer("_grid", self._scaled(digits - levels // 2), persistent=False)  # [V, n] in -1..1

    def extra_repr(self) -> str:
        """Say the levels in the printed module."""
        return f"levels={self.levels}"

    @property
    def codebook(self) -> Tensor:
        """All codes [V, E], for look-up by probabilities."""
        return self.to_codes(self._grid)

    def forward(self, tokens: Tensor) -> Quantized:
        """Round each token [..., E]; the gradient passes the rounding and reaches both projections."""
        numbers = self._bounded(self.to_numbers(tokens.float()))
        rounded = numbers + (numbers.round() - numbers).detach()
        return Quantized(self.to_codes(self._scaled(rounded)), self._index(rounded))

    @torch.no_grad()
    def nearest(self, tokens: Tensor) -> Tensor:
        """Return the index [...] of the code that each token [..., E] is rounded to."""
        return self._index(self._bounded(self.to_numbers(tokens.float())).round())

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes [..., E] of indices [...]."""
        return self.codebook[indices]

    @torch.no_grad()
    def update(self, tokens: Tensor, indices: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return [V] how many tokens of this process got each code; nothing else is to do after a step."""
        return torch.bincount(indices.flatten(), minlength=prod(self.levels))

    @torch.no_grad()
    def initialise(self, tokens: Tensor, *, generator: torch.Generator) -> None:
        """Start with the principal directions of tokens [..., E] as numbers, all spread over their levels.

        Args:
            tokens: a sample.
            generator: not drawn from; `Codebook` has it.
        """
        rows = tokens.detach().flatten(0, -2).double()
        mean, used = rows.mean(0), min(len(self.levels), rows.shape[1])
        variances, directions = torch.linalg.eigh(torch.cov(rows.T, correction=0))  # ascending
        deviations = variances.clamp(min=max(1e-6 * float(variances[-1]), 1e-12)).sqrt()
        weight = _SPREAD * (directions / deviations).T.flip(0)[:used]  # [used, E], the largest first
        self.to_numbers.weight[:used] = weight.to(self.to_numbers.weight)
        self.to_numbers.bias[:used] = -(weight @ mean).to(self.to_numbers.bias)

    def _bounded(self, numbers: Tensor) -> Tensor:
        """Squeeze numbers [..., n] so that rounding gives L levels: -(L - 1) / 2 to (L - 1) / 2 for odd L."""
        levels = torch.tensor(self.levels, device=numbers.device)
        reach = (levels - 1) * (1 + _INSIDE) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)  # an even number of levels has none in the middle
        return torch.tanh(numbers + torch.atanh(offset / reach)) * reach - offset

    def _scaled(self, rounded: Tensor) -> Tensor:
        """Return rounded numbers [..., n] between -1 and 1."""
        return rounded / (torch.tensor(self.levels, device=rounded.device) // 2)

    def _index(self, rounded: Tensor) -> Tensor:
        digits = rounded.detach().long() + torch.tensor(self.levels, device=rounded.device) // 2
        return (digits * self._steps).sum(-1)


class ResidualCodes(nn.Module):
    """Codes of two levels: an entry of a first codebook, and one of a second for what the first leaves.

    Together they are a codebook of V = V1 V2 sums, of which V1 + V2 are learned; both by moving averages. A
    token takes the nearest entry of the first, then of the second, which need not be the nearest sum. For a
    classifier they are one table: it chooses among all V sums at once, not level by level.

    Source: Zeghidour et al. 2021 (SoundStream), arXiv:2107.03312, section III.C, with two levels.

    Args:
        size: V; V1 and V2 are its two factors nearest to each other.
        dim: E.
        decay: see `Codebook`.
        revive_after: see `Codebook`.

    Raises:
        ValueError: if V is prime.
    """

    learning = "residual"

    def __init__(self, size: int, dim: int, *, decay: float = 0.9, revive_after: int = 0) -> None:
        super().__init__()
        first = next((n for n in range(int(size**0.5), 1, -1) if size % n == 0), 0)
        if not first:
            raise ValueError(f"codebook_size: two levels need a product of two numbers, got {size}")
        options = {"decay": decay, "revive_after": revive_after}
        self.first = Codebook(size // first, dim, **options)
        self.second = Codebook(first, dim, **options)

    @property
    def codebook(self) -> Tensor:
        """All sums [V, E], the second level running fastest."""
        return (self.first.codebook[:, None] + self.second.codebook).flatten(0, 1)

    def forward(self, tokens: Tensor) -> Quantized:
        """Replace each token [..., E] by its sum of two entries; gradients as in `Codebook`."""
        tokens = tokens.float()
        indices = self.nearest(tokens)
        codes = self.look_up(indices).detach()
        if tokens.requires_grad:
            codes = tokens + (codes - tokens).detach()
        return Quantized(codes, indices)

    @torch.no_grad()
    def nearest(self, tokens: Tensor) -> Tensor:
        """Return the index [...] of the sum for each token [..., E]."""
        first = self.first.nearest(tokens)
        second = self.second.nearest(tokens - self.first.look_up(first))
        return first * len(self.second.codebook) + second

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the sums [..., E] of indices [...]."""
        V2 = len(self.second.codebook)
        return self.first.look_up(indices // V2) + self.second.look_up(indices % V2)

    @torch.no_grad()
    def update(self, tokens: Tensor, indices: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Move both levels towards the tokens, and what the first left of them, assigned to their entries.

        Returns:
            [V] how many tokens of this process got each sum.
        """
        V1, V2 = len(self.first.codebook), len(self.second.codebook)
        rest = tokens.detach().float() - self.first.look_up(indices // V2)
        self.first.update(tokens, indices // V2, generator=generator)
        self.second.update(rest, indices % V2, generator=generator)
        return torch.bincount(indices.flatten(), minlength=V1 * V2)

    @torch.no_grad()
    def initialise(self, tokens: Tensor, *, generator: torch.Generator) -> None:
        """Start both levels at k-means clusters: of tokens [..., E], and of what the first leaves of them."""
        rows = tokens.detach().flatten(0, -2).float()
        self.first.initialise(rows, generator=generator)
        self.second.initialise(rows - self.first.look_up(self.first.nearest(rows)), generator=generator)


def levels_of(size: int) -> Sequence[int]:
    """Return numbers of levels, each 2 to 8 and the largest first, whose product is `size`.

    Raises:
        ValueError: if there are none.
    """
    levels, rest = [], size
    for level in range(_MOST_LEVELS, 1, -1):
        while rest % level == 0 and rest > 1:
            levels.append(level)
            rest //= level
    if rest != 1 or not levels:
        raise ValueError(
            f"codebook_size: finite scalars need a product of numbers of 2 to {_MOST_LEVELS}, got {size}"
        )
    return tuple(levels)
