import pytest
import torch
from helpers.official_pct import SMALL_TOKENIZER, random_state, reference_tokenizer, tokenizer_shapes

from pctlib.checkpoints.pct import load_tokenizer
from pctlib.losses import tokenizer_losses
from pctlib.models.backbones import Backbone
from pctlib.models.layers import MixerSize
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer, features_at

B, K, M, V, E = 4, 5, 7, 11, 6


def _tokenizer(**options):
    torch.manual_seed(0)
    sizes = {
        "codebook_size": V,
        "token_dim": E,
        "encoder": MixerSize(dim=12, num_layers=2, token_hidden=4, channel_hidden=9),
        "decoder": MixerSize(dim=8, num_layers=1, token_hidden=3, channel_hidden=10),
    }
    return PoseTokenizer(K, M, **(sizes | options))


def _poses(D=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keypoints = 200 * torch.rand(B, K, D, generator=generator)
    visible = torch.tensor(
        [[2, 2, 1, 2, 1], [0, 2, 2, 1, 0], [2, 0, 2, 2, 2], [0, 0, 0, 0, 0]], dtype=torch.uint8
    )
    return keypoints, visible


@pytest.mark.parametrize("D", [2, 3])
def test_axes(D):
    output = _tokenizer(num_dims=D)(*_poses(D))
    assert output.keypoints.shape == (B, K, D)
    assert output.tokens.shape == output.codes.shape == (B, M, E)
    assert output.indices.shape == (B, M)


@pytest.mark.parametrize("guide", [(0, 0), (13, 3)])
def test_published_function_written_out(guide):
    state = random_state(tokenizer_shapes(**SMALL_TOKENIZER, guide=guide))
    tokenizer = load_tokenizer(state, "f.pth")
    features = torch.randn(B, K, 13) if guide[0] else None
    with torch.no_grad():
        output = tokenizer(*_poses(), joint_features=features)
    keypoints, tokens, indices = reference_tokenizer(state, *_poses(), features)
    torch.testing.assert_close(output.keypoints, keypoints, atol=1e-3, rtol=0)
    torch.testing.assert_close(output.tokens, tokens, atol=1e-4, rtol=1e-5)
    assert torch.equal(output.indices, indices)


def test_parts_compose_to_the_whole():
    tokenizer = _tokenizer().eval()
    with torch.no_grad():
        output = tokenizer(*_poses())
        tokens = tokenizer.encode(*_poses())
        codes, indices = tokenizer.quantize(tokens)
        assert torch.equal(tokens, output.tokens)
        assert torch.equal(indices, output.indices)
        assert torch.equal(tokenizer.decode(tokenizer.codebook.look_up(indices)), output.keypoints)
        assert torch.equal(codes, output.codes)


def test_hidden_coordinates_change_neither_tokens_nor_gradients():
    tokenizer, (keypoints, visible) = _tokenizer(drop_rate=0), _poses()
    keypoints[visible == 0] = float("nan")
    output = tokenizer(keypoints, visible)
    sum(tokenizer_losses(output, keypoints, visible).values()).backward()
    assert all(p.grad.isfinite().all() for p in tokenizer.parameters())
    other = keypoints.nan_to_num(77.0)
    assert torch.equal(tokenizer(other, visible).tokens, output.tokens)


def test_given_mask_hides_as_visibility_does_and_replaces_the_draw():
    tokenizer, (keypoints, visible) = _tokenizer(drop_rate=0.9), _poses()
    hidden = torch.tensor([True, False, True, False, False]).expand(B, K)
    masked = tokenizer(keypoints, visible, hidden=hidden)
    assert torch.equal(masked.tokens, tokenizer.encode(keypoints, visible * ~hidden))


def test_random_hiding_is_for_training_and_follows_its_generator():
    tokenizer, (keypoints, visible) = _tokenizer(drop_rate=0.5), _poses()

    def tokens(seed):
        return tokenizer(keypoints, visible, generator=torch.Generator().manual_seed(seed)).tokens

    assert torch.equal(tokens(1), tokens(1))
    assert not torch.equal(tokens(1), tokens(2))
    draw = torch.rand(visible.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    assert torch.equal(tokens(1), tokenizer(keypoints, visible, hidden=draw).tokens)
    tokenizer.eval()
    assert torch.equal(tokens(1), tokenizer.encode(keypoints, visible))


def test_normalised_coordinates_are_undone_at_the_output():
    """With scale s and centre c the model is the raw one seen through (x - c) / s."""
    raw = _tokenizer(drop_rate=0)
    normalised = _tokenizer(drop_rate=0, coordinate_center=(100.0, 80.0), coordinate_scale=50.0)
    normalised.load_state_dict(raw.state_dict())
    keypoints, visible = _poses()
    center = torch.tensor([100.0, 80.0])
    seen = raw((keypoints - center) / 50, visible)
    output = normalised(keypoints, visible)
    torch.testing.assert_close(output.tokens, seen.tokens)
    torch.testing.assert_close(output.keypoints, seen.keypoints * 50 + center)


@pytest.mark.parametrize("options", [{}, {"guide_channels": 13, "guide_ratio": 0.25}, {"num_dims": 3}])
def test_every_parameter_gets_a_gradient(options):
    tokenizer = _tokenizer(drop_rate=0, **options)
    keypoints, visible = _poses(options.get("num_dims", 2))
    features = torch.randn(B, K, 13) if "guide_channels" in options else None
    output = tokenizer(keypoints, visible, joint_features=features)
    sum(tokenizer_losses(output, keypoints, visible).values()).backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad is not None, name
        # One constant on all channels of a keypoint: every reader of the stream is a LayerNorm over channels.
        without_effect = name.endswith("token_mlp.fc2.bias")
        assert without_effect or parameter.grad.abs().sum() > 0, name


def test_codebook_learnt_by_gradient_gets_one_from_its_loss_alone():
    tokenizer = _tokenizer(drop_rate=0, codebook_learning="gradient")
    output = tokenizer(*_poses())
    sum(tokenizer_losses(output, *_poses()).values()).backward()
    assert tokenizer.codebook.codebook.grad is None
    tokenizer.codebook.loss(output.tokens, output.indices).backward()
    used = torch.bincount(output.indices.flatten(), minlength=V) > 0
    assert torch.equal(tokenizer.codebook.codebook.grad.abs().sum(1) > 0, used)
    plain = _tokenizer(drop_rate=0)
    assert torch.equal(plain(*_poses()).keypoints, output.keypoints)  # the same draws of the weights


def test_plain_mlp_in_place_of_the_mixer():
    """Everything else stays, hidden joints are not seen, and a joint acts through the MLP alone."""
    tokenizer = _tokenizer(drop_rate=0, encoder_kind="mlp")
    weights, hidden = K * 12, 9
    expected = (weights + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * weights
    assert sum(p.numel() for p in tokenizer.encoder.parameters()) == expected
    shapes = {name: p.shape for name, p in tokenizer.named_parameters() if not name.startswith("encoder.")}
    mixed = {name: p.shape for name, p in _tokenizer().named_parameters() if not name.startswith("encoder.")}
    assert shapes == mixed
    keypoints, visible = _poses()
    output = tokenizer(keypoints, visible)
    sum(tokenizer_losses(output, keypoints, visible).values()).backward()
    assert all(p.grad.abs().sum() > 0 for p in tokenizer.encoder.parameters())
    other = torch.where((visible > 0).unsqueeze(-1), keypoints, -5.0)
    assert torch.equal(tokenizer(other, visible).tokens, output.tokens)


@pytest.mark.parametrize("D", [2, 3])
def test_one_batch_can_be_overfitted(D):
    """A few poses (pixels or millimetres) come back within a tenth of their spread."""
    size = MixerSize(dim=32, num_layers=1, token_hidden=16, channel_hidden=32)
    tokenizer = _tokenizer(
        codebook_size=24, token_dim=16, encoder=size, decoder=size, num_dims=D, revive_after=5,
        coordinate_center=100.0, coordinate_scale=60.0, drop_rate=0.0,
    )  # fmt: skip
    keypoints, visible = _poses(D)[0], torch.ones(B, K)
    generator = torch.Generator().manual_seed(0)
    tokenizer.codebook.initialise(tokenizer.encode(keypoints, visible), generator=generator)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for _ in range(150):
        output = tokenizer(keypoints, visible)
        optimizer.zero_grad()
        sum(tokenizer_losses(output, keypoints, visible).values()).backward()
        optimizer.step()
        scheduler.step()
        tokenizer.codebook.update(output.tokens, output.indices, generator=generator)
    with torch.no_grad():
        restored = tokenizer.eval()(keypoints, visible).keypoints
    spread = (keypoints - keypoints.mean(0)).norm(dim=-1).mean()
    assert (restored - keypoints).norm(dim=-1).mean() < 0.1 * spread


def test_float32_under_autocast():
    tokenizer = _tokenizer().eval()
    with torch.no_grad():
        expected = tokenizer(*_poses())
        with torch.autocast("cpu", torch.bfloat16):
            output = tokenizer(*_poses())
    assert torch.equal(output.keypoints, expected.keypoints)


def test_checkpoint_round_trip(tmp_path):
    tokenizer = _tokenizer().eval()
    tokenizer.codebook.update(torch.randn(9, E), torch.arange(9))
    torch.save(tokenizer.state_dict(), tmp_path / "t.pt")
    torch.manual_seed(5)
    other = PoseTokenizer(
        K,
        M,
        codebook_size=V,
        token_dim=E,
        encoder=MixerSize(dim=12, num_layers=2, token_hidden=4, channel_hidden=9),
        decoder=MixerSize(dim=8, num_layers=1, token_hidden=3, channel_hidden=10),
    ).eval()
    assert not torch.equal(other(*_poses()).keypoints, tokenizer(*_poses()).keypoints)
    other.load_state_dict(torch.load(tmp_path / "t.pt", weights_only=True))
    assert torch.equal(other(*_poses()).keypoints, tokenizer(*_poses()).keypoints)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_dims": 4}, "num_dims: expected 2 or 3, got 4"),
        ({"drop_rate": 1.0}, "drop_rate"),
        ({"coordinate_scale": 0.0}, "coordinate_scale"),
        ({"encoder_kind": "vit"}, "encoder_kind: expected 'mixer' or 'mlp', got 'vit'"),
        ({"guide_channels": 8}, "guide_channels and guide_ratio"),
        ({"guide_ratio": 0.5}, "guide_channels and guide_ratio"),
        ({"guide_channels": 8, "guide_ratio": 0.3}, "not a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        _tokenizer(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": torch.zeros(B, K, 3)}, r"\[B, 5, 2\]"),
        ({"visible": torch.ones(B, K + 1)}, r"visible \[B, 5\]"),
        ({"hidden": torch.ones(B, K)}, "hidden bool"),
        ({"hidden": torch.ones(B, 1, dtype=torch.bool)}, "hidden bool"),
        ({"joint_features": torch.zeros(B, K, 3)}, "no image guidance"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    keypoints, visible = _poses()
    inputs = {"keypoints": keypoints, "visible": visible} | change
    with pytest.raises(ValueError, match=message):
        _tokenizer()(**inputs)


def test_guided_tokenizer_needs_features():
    tokenizer = _tokenizer(guide_channels=13, guide_ratio=0.25)
    with pytest.raises(ValueError, match=r"expected joint_features \(4, 5, 13\), got None"):
        tokenizer(*_poses())


def test_features_of_the_cell_without_interpolation():
    """Cells of 16 x 8 pixels (x, y); half a cell is added before truncation, borders are clamped."""
    h, w = 4, 3
    feature_map = torch.arange(2 * 5 * h * w).view(2, 5, h, w).float()
    points = [[0, 0], [7.9, 3.9], [8, 4], [24, 12], [-50, 500], [500, -50], [float("nan"), 12]]
    cells = [(0, 0), (0, 0), (1, 1), (2, 2), (0, 3), (2, 0), (0, 2)]
    keypoints = torch.tensor(points).expand(2, -1, -1)
    found = features_at(feature_map, keypoints, input_size=(32, 48))
    expected = torch.stack([feature_map[:, :, y, x] for x, y in cells], 1)
    assert torch.equal(found, expected)


def test_guide_stays_frozen_and_in_eval_mode():
    guide = Backbone("resnet10t", out_indices=(4,))
    tokenizer = _tokenizer(guide_channels=guide.channels[-1], guide_ratio=0.5)
    model = GuidedTokenizer(guide, tokenizer).train()
    assert tokenizer.training
    assert not any(module.training for module in guide.modules())
    before = {name: value.clone() for name, value in guide.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keypoints, visible = _poses()
    output = model(torch.randn(B, 3, 64, 96), keypoints, visible)
    sum(tokenizer_losses(output, keypoints, visible).values()).backward()
    optimizer.step()
    assert tokenizer.embed_features.weight.grad.abs().sum() > 0
    assert all(torch.equal(before[name], value) for name, value in guide.state_dict().items())
    with pytest.raises(ValueError, match="the guide gives 512 channels, the tokenizer expects 0"):
        GuidedTokenizer(guide, _tokenizer())
