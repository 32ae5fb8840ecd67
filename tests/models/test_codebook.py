import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pctlib.models import codebook as codebook_module
from pctlib.models.codebook import Codebook, codebook_perplexity, codebook_usage

V, E = 6, 3


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _codebook(**options):
    torch.manual_seed(3)
    book = Codebook(V, E, **options)
    book.ema_cluster_size.uniform_(0.5, 2)
    return book


def _published_update(book, tokens, indices, decay):
    """Return the buffers after an update, with one-hot matrices as in the release."""
    one_hot = torch.nn.functional.one_hot(indices, V).float()
    size = book.ema_cluster_size * decay + (1 - decay) * one_hot.sum(0)
    n = size.sum()
    size = (size + 1e-5) / (n + V * 1e-5) * n
    w = book.ema_w * decay + (1 - decay) * one_hot.T @ tokens
    return size, w, w / size[:, None]


def test_nearest_is_the_least_distance_over_any_leading_axes(monkeypatch):
    book, tokens = _codebook(), torch.randn(4, 5, E)
    expected = torch.cdist(tokens, book.codebook).argmin(-1)
    assert torch.equal(book.nearest(tokens), expected)
    monkeypatch.setattr(codebook_module, "_CHUNK_ELEMENTS", 3 * V)  # 3 tokens at once
    assert torch.equal(book.nearest(tokens), expected)


def test_ties_go_to_the_lowest_index():
    book = Codebook(V, E)
    book.codebook.copy_(torch.tensor([[4, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0], [0, 2, 0], [-2, 0, 0]]))
    tokens = torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 1.0, 1.0], [3.0, 0.0, 0.0]])
    assert book.nearest(tokens).tolist() == [1, 1, 1, 0]


def test_tokens_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"\[\.\.\., 3\], got \(2, 4\)"):
        _codebook().nearest(torch.zeros(2, 4))


def test_gradient_passes_straight_through():
    book, tokens = _codebook(), torch.randn(4, 5, E, requires_grad=True)
    codes, indices = book(tokens)
    torch.testing.assert_close(codes, book.codebook[indices])
    weights = torch.randn(4, 5, E)
    (codes * weights).sum().backward()
    assert torch.equal(tokens.grad, weights)
    assert torch.equal(book(tokens.detach()).codes, book.codebook[indices])  # exact without gradient


@pytest.mark.parametrize("decay", [0.9, 0.5])
def test_update_follows_the_published_order(decay):
    book, tokens = _codebook(decay=decay), torch.randn(4, 5, E)
    indices = book.nearest(tokens)
    size, w, entries = _published_update(book, tokens.view(-1, E), indices.flatten(), decay)
    counts = book.update(tokens, indices)
    torch.testing.assert_close(book.ema_cluster_size, size)
    torch.testing.assert_close(book.ema_w, w)
    torch.testing.assert_close(book.codebook, entries)
    assert torch.equal(counts, torch.bincount(indices.flatten(), minlength=V).float())


def test_first_published_update_throws_the_start_away():
    """Counts start at 0, so an unused entry becomes its moving sum over next to nothing."""
    book = Codebook(V, E)
    book.update(torch.zeros(5, E), torch.zeros(5, dtype=torch.int64))
    assert book.codebook[0].norm() < 10
    assert book.codebook[1:].norm(dim=1).min() > 1e3


def test_dead_entries_revive_after_their_time_and_only_they():
    book = _codebook(revive_after=3, revive_below=0.5)
    book.ema_cluster_size.fill_(1.0)
    tokens = torch.randn(40, E)
    indices = torch.arange(40) % (V - 1)  # the last entry is never used
    for step in range(12):
        plain = _published_update(book, tokens, indices, 0.9)[2]
        book.update(tokens, indices, generator=_generator(step))
        torch.testing.assert_close(book.codebook[:-1], plain[:-1])
        if not torch.allclose(book.codebook[-1], plain[-1]):
            break
    assert step == 3  # under half the mean from the second update on; the fourth is its third dead one
    assert (tokens == book.codebook[-1]).all(1).any()
    torch.testing.assert_close(book.ema_w, book.codebook * book.ema_cluster_size[:, None])
    assert book.ema_cluster_size.min() == book.ema_cluster_size[-1] > 0.5 * book.ema_cluster_size.mean()
    assert book.idle_updates[-1] == 0


def test_revival_follows_its_generator():
    results = []
    for seed in (1, 1, 2):
        book = _codebook(revive_after=1, revive_below=0.9)
        book.update(
            torch.arange(60.0).view(20, E), torch.zeros(20, dtype=torch.int64), generator=_generator(seed)
        )
        results.append(book.codebook.clone())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_revival_without_generator_is_refused():
    with pytest.raises(ValueError, match="needs a generator"):
        _codebook(revive_after=1).update(torch.zeros(2, E), torch.zeros(2, dtype=torch.int64))


def test_start_from_data_finds_separate_clusters():
    centers = torch.randn(V, E) * 100
    tokens = centers.repeat_interleave(torch.arange(2, V + 2), 0)
    tokens = tokens + torch.randn(tokens.shape) / 100
    book = Codebook(V, E)
    counts = book.initialise(tokens[torch.randperm(len(tokens))], generator=_generator())
    distance, match = torch.cdist(centers, book.codebook).min(1)
    assert distance.max() < 0.1
    assert counts[match].tolist() == list(range(2, V + 2))
    torch.testing.assert_close(book.ema_w / book.ema_cluster_size[:, None], book.codebook)
    torch.testing.assert_close(book.ema_cluster_size.mean(), torch.tensor(1.0))


