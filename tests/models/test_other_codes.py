"""Codes of tokens beyond the paper: every code is reached, gradients pass, a second level adds detail."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pctlib.models.layers import MixerSize
from pctlib.models.other_codes import FiniteScalarCodes, ResidualCodes, levels_of
from pctlib.models.tokenizer import PoseTokenizer


@pytest.mark.parametrize(
    ("size", "levels"),
    [(512, (8, 8, 8)), (16, (8, 2)), (4375, (7, 5, 5, 5, 5)), (240, (8, 6, 5)), (3, (3,))],
)
def test_levels_multiply_to_the_size(size, levels):
    assert levels_of(size) == levels


@given(st.integers(1, 3000))
def test_levels_are_found_or_refused(size):
    rest = size
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    if rest > 1 or size == 1:
        with pytest.raises(ValueError, match=f"got {size}"):
            levels_of(size)
    else:
        levels = levels_of(size)
        assert torch.tensor(levels).prod() == size
        assert all(2 <= level <= 8 for level in levels)


def identity_codes(size):
    """Return finite scalars whose projections change nothing."""
    codes = FiniteScalarCodes(size, len(levels_of(size)))
    for layer in (codes.to_numbers, codes.to_codes):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return codes


@pytest.mark.parametrize("size", [16, 35, 240])
def test_every_code_of_the_grid_is_read_back_as_itself(size):
    codes = identity_codes(size)
    table = codes.codebook
    assert table.shape == (size, len(codes.levels))
    assert len(torch.unique(table, dim=0)) == size
    half = torch.tensor(codes.levels) // 2
    numbers = table * half  # whole, as rounding gives them
    offset = torch.where(torch.tensor(codes.levels) % 2 == 0, 0.5, 0.0)
    reach = (torch.tensor(codes.levels) - 1) * 1.001 / 2
    tokens = torch.atanh((numbers + offset) / reach) - torch.atanh(offset / reach)
    found = codes(tokens)
    assert found.indices.tolist() == list(range(size))
    torch.testing.assert_close(found.codes, table)
    torch.testing.assert_close(codes.look_up(found.indices), table)
    assert codes.nearest(tokens).tolist() == list(range(size))


def test_levels_are_those_of_the_paper_and_no_others():
    """Even numbers of levels: -L/2 to L/2 - 1; odd ones: -(L-1)/2 to (L-1)/2, however far the tokens lie."""
    codes = identity_codes(35)  # 7 x 5
    tokens = torch.linspace(-50, 50, 2001)[:, None].expand(-1, 2)
    digits = codes(tokens).codes * torch.tensor([3, 2])
    assert digits[:, 0].unique().tolist() == pytest.approx([-3, -2, -1, 0, 1, 2, 3])
    assert digits[:, 1].unique().tolist() == pytest.approx([-2, -1, 0, 1, 2])
    even = identity_codes(8)(tokens[:, :1]).codes * 4
    assert even.unique().tolist() == pytest.approx([-4, -3, -2, -1, 0, 1, 2, 3])


def test_gradients_pass_the_rounding_and_reach_both_projections():
    codes = FiniteScalarCodes(240, 6)
    tokens = torch.randn(5, 6, requires_grad=True)
    codes(tokens).codes.square().sum().backward()
    for tensor in (tokens, *codes.parameters()):
        assert tensor.grad.abs().sum() > 0


def test_counts_of_codes_are_those_of_the_tokens():
    codes = identity_codes(16)
    tokens = torch.randn(100, 2)
    indices = codes(tokens).indices
    counts = codes.update(tokens, indices)
    assert counts.sum() == 100
    assert counts[indices[0]] == (indices == indices[0]).sum()


def test_the_start_spreads_the_tokens_over_the_levels():
    """However far off and narrow they lie: equal deviations, along the directions in which they differ."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    scales = torch.tensor([3.0, 2.0, 1.0, 0.01, 0.01, 0.01])
    tokens = 40 + 1e-2 * torch.randn(8, 500, 6, generator=generator) * scales @ directions
    codes = FiniteScalarCodes(512, 6)
    assert codes(tokens).indices.unique().numel() < 100
    codes.initialise(tokens, generator=generator)
    numbers = codes.to_numbers(tokens).flatten(0, 1)
    torch.testing.assert_close(numbers.mean(0), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(numbers.std(0), torch.full((3,), 0.7), atol=1e-2, rtol=0)
    assert (codes.to_numbers.weight @ directions[3:].T).abs().max() < 1
    assert codes(tokens).indices.unique().numel() > 400


def test_a_start_from_tokens_narrower_than_the_numbers_is_finite():
    codes = FiniteScalarCodes(4375, 2)  # five numbers of two
    codes.initialise(torch.ones(10, 2), generator=torch.Generator())
    assert all(p.isfinite().all() for p in codes.parameters())
    assert codes(torch.ones(1, 2)).codes.isfinite().all()


def test_two_levels_are_two_look_ups():
    codes = ResidualCodes(12, 2)
    assert (len(codes.first.codebook), len(codes.second.codebook)) == (4, 3)
    codes.first.codebook.copy_(torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10]]))
    codes.second.codebook.copy_(torch.tensor([[0.0, 0], [1, 0], [0, -1]]))
    found = codes(torch.tensor([[10.9, 0.1], [0.1, 8.9], [0.0, 0.2]]))
    assert found.indices.tolist() == [1 * 3 + 1, 2 * 3 + 2, 0]
    torch.testing.assert_close(found.codes, torch.tensor([[11.0, 0], [0, 9], [0, 0]]))
    torch.testing.assert_close(codes.codebook[found.indices], found.codes)
    for i, j in itertools.product(range(4), range(3)):
        torch.testing.assert_close(
            codes.codebook[3 * i + j], codes.first.codebook[i] + codes.second.codebook[j]
        )


