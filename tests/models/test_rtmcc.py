import pytest
import torch

from pctlib.models.representations.rtmcc import RTMCC, ChannelScale, GatedAttentionUnit, ScaleNorm
from pctlib.models.representations.simcc_coding import SimCCTarget

SWAP = (1, 0, 2)


@pytest.fixture
def rtmcc():
    torch.manual_seed(0)
    return RTMCC(5, SWAP, input_size=(64, 96), feature_stride=16, hidden_dim=24, key_dim=8)


@pytest.fixture
def official(golden):
    data = golden("rtmcc_head")
    head, gau = data.config["head"], data.config["head"]["gau_cfg"]
    model = RTMCC(
        head["in_channels"],
        data.config["flip_indices"],
        input_size=tuple(head["input_size"][::-1]),
        sigma_xy=tuple(head["decoder"]["sigma"]),
        hidden_dim=gau["hidden_dims"],
        key_dim=gau["s"],
    )
    model.head.load_state_dict(data.state)
    return model.eval(), data


def test_bins_loss_and_gradients_equal_the_official_ones(official):
    model, data = official
    features = data.inputs["feat"].requires_grad_()
    prediction = model([features])
    torch.testing.assert_close(prediction.x, data.outputs["simcc_x"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(prediction.y, data.outputs["simcc_y"], rtol=1e-5, atol=1e-6)
    target = model.encode(data.inputs["keypoints"], data.inputs["keypoints_visible"])
    torch.testing.assert_close(target.x, data.inputs["target_x"], rtol=1e-5, atol=1e-6)
    loss = model.loss(prediction, target)["simcc"]
    torch.testing.assert_close(loss, data.outputs["loss_kpt"], rtol=1e-5, atol=0)
    loss.backward()
    torch.testing.assert_close(features.grad, data.outputs["grad_feat"], rtol=1e-4, atol=1e-7)
    for name in ("final_layer.weight", "gau.gamma", "mlp.0.g"):
        gradient = model.head.get_parameter(name).grad
        torch.testing.assert_close(gradient, data.outputs[f"grad_{name}"], rtol=1e-4, atol=1e-7)


def test_other_temperatures_equal_the_official_loss(official):
    model, data = official
    prediction = model([data.inputs["feat"]])
    target = SimCCTarget(*(data.inputs[f"target_{name}"] for name in ("x", "y", "weight")))
    everything = target._replace(weights=torch.ones_like(target.weights))
    rows = {
        "beta10_soft": (target, 10.0, 10.0),
        "beta1_soft": (target, 1.0, 1.0),
        "beta1_softlabel10": (target, 1.0, 10.0),
        "beta1_hard": (target, 1.0, None),
        "beta10_noweight": (everything, 10.0, 10.0),
    }
    for name, (labels, model.beta, model.label_beta) in rows.items():
        loss = model.loss(prediction, labels)["simcc"]
        torch.testing.assert_close(loss, data.outputs[f"loss_kl_{name}"], rtol=1e-5, atol=0, msg=name)


def test_decoding_and_flip_test_equal_the_official_ones(official):
    model, data = official
    prediction, flipped = model([data.inputs["feat"]]), model([data.inputs["feat_flip"]])
    decoded, merged = model.decode(prediction), model.decode(model.merge_flipped(prediction, flipped))
    torch.testing.assert_close(decoded.keypoints, data.outputs["keypoints"], rtol=0, atol=1e-3)
    torch.testing.assert_close(decoded.scores, data.outputs["keypoint_scores"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(merged.keypoints, data.outputs["flip_test_keypoints"], rtol=0, atol=1e-3)
    torch.testing.assert_close(merged.scores, data.outputs["flip_test_scores"], rtol=1e-5, atol=1e-6)


def test_scale_norm_gives_unit_root_mean_square_times_its_scalar():
    norm = ScaleNorm(4)
    with torch.no_grad():
        norm.g.fill_(3.0)
    out = norm(torch.tensor([[2.0, -2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(out, torch.tensor([[3.0, -3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]]))
    half = ScaleNorm(4, eps=4.0)(torch.full((4,), 2.0))  # the divisor is at least eps
    torch.testing.assert_close(half, torch.full((4,), 0.5))


def test_attention_unit_treats_keypoints_alike_and_mixes_them():
    torch.manual_seed(1)
    unit = GatedAttentionUnit(6, key_dim=5, expansion=3)
    tokens = torch.randn(2, 4, 6)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(unit(tokens[:, order]), unit(tokens)[:, order])
    changed = tokens.clone()
    changed[:, 0] += 1
    assert not torch.allclose(unit(changed)[:, 1:], unit(tokens)[:, 1:])
    assert unit.uv.weight.shape == (3 * 6 * 2 + 5, 6)


def test_the_shortcut_is_what_is_scaled():
    unit = GatedAttentionUnit(6, key_dim=5)
    torch.nn.init.zeros_(unit.o.weight)
    with torch.no_grad():
        unit.res_scale.scale.copy_(torch.arange(6.0))
    tokens = torch.randn(2, 4, 6)
    torch.testing.assert_close(unit(tokens), tokens * torch.arange(6.0))
    assert torch.equal(ChannelScale(6)(tokens), tokens)


def test_axes_and_gradient_of_every_parameter(rtmcc):
    prediction = rtmcc([torch.zeros(2, 4, 8, 12), torch.randn(2, 5, 4, 6)])
    assert (prediction.x.shape, prediction.y.shape) == ((2, 3, 192), (2, 3, 128))
    loss = rtmcc.loss(prediction, rtmcc.encode(torch.rand(2, 3, 2) * 60, torch.full((2, 3), 2)))["simcc"]
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in rtmcc.parameters())


def test_options_reach_their_place():
    model = RTMCC(5, SWAP, input_size=(64, 96), sigma_xy=(3.0, 4.0), hidden_dim=20, key_dim=7, beta=4.0)
    assert model.coding.sigma_xy == (3.0, 4.0)
    assert (model.beta, model.label_beta) == (4.0, 4.0)
    assert model.head.grid_size == (2, 3)
    assert model.head.gau.gamma.shape == (2, 7)
    assert model.head.cls_y.weight.shape == (128, 20)


def test_one_batch_can_be_overfitted(rtmcc):
    generator = torch.Generator().manual_seed(4)
    features = [torch.randn(2, 5, 4, 6, generator=generator)]
    keypoints = torch.rand(2, 3, 2, generator=generator) * 50 + 5
    target = rtmcc.encode(keypoints, torch.full((2, 3), 2))
    optimizer = torch.optim.Adam(rtmcc.parameters(), lr=0.01)
    for _ in range(150):
        loss = rtmcc.loss(rtmcc(features), target)["simcc"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (rtmcc.decode(rtmcc(features)).keypoints - keypoints).abs().max() < 1.5  # px


def test_a_grid_of_another_size_is_named(rtmcc):
    with pytest.raises(ValueError, match=r"grid of \(4, 6\), got \(6, 4\)"):
        rtmcc([torch.zeros(1, 5, 6, 4)])
    with pytest.raises(ValueError, match="multiples of 32"):
        RTMCC(5, SWAP, input_size=(64, 90))
