import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.models.representations.simcc import SimCC, SimCCHead, SimCCPrediction
from pctlib.models.representations.simcc_coding import SimCCCoding

SWAP = (1, 0, 2)
SIZE = (256, 192)
CODINGS = {
    "simcc": SimCCCoding(SIZE, (4.9, 5.66)),
    "simcc_norm": SimCCCoding(SIZE, (6.0, 6.0), normalized=True),
    "simcc_dark": SimCCCoding(SIZE, (4.9, 5.66), dark=True),
}


@pytest.fixture
def simcc():
    torch.manual_seed(0)
    return SimCC.linear(5, SWAP, input_size=(64, 96), feature_stride=16)


@pytest.mark.parametrize("name", ["simcc", "simcc_norm"])
def test_encoding_equals_the_official_one(golden, name):
    codecs = golden("codecs")
    target = CODINGS[name].encode(codecs.inputs["keypoints"], codecs.inputs["keypoints_visible"])
    torch.testing.assert_close(target.weights, codecs.outputs[f"{name}/weights"])
    torch.testing.assert_close(target.x, codecs.outputs[f"{name}/x"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(target.y, codecs.outputs[f"{name}/y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(CODINGS))
def test_decoding_equals_the_official_one(golden, name):
    codecs = golden("codecs")
    decoded = CODINGS[name].decode(codecs.inputs[f"{name}/noisy_x"], codecs.inputs[f"{name}/noisy_y"])
    expected = codecs.outputs[f"{name}/noisy_keypoints"]
    # A Newton step of 300 bins (one of 136, curvature about 0) is decided by float32 rounding: 1e-3 of it.
    highest = replace(CODINGS[name], dark=False).decode(
        codecs.inputs[f"{name}/noisy_x"], codecs.inputs[f"{name}/noisy_y"]
    )
    limit = torch.where((expected - highest.keypoints).abs() < 20, 1e-3, 0.1)
    assert ((decoded.keypoints - expected).abs() <= limit).all()
    assert (limit == 0.1).sum() <= 1
    torch.testing.assert_close(decoded.scores, codecs.outputs[f"{name}/noisy_scores"])


def test_axes_and_values_by_hand():
    coding = SimCCCoding((64, 48), (2.0, 3.0))
    x, y, weights = coding.encode(torch.tensor([[[10.25, 20.75], [1.0, 2.0]]]), torch.tensor([[2, 0]]))
    assert (x.shape, y.shape) == ((1, 2, 96), (1, 2, 128))
    assert weights.tolist() == [[1, 0]]
    assert x[0, 0].argmax() == 20  # 20.5, rounded to the even bin
    assert y[0, 0].argmax() == 42  # 41.5, rounded to the even bin
    torch.testing.assert_close(x[0, 0, 22], torch.tensor(math.exp(-0.5)))  # 2 bins = one sigma along x
    torch.testing.assert_close(y[0, 0, 45], torch.tensor(math.exp(-0.5)))  # 3 bins along y
    assert x[0, 1].sum() == y[0, 1].sum() == 0


def test_sigma_follows_the_rule_of_rtmpose():
    assert SimCCCoding((256, 192)).sigma_xy == (4.9, 5.66)
    assert SimCCCoding((384, 288)).sigma_xy == (6.0, 6.93)


def test_bins_per_pixel_and_normalisation():
    coding = SimCCCoding((64, 48), (4.0, 4.0), bins_per_pixel=3.0, normalized=True)
    x, y, _ = coding.encode(torch.tensor([[[20.0, 30.0]]]), torch.ones(1, 1))
    assert coding.num_bins_xy == (144, 192)
    assert (x[0, 0].argmax(), y[0, 0].argmax()) == (60, 90)
    torch.testing.assert_close(x.sum(), torch.tensor(1.0))


@settings(max_examples=30, deadline=None)
@given(x=st.floats(10, 180), y=st.floats(10, 240), name=st.sampled_from(list(CODINGS)))
def test_decoding_inverts_encoding_within_half_a_bin(x, y, name):
    coding, keypoint = CODINGS[name], torch.tensor([[[x, y]]])
    target = coding.encode(keypoint, torch.ones(1, 1))
    assert (coding.decode(target.x, target.y).keypoints - keypoint).abs().max() <= 0.25 + 1e-3


def test_dark_finds_the_maximum_between_bins():
    grid_x, grid_y = torch.arange(384.0), torch.arange(512.0)
    x, y = torch.exp(-((grid_x - 100.3) ** 2) / 60), torch.exp(-((grid_y - 200.4) ** 2) / 60)
    plain, refined = (CODINGS[name].decode(x[None, None], y[None, None]) for name in ("simcc", "simcc_dark"))
    assert plain.keypoints.tolist() == [[[50.0, 100.0]]]
    torch.testing.assert_close(refined.keypoints, torch.tensor([[[50.15, 100.2]]]), rtol=0, atol=1e-2)
    assert torch.equal(plain.scores, refined.scores)


@pytest.mark.parametrize("name", list(CODINGS))
def test_not_found_unlabelled_and_far_keypoints(name):
    coding = CODINGS[name]
    keypoints = torch.tensor([[[float("nan"), 3.0], [500.0, 20.0], [20.0, -90.0], [-3.0, 40.0]]])
    target = coding.encode(keypoints, torch.tensor([[0, 2, 1, 1]]))
    assert target.weights.tolist() == [[0, 0, 0, 1]]  # the last is outside, but within 3 sigma
    decoded = coding.decode(target.x, target.y)
    assert (decoded.keypoints[0, :3] == -0.5).all()
    assert (decoded.scores[0, :3] == 0).all()
    one_axis = coding.decode(target.x[:, 3:], -target.y[:, 3:])
    assert (one_axis.keypoints == -0.5).all()


def test_head_axes_and_gradient_of_every_parameter(simcc):
    B, K = 2, 3
    prediction = simcc([torch.zeros(B, 4, 8, 12), torch.randn(B, 5, 4, 6)])
    assert (prediction.x.shape, prediction.y.shape) == ((B, K, 192), (B, K, 128))
    assert simcc.coding.sigma_xy == (6.0, 6.0)
    assert simcc.coding.normalized
    loss = simcc.loss(prediction, simcc.encode(torch.rand(B, K, 2) * 60, torch.full((B, K), 2)))["simcc"]
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in simcc.parameters())


def test_options_reach_their_place():
    model = SimCC.linear(5, SWAP, input_size=(64, 96), sigma_xy=(3.0, 4.0), dark=True)
    assert (model.coding.sigma_xy, model.coding.dark) == ((3.0, 4.0), True)
    assert model.head.grid_size == (2, 3)
    finest = SimCC(model.head, model.coding, flip_permutation=SWAP, level=0)
    assert finest([torch.zeros(1, 5, 2, 3), torch.zeros(1, 7, 1, 1)]).x.shape == (1, 3, 192)


def test_both_temperatures_change_the_loss(simcc):
    prediction = simcc([torch.randn(2, 5, 4, 6)])
    target = simcc.encode(torch.rand(2, 3, 2) * 60, torch.full((2, 3), 2))
    values = set()
    for beta, label_beta in ((1.0, None), (2.0, None), (1.0, 1.0), (1.0, 10.0)):
        model = SimCC(simcc.head, simcc.coding, flip_permutation=SWAP, beta=beta, label_beta=label_beta)
        values.add(round(model.loss(prediction, target)["simcc"].item(), 7))
    assert len(values) == 4


def test_merging_reverses_x_and_swaps_pairs(simcc):
    here = SimCCPrediction(torch.rand(2, 3, 192), torch.rand(2, 3, 128))
    there = SimCCPrediction(torch.rand(2, 3, 192), torch.rand(2, 3, 128))
    merged = simcc.merge_flipped(here, there)
    torch.testing.assert_close(merged.x[:, 0, 7], (here.x[:, 0, 7] + there.x[:, 1, 184]) / 2)
    torch.testing.assert_close(merged.y[:, 2, 7], (here.y[:, 2, 7] + there.y[:, 2, 7]) / 2)


def test_one_batch_can_be_overfitted(simcc):
    generator = torch.Generator().manual_seed(4)
    features = [torch.randn(2, 5, 4, 6, generator=generator)]
    keypoints = torch.rand(2, 3, 2, generator=generator) * 50 + 5
    target = simcc.encode(keypoints, torch.full((2, 3), 2))
    optimizer = torch.optim.Adam(simcc.parameters(), lr=0.02)
    for _ in range(100):
        loss = simcc.loss(simcc(features), target)["simcc"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (simcc.decode(simcc(features)).keypoints - keypoints).abs().max() < 1.5  # px


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": (256, 1)}, "input_size"),
        ({"sigma_xy": (4.0, 0.0)}, "sigma_xy"),
        ({"bins_per_pixel": 0.0}, "bins_per_pixel"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SimCCCoding(**({"input_size": SIZE} | change))


def test_wrong_shapes_are_named(simcc):
    with pytest.raises(ValueError, match=r"\(1, 3, 2\), \(1, 4\)"):
        CODINGS["simcc"].encode(torch.zeros(1, 3, 2), torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"\(384, 512\) bins in x and y, got \(512, 384\)"):
        CODINGS["simcc"].decode(torch.zeros(1, 3, 512), torch.zeros(1, 3, 384))
    with pytest.raises(ValueError, match=r"grid of \(4, 6\), got \(6, 4\)"):
        simcc([torch.zeros(1, 5, 6, 4)])
    with pytest.raises(ValueError, match="multiples of 32"):
        SimCC.linear(5, SWAP, input_size=(64, 90))
    assert SimCCHead(5, 3, grid_size=(4, 6), num_bins_xy=(8, 9))(torch.zeros(1, 5, 4, 6)).y.shape == (1, 3, 9)
