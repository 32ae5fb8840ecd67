"""Masked autoencoding: what is hidden, what is seen, what counts."""

import pytest
import torch

from pctlib.models.mae import (
    MaskedAutoencoder,
    draw_visible,
    hidden_cells,
    hide,
    patchify,
    unpatchify,
)
from pctlib.models.vit import ViT, ViTSize

INPUT = (64, 48)  # 4 x 3 cells
CELLS = 12


def autoencoder(seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"dim": 16, "depth": 2, "num_heads": 4}
    return MaskedAutoencoder(ViT(ViTSize(24, 2, 4), INPUT), **(sizes | options)).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=2, seed=5):
    return torch.randn(batch, 3, *INPUT, generator=generator(seed))


def test_the_visible_share_is_exact_and_draws_follow_the_generator():
    visible = draw_visible(5, 36, mask_ratio=0.75, generator=generator(1))
    assert visible.shape == (5, 9)
    assert all(row.unique().tolist() == row.tolist() for row in visible)  # distinct, ascending
    assert visible.min() >= 0
    assert visible.max() < 36
    assert torch.equal(visible, draw_visible(5, 36, mask_ratio=0.75, generator=generator(1)))
    assert not torch.equal(visible, draw_visible(5, 36, mask_ratio=0.75, generator=generator(2)))
    assert draw_visible(1, 10, mask_ratio=0.35, generator=generator()).shape == (1, 6)
    many = draw_visible(4000, 8, mask_ratio=0.75, generator=generator(3))
    counts = torch.bincount(many.flatten(), minlength=8) / 4000
    torch.testing.assert_close(counts, torch.full((8,), 0.25), atol=0.03, rtol=0)  # 4 standard deviations


def test_hidden_cells_by_hand():
    hidden = hidden_cells(torch.tensor([[0, 3], [1, 2]]), 4)
    assert hidden.tolist() == [[False, True, True, False], [True, False, False, True]]


def test_a_patch_is_what_the_embedding_sees():
    backbone, x = ViT(ViTSize(24, 1, 4), INPUT), images()
    kernel = backbone.patch_embed.proj
    expected = backbone.patch_embed(x).flatten(2).mT
    got = patchify(x) @ kernel.weight.flatten(1).T + kernel.bias
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_patches_are_put_back_where_they_were():
    x = images()
    assert torch.equal(unpatchify(patchify(x), x), x)
    other = unpatchify(patchify(torch.zeros_like(x)), x)
    assert (other[..., :-2, :-2] == 0).all()
    assert torch.equal(other[..., -2:, :], x[..., -2:, :])  # in no patch


def test_the_encoder_sees_exactly_the_visible_patches():
    model, x = autoencoder(), images()
    visible = draw_visible(2, CELLS, mask_ratio=0.75, generator=generator(4))
    seen = []
    model.encoder.blocks[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x.requires_grad_(True)
    prediction = model(x, visible)
    expected = torch.stack([model.encoder.embed(x)[i, visible[i]] for i in range(2)])
    torch.testing.assert_close(seen[0], expected)  # [2, 3, 24], not [2, 12, 24]
    (gradient,) = torch.autograd.grad(prediction.square().sum(), x)
    depends = patchify(gradient).abs().sum(-1) > 0
    assert torch.equal(depends, ~hidden_cells(visible, CELLS))


def test_tokens_return_to_their_cells():
    """A decoder without blocks: each cell is predicted from its own token, or from the mask token."""
    model, x = autoencoder(depth=0), images()
    visible = torch.tensor([[7, 0, 10], [3, 4, 11]])  # in any order
    with torch.no_grad():
        got = model(x, visible)
        cells = model.encoder.embed(x)
        for image in range(2):
            tokens = model.encoder.encode(cells[image, visible[image]][None])
            expected = model.mask_token[0].expand(CELLS, -1).clone()
            expected[visible[image]] = model.decoder_embed(tokens)[0]
            expected = model.decoder_pred(model.decoder_norm(expected + model.decoder_pos_embed))
            torch.testing.assert_close(got[image], expected, atol=1e-5, rtol=1e-5)


def test_errors_count_hidden_patches_only():
    model, x = autoencoder(normalise=False), images()
    visible = torch.tensor([[0, 1, 2], [0, 5, 6]])
    prediction = patchify(x).clone()
    prediction[0, 3] += 2.0  # hidden in the first image
    prediction[1, 3:5] += 1.0  # hidden in the second
    prediction[0, 0] = float("nan")  # visible
    errors = model.errors(prediction.nan_to_num(nan=1e6), x, visible)
    assert errors.tolist() == pytest.approx([4 / 9, 2 / 9])


def test_normalised_pixels_have_no_mean_and_unit_deviation():
    model = autoencoder()
    x = 3 + 5 * images()
    target = model.target(x)
    assert target.shape == (2, CELLS, 768)
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, CELLS), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(-1), torch.ones(2, CELLS), atol=1e-4, rtol=0)
    assert torch.equal(autoencoder(normalise=False).target(x), patchify(x))
    flat = model.errors(torch.zeros(2, CELLS, 768), x, torch.tensor([[0], [1]]))
    torch.testing.assert_close(flat, torch.full((2,), 767 / 768), atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_perfect_prediction_restores_the_image(normalise):
    model, x = autoencoder(normalise=normalise), images()
    visible = draw_visible(2, CELLS, mask_ratio=0.75, generator=generator())
    restored = model.restore(model.target(x), x, visible)
    torch.testing.assert_close(restored, x, atol=1e-4, rtol=1e-4)
    wrong = model.restore(model.target(x) + 1, x, visible)
    changed = (patchify(wrong) - patchify(x)).abs().amax(-1) > 0.1
    assert torch.equal(changed, hidden_cells(visible, CELLS))


def test_hiding_leaves_the_visible_patches():
    x, visible = images(), torch.tensor([[1, 6], [0, 11]])
    got, hidden = patchify(hide(x, visible)), hidden_cells(visible, CELLS)
    assert (got[hidden] == 0).all()
    assert torch.equal(got[~hidden], patchify(x)[~hidden])


def test_it_learns_and_gradient_reaches_every_parameter():
    model, x = autoencoder().train(), images(4)
    visible = draw_visible(4, CELLS, mask_ratio=0.5, generator=generator())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = model.errors(model(x, visible), x, visible).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"mask_ratio: 0.95 of 12 cells leaves 0 visible"):
        draw_visible(2, CELLS, mask_ratio=0.95, generator=generator())
    with pytest.raises(ValueError, match=r"mask_ratio: 0.0 of 12 cells leaves 12 visible"):
        draw_visible(2, CELLS, mask_ratio=0.0, generator=generator())
    with pytest.raises(ValueError, match=r"images: expected \(64, 48\), got \(64, 64\)"):
        autoencoder()(torch.zeros(1, 3, 64, 64), torch.tensor([[0]]))
    with pytest.raises(ValueError, match="multiple of 4, got 18"):
        autoencoder(dim=18, num_heads=3)
