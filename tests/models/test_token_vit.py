"""A transformer with one more token beside the patches."""

import pytest
import torch

from pctlib.models.token_vit import TokenViT, of_width
from pctlib.models.vit import ViT, ViTSize
from pctlib.training.optimizer import parameter_groups

SIZE = ViTSize(24, 2, 4)
INPUT = (64, 48)  # 4 x 3 cells


def backbone(*, token=None, learned=False, seed=0):
    torch.manual_seed(seed)
    vit = ViT(SIZE, INPUT)
    return TokenViT(vit, torch.randn(24) if token is None else token, learned=learned).eval()


def test_the_token_takes_part_and_is_dropped():
    model, images = backbone(), torch.randn(2, 3, *INPUT)
    with torch.no_grad():
        patches = model.vit.embed(images)
        tokens = torch.cat((patches, model.token.expand(2, 1, 24)), 1)
        expected = model.vit.encode(tokens)[:, :12].mT.reshape(2, 24, 4, 3)
        (features,) = model(images)
        (without,) = model.vit(images)
    assert features.shape == without.shape == (2, 24, 4, 3)
    torch.testing.assert_close(features, expected)
    assert not torch.allclose(features, without, atol=1e-3)
    assert (model.channels, model.strides) == ([24], [16])


def test_the_token_has_no_position_and_stands_behind_the_patches(monkeypatch):
    model, seen = backbone(), []
    encode = model.vit.encode
    monkeypatch.setattr(model.vit, "encode", lambda tokens: (seen.append(tokens), encode(tokens))[1])
    images = torch.randn(3, 3, *INPUT)
    model(images)
    torch.testing.assert_close(seen[0][:, -1], model.token.expand(3, 24))
    torch.testing.assert_close(seen[0][:, :-1], model.vit.embed(images))


def test_other_input_sizes_are_taken():
    assert backbone()(torch.randn(1, 3, 32, 80))[0].shape == (1, 24, 2, 5)


def test_a_frozen_token_is_saved_but_is_no_parameter():
    model = backbone()
    assert "token" in model.state_dict()
    assert "token" not in dict(model.named_parameters())
    other = backbone(seed=1)
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, *INPUT)
    torch.testing.assert_close(other(images), model(images))


def test_a_learned_token_takes_a_gradient_and_the_value_given_stays():
    token = torch.randn(24)
    before = token.clone()
    model = backbone(token=token, learned=True)
    model(torch.randn(2, 3, *INPUT))[0].square().sum().backward()
    assert model.token.grad.abs().sum() > 0
    with torch.no_grad():
        model.token += 1
    assert torch.equal(token, before)
    assert model.state_dict().keys() == backbone().state_dict().keys()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"token: expected shape \[24\], got \[23\]"):
        backbone(token=torch.zeros(23))
    with pytest.raises(ValueError, match="expected no experts, got 2"):
        TokenViT(ViT(ViTSize(24, 1, 4, part_features=8), INPUT, num_experts=2), torch.zeros(24))
    with pytest.raises(ValueError, match="multiples of 16"):
        backbone()(torch.zeros(1, 3, 40, 48))


def test_layer_decay_is_that_of_the_transformer_without_token():
    model = torch.nn.Module()
    model.backbone = backbone()
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.1, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    vit = model.backbone.vit
    layers = {vit.pos_embed: 0, vit.blocks[0].norm1.weight: 1, vit.blocks[1].mlp.fc1.weight: 2}
    layers |= {vit.patch_embed.proj.weight: 0, vit.last_norm.bias: 3}
    assert [rates[id(p)] for p in layers] == [0.5 ** (3 - layer) for layer in layers.values()]


@pytest.mark.parametrize(("width", "channels"), [(20, 7), (7, 20)])
def test_a_token_of_another_width_is_turned_not_squeezed(width, channels):
    matrix = torch.stack([of_width(row, channels) for row in torch.eye(width)], dim=1)  # [channels, width]
    assert matrix.shape == (channels, width)
    scale = max(1.0, channels / width)
    gram = matrix @ matrix.mT if channels < width else matrix.mT @ matrix
    torch.testing.assert_close(gram, scale * torch.eye(min(width, channels)), atol=1e-5, rtol=0)
    a, b = torch.randn(2, width)
    torch.testing.assert_close(
        of_width(2 * a + b, channels), 2 * of_width(a, channels) + of_width(b, channels)
    )
    assert torch.equal(of_width(a, channels), of_width(a, channels))
    assert not torch.allclose(of_width(a, channels), of_width(a, channels, seed=1))


def test_entries_keep_their_size():
    token = torch.randn(512, generator=torch.Generator().manual_seed(0))
    for channels in (64, 2048):
        size = of_width(token, channels).square().mean().sqrt()
        assert size.item() == pytest.approx(token.square().mean().sqrt().item(), rel=0.25)


def test_a_token_of_the_right_width_is_copied():
    token = torch.randn(5)
    copied = of_width(token, 5)
    assert torch.equal(copied, token)
    assert copied.data_ptr() != token.data_ptr()
