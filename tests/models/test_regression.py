import math

import pytest
import torch

from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.representations.integral import IntegralRegression
from pctlib.models.representations.regression import (
    CoordinateRegression,
    RealNVP,
    RegressionPrediction,
    ResidualLikelihoodRegression,
)

SWAP = (1, 0, 2)
SIZE = (64, 96)


def make(name, flip=SWAP, size=SIZE, **options):
    torch.manual_seed(0)
    if name == "soft_argmax":
        head = DeconvolutionHead(5, len(flip), channels=(8,), kernels=(4,))
        return IntegralRegression(head, flip, input_size=size, **options)
    kind = {"coordinates": CoordinateRegression, "rle": ResidualLikelihoodRegression}[name]
    return kind(5, flip, input_size=size, **options)


NAMES = ("coordinates", "soft_argmax", "rle")


def test_coding_equals_the_official_one(golden):
    codecs = golden("codecs")
    model = make("rle", flip=range(17), size=(256, 192))
    target = model.encode(codecs.inputs["keypoints"], codecs.inputs["keypoints_visible"])
    torch.testing.assert_close(target.coordinates, codecs.outputs["reg/labels"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(target.labelled.float(), codecs.outputs["reg/weights"])
    noisy, ones = codecs.inputs["reg/noisy"], torch.ones(4, 17)
    decoded = model.decode(RegressionPrediction(noisy, torch.zeros_like(noisy), ones))
    torch.testing.assert_close(decoded.keypoints, codecs.outputs["reg/noisy_keypoints"], rtol=0, atol=1e-3)
    torch.testing.assert_close(decoded.scores, codecs.outputs["reg/noisy_scores"])


def test_score_of_a_deviation_equals_the_official_one(golden):
    codecs = golden("codecs")
    with_sigma = codecs.inputs["reg/noisy_with_sigma"]
    model = make("rle", flip=range(17), size=(256, 192))
    sigma = with_sigma[..., 2:]
    model.fc = torch.nn.Identity()  # the head's raw outputs: deviations are squeezed by a sigmoid
    raw = torch.cat((with_sigma[..., :2], torch.logit(sigma)), dim=-1).flatten(1)
    decoded = model.decode(model([raw[..., None, None]]))
    torch.testing.assert_close(decoded.keypoints, codecs.outputs["reg/sigma_keypoints"], rtol=0, atol=1e-3)
    torch.testing.assert_close(decoded.scores, codecs.outputs["reg/sigma_scores"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_target_by_hand_and_round_trip(name):
    model = make(name)
    keypoints = torch.tensor([[[48.0, 16.0], [95.5, 10.0], [float("nan"), 1.0]]])
    target = model.encode(keypoints, torch.tensor([[1, 2, 0]]))
    assert target.coordinates[0, 0].tolist() == [0.5, 0.25]
    assert target.labelled.tolist() == [[True, False, False]]  # beyond the last pixel; not labelled
    prediction = RegressionPrediction(target.coordinates, torch.zeros(1, 3, 2), torch.ones(1, 3))
    torch.testing.assert_close(model.decode(prediction).keypoints[0, 0], keypoints[0, 0])


@pytest.mark.parametrize("name", NAMES)
def test_axes_level_and_gradient_of_every_parameter(name):
    B, K = 2, 3
    model = make(name, level=0)
    prediction = model([torch.randn(B, 5, 4, 6), torch.randn(B, 7, 2, 3)])
    assert [part.shape for part in prediction] == [(B, K, 2), (B, K, 2), (B, K)]
    target = model.encode(torch.rand(B, K, 2) * 60, torch.full((B, K), 2))
    sum(model.loss(prediction, target).values()).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    # A constant added to all cells changes no softmax.
    assert missing in ([], ["head.final_layer.bias"])


@pytest.mark.parametrize("name", NAMES)
def test_unlabelled_keypoints_change_neither_value_nor_gradient(name):
    model = make(name)
    coordinates = torch.rand(2, 3, 2).requires_grad_()
    prediction = RegressionPrediction(coordinates, torch.full((2, 3, 2), 0.3), torch.ones(2, 3))
    keypoints, visible = torch.rand(2, 3, 2) * 60, torch.tensor([[2, 2, 0], [1, 0, 2]])
    broken = keypoints.clone()
    broken[0, 2] = float("nan")
    values = [sum(model.loss(prediction, model.encode(k, visible)).values()) for k in (keypoints, broken)]
    torch.testing.assert_close(*values)
    values[1].backward()
    assert coordinates.grad.isfinite().all()
    assert (coordinates.grad[0, 2] == 0).all()
    assert (coordinates.grad[0, 0] != 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_merging_with_the_true_mirror_image_gives_the_pose_back(name):
    model = make(name)
    keypoints = torch.tensor([[[20.0, 30.0], [70.0, 40.0], [48.0, 50.0]]])
    mirrored = keypoints[:, SWAP] * torch.tensor([-1.0, 1.0]) + torch.tensor([95.0, 0.0])  # x' = w - 1 - x
    here, there = (
        RegressionPrediction(
            k / torch.tensor([96.0, 64.0]), s * torch.ones(1, 3, 2), s * torch.arange(3.0)[None]
        )
        for k, s in ((keypoints, 0.2), (mirrored, 0.4))
    )
    merged = model.merge_flipped(here, there)
    torch.testing.assert_close(model.decode(merged).keypoints, keypoints)
    torch.testing.assert_close(merged.scores, torch.tensor([[0.2, 0.1, 0.6]]))  # (0.2 k + 0.4 swap(k)) / 2
    torch.testing.assert_close(merged.sigma, torch.full((1, 3, 2), 0.3))


@pytest.mark.parametrize("name", ["coordinates", "soft_argmax"])
def test_beta_turns_l1_into_smooth_l1(name):
    keypoints = torch.tensor([[[48.0, 16.0]] * 3])
    prediction = RegressionPrediction(torch.full((1, 3, 2), 0.5), torch.zeros(1, 3, 2), torch.ones(1, 3))
    losses = {beta: make(name, beta=beta) for beta in (0.0, 1.0)}
    values = {b: m.loss(prediction, m.encode(keypoints, torch.ones(1, 3))) for b, m in losses.items()}
    torch.testing.assert_close(values[0.0]["coordinates"], torch.tensor(0.25 / 2))  # errors 0 in x, 1/4 in y
    torch.testing.assert_close(values[1.0]["coordinates"], torch.tensor(0.5 * 0.25**2 / 2))


def test_soft_argmax_is_the_mean_position_with_its_deviation():
    model = IntegralRegression(torch.nn.Identity(), SWAP, input_size=SIZE)
    maps = torch.full((1, 3, 4, 6), -1e4)
    maps[0, 0, 1, 2] = 0.0
    maps[0, 1, 3, 1] = maps[0, 1, 3, 5] = 0.0
    maps[0, 2] = 0.0
    prediction = model([maps])
    keypoints = model.decode(prediction).keypoints[0]
    torch.testing.assert_close(keypoints, torch.tensor([[32.0, 16.0], [48.0, 48.0], [40.0, 24.0]]))
    torch.testing.assert_close(prediction.sigma[0, 1], torch.tensor([2 / 6, 1e-6]))
    torch.testing.assert_close(prediction.scores, torch.tensor([[1.0, 0.5, 1 / 24]]))


def test_flow_is_a_density():
    torch.manual_seed(3)
    flow = RealNVP(hidden=8, num_couplings=4)
    for module in flow.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.4)
    axis = torch.linspace(-12, 12, 301)
    grid = torch.cartesian_prod(axis, axis)
    total = flow.log_probability(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    torch.testing.assert_close(total, torch.tensor(1.0), rtol=1e-2, atol=0)
    assert len(flow.scales) == 4
    assert flow.scales[0][0].out_features == 8


def test_flow_starts_near_the_normal_density():
    torch.manual_seed(3)
    value = RealNVP().log_probability(torch.tensor([0.6, -0.8]))
    torch.testing.assert_close(value, torch.tensor(-0.5 - math.log(2 * math.pi)), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("name", "lr"), [("coordinates", 0.05), ("soft_argmax", 0.05), ("rle", 0.02)])
def test_one_batch_can_be_overfitted(name, lr):
    model = make(name)
    generator = torch.Generator().manual_seed(4)
    features = [torch.randn(2, 5, 4, 6, generator=generator)]
    keypoints = torch.rand(2, 3, 2, generator=generator) * 40 + 12
    target = model.encode(keypoints, torch.full((2, 3), 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(150):
        loss = sum(model.loss(model(features), target).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model.decode(model(features)).keypoints - keypoints).abs().max() < 3  # px of 96


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(1, 3, 2\), \(1, 4\)"):
        make("coordinates").encode(torch.zeros(1, 3, 2), torch.ones(1, 4))
    with pytest.raises(ValueError, match="flip_permutation"):
        make("coordinates", flip=(1, 2, 0))
