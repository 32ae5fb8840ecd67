"""The codebook of pose tokens: look-up, moving averages or gradient, start from data, revival."""

from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pctlib.models.layers import full_precision

_CHUNK_ELEMENTS = 2**24  # distances held at once: 64 MiB


class Quantized(NamedTuple):
    """Tokens replaced by codebook entries.

    Attributes:
        codes: [..., E] the entries; the gradient passes to the tokens unchanged (straight-through).
        indices: [...] int64, which entry of V.
    """

    codes: Tensor
    indices: Tensor


class Codebook(nn.Module):
    """V entries of width E, learnt from the tokens assigned to them: moving averages, or by gradient.

    Source: van den Oord et al. 2017, arXiv:1711.00937, appendix A.1, in the order of the PCT release
    (arXiv:2303.11638): the Laplace-smoothed counts are kept, and every entry is overwritten at each update.
    Learnt by gradient: section 3.2 of the same paper, second term of equation 3, which is `loss`.
    Differs: with `revive_after` dead entries restart from tokens; the published code has no such rule.

    Args:
        size: V.
        dim: E.
        decay: of the moving averages, a step.
        revive_after: updates an entry may stay dead before it is set to a random token of the batch; 0: for
            ever.
        revive_below: an entry is dead while its moving count is under this share of the mean count N / V.
        learning: "average": `update` moves the entries; "gradient": they are a parameter, which `loss` pulls,
            and `update` only counts and revives.

    Raises:
        ValueError: if an argument is outside its range.
    """

    codebook: Tensor
    ema_cluster_size: Tensor
    ema_w: Tensor
    idle_updates: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        decay: float = 0.9,
        revive_after: int = 0,
        revive_below: float = 0.1,
        learning: Literal["average", "gradient"] = "average",
    ) -> None:
        super().__init__()
        if size < 1 or dim < 1 or not 0 <= decay < 1 or revive_after < 0 or not 0 <= revive_below < 1:
            got = f"{size=}, {dim=}, {decay=}, {revive_after=}, {revive_below=}"
            raise ValueError(
                f"expected positive size and dim, shares in [0, 1) and revive_after >= 0, got {got}"
            )
        if learning not in ("average", "gradient"):
            raise ValueError(f"learning: expected 'average' or 'gradient', got '{learning}'")
        self.learning = learning
        self.decay = decay
        self.revive_after = revive_after
        self.revive_below = revive_below
        entries = torch.empty(size, dim).normal_()
        if learning == "gradient":
            self.codebook = nn.Parameter(entries)
        else:
            self.register_buffer("codebook", entries)
        self.register_buffer("ema_cluster_size", torch.zeros(size))
        self.register_buffer("ema_w", torch.empty(size, dim).normal_())
        self.register_buffer("idle_updates", torch.zeros(size, dtype=torch.int64))

    def extra_repr(self) -> str:
        """Say sizes and rules in the printed module."""
        V, E = self.codebook.shape
        rules = f"decay={self.decay}, revive_after={self.revive_after}, revive_below={self.revive_below}"
        return f"size={V}, dim={E}, {rules}, learning={self.learning}"

    def forward(self, tokens: Tensor) -> Quantized:
        """Replace each token by its nearest entry.

        Args:
            tokens: [..., E].

        Returns:
            `codes` [..., E] and `indices` [...]. The gradient of the codes reaches the tokens unchanged, and
            never the entries.
        """
        tokens = tokens.float()
        indices = self.nearest(tokens)
        codes = self.look_up(indices).detach()
        if tokens.requires_grad:
            codes = tokens + (codes - tokens).detach()
        return Quantized(codes, indices)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the entries [..., E] of indices [...]."""
        return self.codebook[indices]

    def loss(self, tokens: Tensor, indices: Tensor) -> Tensor:
        """Return the mean squared distance of entries from their tokens; only the entries are pulled.

        Source: van den Oord et al. 2017, arXiv:1711.00937, second term of equation 3.

        Args:
            tokens: [..., E].
            indices: [...] their entries, as `forward` gave them.
        """
        return F.mse_loss(self.look_up(indices), tokens.detach().float())

    @torch.no_grad()
    def nearest(self, tokens: Tensor) -> Tensor:
        """Return the index [...] of the entry at the least squared distance of each token [..., E].

        Ties go to the lowest index.

        Raises:
            ValueError: if the last axis is not E.
        """
        V, E = self.codebook.shape
        if tokens.shape[-1] != E:
            raise ValueError(f"expected tokens [..., {E}], got {tuple(tokens.shape)}")
        rows = tokens.detach().reshape(-1, E).float()
        with full_precision(rows.device):
            squared = self.codebook.square().sum(1)  # [V]; |t|^2 is the same for all entries and left out
            chunks = rows.split(max(1, _CHUNK_ELEMENTS // V))
            nearest = [torch.addmm(squared, t, self.codebook.T, alpha=-2).argmin(1) for t in chunks]
        return torch.cat(nearest).reshape(tokens.shape[:-1])

    @torch.no_grad()
    def update(self, tokens: Tensor, indices: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Move the entries towards the tokens assigned to them; once a training step.

        Entries learnt by gradient stay, but for dead ones. With several processes the statistics are those of
        the global batch, and all end with the same entries.

        Args:
            tokens: [..., E] of this process.
            indices: [...] their entries, as `forward` gave them.
            generator: CPU generator for the tokens that dead entries take; needed if `revive_after` is set.
                The draw of rank 0 counts.

        Returns:
            [V] how many tokens of the global batch each entry got.

        Raises:
            ValueError: if `revive_after` is set and there is no generator.
        """
        if self.revive_after and generator is None:
            raise ValueError("revive_after is set: update() needs a generator to choose tokens")
        V, E = self.codebook.shape
        rows = tokens.detach().reshape(-1, E).float()
        statistics = rows.new_zeros(V, E + 1)  # sum of the tokens and, last, their number
        statistics.index_add_(0, indices.reshape(-1), torch.cat([rows, rows.new_ones(len(rows), 1)], 1))
        if _distributed():
            dist.all_reduce(statistics)
        sums, counts = statistics.split([E, 1], 1)
        self._average(sums, counts.squeeze(1))
        if self.revive_after:
            self._revive(_random_tokens(rows, V, generator))
        return counts.squeeze(1)

    def _average(self, sums: Tensor, counts: Tensor) -> None:
        """Make one step of the moving averages from sums [V, E] and counts [V], in the published order."""
        size = self.ema_cluster_size * self.decay + (1 - self.decay) * counts
        total = size.sum()
        size = (size + 1e-5) / (total + len(size) * 1e-5) * total
        self.ema_cluster_size.copy_(size)
        self.ema_w.copy_(self.ema_w * self.decay + (1 - self.decay) * sums)
        if self.learning == "average":
            self.codebook.copy_(self.ema_w / size.unsqueeze(1))

    def _revive(self, candidates: Tensor) -> None:
        """Set entries dead for `revive_after` updates to candidates [V, E], at the mean count."""
        mean = self.ema_cluster_size.mean()
        idle = torch.where(self.ema_cluster_size < self.revive_below * mean, self.idle_updates + 1, 0)
        revived = idle >= self.revive_after
        rows = revived.unsqueeze(1)
        self.idle_updates.copy_(torch.where(revived, 0, idle))
        self.ema_cluster_size.copy_(torch.where(revived, mean, self.ema_cluster_size))
        self.codebook.copy_(torch.where(rows, candidates, self.codebook))
        self.ema_w.copy_(torch.where(rows, candidates * mean, self.ema_w))

    @torch.no_grad()
    def initialise(self, tokens: Tensor, *, generator: torch.Generator, iterations: int = 10) -> Tensor:
        """Set the entries to the k-means clusters of a sample of tokens.

        Counts and sums become those of the clusters, scaled to one token an entry, so that the first updates
        count for much. With several processes rank 0's sample decides.

        Source: Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding", for the start.

        Args:
            tokens: [..., E], at least V of them.
            generator: CPU generator.
            iterations: of Lloyd's algorithm after the k-means++ start.

        Returns:
            [V] how many tokens of the sample each entry has.

        Raises:
            ValueError: if there are fewer than V tokens.
        """
        V, E = self.codebook.shape
        rows = tokens.detach().reshape(-1, E).to(self.codebook)
        if len(rows) < V:
            raise ValueError(f"expected at least {V} tokens for {V} entries, got {len(rows)}")
        self.codebook.copy_(_spread_rows(rows, V, generator))
        for _ in range(iterations):
            indices = self.nearest(rows)
            sums = torch.zeros_like(self.codebook).index_add_(0, indices, rows)
            counts = torch.bincount(indices, minlength=V).unsqueeze(1)
            self.codebook.copy_(torch.where(counts > 0, sums / counts.clamp(min=1), self.codebook))
        counts = torch.bincount(self.nearest(rows), minlength=V)
        if _distributed():
            dist.broadcast(self.codebook, src=0)
            dist.broadcast(counts, src=0)
        size = counts.clamp(min=1).to(self.codebook)
        self.ema_cluster_size.copy_(size / size.mean())
        self.ema_w.copy_(self.codebook * self.ema_cluster_size.unsqueeze(1))
        self.idle_updates.zero_()
        return counts


