"""What holds for every representation alike, through the estimator that knows none of them."""

import pytest
import torch

from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap
from pctlib.models.representations.integral import IntegralRegression
from pctlib.models.representations.regression import (
    CoordinateRegression,
    ResidualLikelihoodRegression,
)
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.representations.simcc import SimCC

SIZE, SWAP, C = (64, 96), (1, 0, 2), 64


def heatmap(coding):
    return Heatmap.simple_baseline(
        C, SWAP, input_size=SIZE, coding=coding, channels=(8, 8, 8), kernels=(4, 4, 4)
    )


MAKE = {
    "standard": lambda: heatmap("standard"),
    "dark": lambda: heatmap("dark"),
    "udp": lambda: heatmap("udp"),
    "simcc": lambda: SimCC.linear(C, SWAP, input_size=SIZE, dark=True),
    "rtmcc": lambda: RTMCC(C, SWAP, input_size=SIZE, hidden_dim=16, key_dim=8),
    "deeppose": lambda: CoordinateRegression(C, SWAP, input_size=SIZE),
    "soft_argmax": lambda: IntegralRegression(
        DeconvolutionHead(C, 3, channels=(8,), kernels=(4,)), SWAP, input_size=SIZE
    ),
    "rle": lambda: ResidualLikelihoodRegression(C, SWAP, input_size=SIZE),
}


@pytest.fixture(params=list(MAKE))
def model(request):
    torch.manual_seed(0)
    return PoseEstimator(CSPNeXt(0.167, C / 1024), MAKE[request.param]())


def batch(device="cpu"):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, *SIZE, generator=generator)
    keypoints = torch.rand(2, 3, 2, generator=generator) * 50 + 7
    keypoints[0, 2] = float("nan")
    return tuple(t.to(device) for t in (images, keypoints, torch.tensor([[1, 2, 0], [2, 2, 1]])))


def loss_of(model, images, keypoints, visible):
    representation = model.representation
    return sum(representation.loss(model(images), representation.encode(keypoints, visible)).values())


def test_prediction_is_finite_with_and_without_flip_test(model):
    images, _, _ = batch()
    model.eval()
    plain, flipped = (model.predict(images, flip_test=flip) for flip in (False, True))
    for pose in (plain, flipped):
        assert pose.keypoints.shape == (2, 3, 2)
        assert pose.scores.shape == (2, 3)
        assert pose.keypoints.isfinite().all()


def test_merging_keeps_the_form_of_a_prediction(model):
    prediction = model.eval()(batch()[0])
    representation = model.representation
    once = representation.merge_flipped(prediction, prediction)
    assert type(once) is type(prediction)
    assert [part.shape for part in once] == [part.shape for part in prediction]


def test_unlabelled_keypoints_leave_loss_and_gradient_finite(model):
    loss = loss_of(model, *batch())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_half_precision_gives_nearly_the_same_loss_and_a_float32_pose(model):
    images, keypoints, visible = batch()
    expected = loss_of(model.train(), images, keypoints, visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(model, images, keypoints, visible)
        pose = model.representation.decode(model(images))
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=1e-3)
    assert loss.dtype == pose.keypoints.dtype == torch.float32


def test_clean_targets_are_read_back(model):
    _, keypoints, visible = batch()
    representation = model.representation
    target = representation.encode(keypoints, visible)
    if not hasattr(representation, "coding"):
        pytest.skip("coordinates are their own target")
    labelled = visible > 0
    coded = (target.heatmaps,) if hasattr(target, "heatmaps") else (target.x, target.y)
    error = (representation.coding.decode(*coded).keypoints - keypoints)[labelled]
    assert error.abs().max() <= 2.0  # half a cell of the coarsest coding


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_targets_and_poses_of_the_cpu(model):
    images, keypoints, visible = batch()
    model.eval()
    expected_pose = model.predict(images, flip_test=True)
    expected_target = model.representation.encode(keypoints, visible)
    model.cuda()
    target = model.representation.encode(keypoints.cuda(), visible.cuda())
    pose = model.predict(images.cuda(), flip_test=True)
    for got, want in zip(target, expected_target, strict=True):
        torch.testing.assert_close(got.cpu(), want, equal_nan=True)
    assert pose.keypoints.device.type == "cuda"
    assert pose.keypoints.shape == expected_pose.keypoints.shape