def test_the_second_level_lowers_the_error_and_both_move_towards_their_tokens():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2000, 3, generator=generator)
    codes = ResidualCodes(64, 3)
    codes.initialise(tokens, generator=generator)
    indices = codes.nearest(tokens)
    one = (tokens - codes.first.look_up(indices // 8)).square().mean()
    two = (tokens - codes.look_up(indices)).square().mean()
    assert two < 0.5 * one
    shifted = tokens + 1
    before = (shifted - codes.look_up(codes.nearest(shifted))).square().mean()
    for _ in range(20):
        counts = codes.update(shifted, codes.nearest(shifted))
    after = (shifted - codes.look_up(codes.nearest(shifted))).square().mean()
    assert after < 0.7 * before
    assert counts.sum() == 2000


def test_the_gradient_of_two_levels_reaches_the_tokens_alone():
    tokens = torch.randn(4, 3, requires_grad=True)
    ResidualCodes(16, 3)(tokens).codes.sum().backward()
    assert torch.equal(tokens.grad, torch.ones(4, 3))


@pytest.mark.parametrize(("kind", "size", "message"), [
    (FiniteScalarCodes, 22, "product of numbers of 2 to 8, got 22"),
    (FiniteScalarCodes, 1, "got 1"),
    (ResidualCodes, 13, "product of two numbers, got 13"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_named(kind, size, message):
    with pytest.raises(ValueError, match=message):
        kind(size, 4)


@pytest.mark.parametrize("learning", ["scalar", "residual"])
def test_a_tokenizer_writes_and_reads_with_them(learning):
    size = MixerSize(dim=16, num_layers=1, token_hidden=8, channel_hidden=16)
    tokenizer = PoseTokenizer(
        5, 4, codebook_size=16, token_dim=8, encoder=size, decoder=size, codebook_learning=learning
    ).eval()
    poses, visible = torch.randn(3, 5, 2), torch.ones(3, 5, dtype=torch.bool)
    output = tokenizer(poses, visible)
    assert output.indices.shape == (3, 4)
    assert int(output.indices.max()) < 16
    written = tokenizer.codebook.look_up(output.indices)
    torch.testing.assert_close(tokenizer.decode(written), output.keypoints, atol=1e-5, rtol=1e-5)
    sure = torch.nn.functional.one_hot(output.indices, 16).float() @ tokenizer.codebook.codebook
    torch.testing.assert_close(sure, written)