def codebook_usage(counts: Tensor) -> Tensor:
    """Return the share of the V entries with a count above 0, of counts [V]; 1 is best."""
    return (counts > 0).float().mean()


def codebook_perplexity(counts: Tensor) -> Tensor:
    """Return exp of the entropy of counts [V]: how many equally used entries would say as much, at most V."""
    share = counts.double() / counts.sum().clamp(min=1e-12)
    return torch.exp(torch.special.entr(share).sum()).float()


def _distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _random_tokens(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return [count, E] rows drawn from the rows of all processes, the same on each.

    A single process given all the rows, in the order of the ranks, would draw the same ones.
    """
    share = torch.rand(count, generator=generator, dtype=torch.float64).to(rows.device)
    if not _distributed():
        return rows[_choose(share, len(rows))]
    dist.broadcast(share, src=0)
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    sizes = torch.cat(sizes)
    local = _choose(share, sizes.sum()) - sizes[: dist.get_rank()].sum()
    mine = (local >= 0) & (local < len(rows))
    drawn = torch.where(mine.unsqueeze(1), rows[local.clamp(0, len(rows) - 1)], 0.0)
    dist.all_reduce(drawn)  # each row comes from exactly one process
    return drawn


def _choose(share: Tensor, count: int | Tensor) -> Tensor:
    """Turn numbers of [0, 1) into row indices of [0, count)."""
    return (share * count).long()


def _spread_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` of the rows [N, E], each drawn by squared distance to those before it."""
    draws = torch.rand(count, generator=generator, dtype=torch.float64).to(rows.device)
    chosen = rows.new_empty(count, rows.shape[1])
    chosen[0] = rows[_choose(draws[0], len(rows))]
    distance = (rows - chosen[0]).square().sum(1)  # [N] to the nearest chosen row
    for i in range(1, count):
        cumulative = distance.double().cumsum(0)
        # right=True: a row at distance 0 is never drawn, unless all are
        pick = torch.searchsorted(cumulative, draws[i : i + 1] * cumulative[-1], right=True).clamp(
            max=len(rows) - 1
        )
        chosen[i] = rows[pick[0]]
        distance = torch.minimum(distance, (rows - chosen[i]).square().sum(1))
    return chosen