def test_start_from_data_follows_its_generator_and_iterations():
    tokens = torch.randn(50, E)

    def start(seed, **options):
        book = Codebook(V, E)
        book.initialise(tokens, generator=_generator(seed), **options)
        return book.codebook, (torch.cdist(tokens, book.codebook).min(1).values ** 2).mean()

    assert torch.equal(start(0)[0], start(0)[0])
    assert not torch.equal(start(0)[0], start(1)[0])
    assert start(0, iterations=10)[1] < start(0, iterations=0)[1]


def test_start_from_few_or_equal_tokens():
    with pytest.raises(ValueError, match="at least 6 tokens for 6 entries, got 5"):
        Codebook(V, E).initialise(torch.zeros(5, E), generator=_generator())
    book = Codebook(V, E)
    book.initialise(torch.ones(8, E), generator=_generator())
    assert torch.equal(book.codebook, torch.ones(V, E))
    assert book.ema_w.isfinite().all()


def test_usage_and_perplexity():
    counts = torch.tensor([4.0, 4.0, 0.0, 0.0])
    assert codebook_usage(counts) == 0.5
    torch.testing.assert_close(codebook_perplexity(counts), torch.tensor(2.0))
    torch.testing.assert_close(codebook_perplexity(torch.ones(7)), torch.tensor(7.0))
    assert codebook_perplexity(torch.zeros(3)) == 1


@pytest.mark.parametrize(
    "options",
    [{"decay": 1.0}, {"decay": -0.1}, {"revive_after": -1}, {"revive_below": 1.0}, {"learning": "ema"}],
)
def test_options_outside_their_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Codebook(V, E, **options)


def test_learnt_by_gradient_a_step_takes_each_entry_towards_the_mean_of_its_tokens():
    """d/de of the mean over N tokens and E numbers of (e - t)^2 is 2 n (e - mean) / (N E)."""
    book, tokens = _codebook(learning="gradient"), torch.randn(4, 5, E, requires_grad=True)
    indices = book.nearest(tokens)
    before = book.codebook.detach().clone()
    loss = book.loss(tokens, indices)
    torch.testing.assert_close(loss, (before[indices] - tokens).square().mean())
    loss.backward()
    one_hot = torch.nn.functional.one_hot(indices.flatten(), V).float()
    counts = one_hot.sum(0)[:, None]
    sums = one_hot.T @ tokens.detach().view(-1, E)
    torch.testing.assert_close(book.codebook.grad, 2 * (counts * before - sums) / (20 * E))
    assert tokens.grad is None


def test_learnt_by_gradient_neither_the_decoder_nor_an_update_moves_the_entries():
    book, tokens = _codebook(learning="gradient"), torch.randn(4, 5, E, requires_grad=True)
    before = book.codebook.detach().clone()
    codes, indices = book(tokens)
    weights = torch.randn(4, 5, E)
    (codes * weights).sum().backward()
    assert book.codebook.grad is None
    assert torch.equal(tokens.grad, weights)
    counts = book.update(tokens, indices)
    assert torch.equal(book.codebook, before)
    assert torch.equal(counts, torch.bincount(indices.flatten(), minlength=V).float())


def test_learnt_by_gradient_the_start_and_dead_entries_are_as_of_averages():
    averaged, learnt = _codebook(revive_after=1), _codebook(revive_after=1, learning="gradient")
    assert torch.equal(averaged.codebook, learnt.codebook)
    assert list(averaged.state_dict()) == ["codebook", "ema_cluster_size", "ema_w", "idle_updates"]
    assert averaged.state_dict().keys() == learnt.state_dict().keys()
    assert [name for name, _ in learnt.named_parameters()] == ["codebook"]
    assert not list(averaged.parameters())
    tokens = torch.randn(40, E)
    for book in (averaged, learnt):
        book.initialise(tokens, generator=_generator())
    assert torch.equal(averaged.codebook, learnt.codebook)
    indices = torch.arange(40) % (V - 1)
    kept = learnt.codebook[:-1].detach().clone()
    for step in range(40):
        learnt.update(tokens, indices, generator=_generator(step))
    assert torch.equal(learnt.codebook[:-1], kept)
    assert (tokens == learnt.codebook[-1]).all(1).any()


def _train_in_process(rank, folder, world):
    """Update a codebook with this process's share of the tokens; unequal shares for two processes."""
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    tokens = torch.arange(90.0).sin().view(30, E)
    share = tokens if world == 1 else tokens[:20] if rank == 0 else tokens[20:]
    book = _codebook(revive_after=1, revive_below=0.5)
    # another seed on rank 1: rank 0 decides
    book.initialise(share if world == 1 or rank else tokens, generator=_generator(rank))
    for step in range(3):
        book.update(share, book.nearest(share), generator=_generator(10 * rank + step))
    torch.save(book.state_dict(), os.path.join(folder, f"{world}-{rank}.pt"))
    if world > 1:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_end_with_the_entries_of_one(tmp_path):
    _train_in_process(0, str(tmp_path), 1)
    mp.spawn(_train_in_process, args=(str(tmp_path), 2), nprocs=2)
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name in one:
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], one[name], rtol=1e-5, atol=1e-6)
