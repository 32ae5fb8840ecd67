"""Direct regression, volume and lifting in 3D: closed forms, mirroring, gradients, bad arguments."""

import pytest
import torch

from pctlib.models.estimator import PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.integral import Depth, IntegralRegression
from pctlib.models.representations.lifting import Lifting, NormedLinear
from pctlib.models.representations.pct import HeadSize
from pctlib.models.representations.regression import RegressionPrediction
from pctlib.models.representations.regression_3d import DirectRegression3D, PosePrediction3D, mirror_3d
from pctlib.skeletons import COCO, H36M

SIZE = (64, 48)
FLIP = H36M.flip_permutation
SMALL = HeadSize(8, 1, 1, MixerSize(dim=8, num_layers=1, token_hidden=8, channel_hidden=8))
FLAGS = torch.full((3, 17), 2)


def poses(B=3, seed=0):
    return 300 * torch.randn(B, 17, 3, generator=torch.Generator().manual_seed(seed))


def features(B=3, C=5, seed=0):
    return [torch.randn(B, C, 4, 3, generator=torch.Generator().manual_seed(seed))]


def direct(**options):
    torch.manual_seed(0)
    return DirectRegression3D(5, FLIP, input_size=SIZE, feature_stride=16, head=SMALL, **options)


def volume(cells=4, **options):
    torch.manual_seed(0)
    options = {"depth": Depth(cells), "channels": (6,), **options}
    return IntegralRegression.deconvolution(5, FLIP, input_size=SIZE, **options)


def shares_of(coordinates):
    return RegressionPrediction(coordinates, torch.zeros_like(coordinates), torch.ones(coordinates.shape[:2]))


def lifting(K=17, **options):
    torch.manual_seed(0)
    permutation = COCO.flip_permutation
    options = {"width": 16, "dropout": 0.0, **options}
    return Lifting(K, FLIP, keypoint_permutation=permutation, input_size=SIZE, **options)


@pytest.mark.parametrize("head", [direct(), volume(), lifting()], ids=["direct", "volume", "lifting"])
def test_every_parameter_learns_and_the_truth_costs_nothing(head):
    seen = features() if not isinstance(head, Lifting) else [20 + 5 * torch.randn(3, 17, 2)]
    prediction = head(seen)
    target = head.encode(poses(), FLAGS)
    loss = sum(head.loss(prediction, target).values())
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert sum(p.grad.abs().sum() > 0 for p in head.parameters()) > len(list(head.parameters())) // 2
    truth = prediction._replace(**{prediction._fields[0]: target[0]})
    if isinstance(head, Lifting):  # its root is 0 whatever the target says
        truth.keypoints[:, 0] = 0
    assert sum(head.loss(truth, target).values()) < 1e-10


def test_direct_regression_encodes_and_decodes_millimetres():
    head, truth = direct(), poses()
    target = head.encode(truth, FLAGS)
    assert torch.equal(head.decode(PosePrediction3D(target.keypoints)).keypoints, truth)
    off = PosePrediction3D(truth + torch.tensor([200.0, 0, -200]))
    torch.testing.assert_close(head.loss(off, target)["coordinates"], torch.tensor(1 / 3))  # 400 mm is 1


def test_unlabelled_joints_do_not_count():
    truth, flags = poses(), FLAGS.clone()
    truth[:, 4], flags[:, 4] = float("nan"), 0
    for head in (direct(), volume()):
        prediction = head(features())
        loss = sum(head.loss(prediction, head.encode(truth, flags)).values())
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad.isfinite().all() for p in head.parameters())


def test_one_hot_cell_gives_its_place_in_the_order_x_y_depth():
    head = volume(cells=5)
    maps = torch.zeros(1, 17, 5, 8, 6)  # D', h', w'
    maps[0, 3, 1, 2, 4] = 1e4
    head.head = torch.nn.Module()
    head.head.forward = lambda _: maps.flatten(1, 2)
    found = head.decode(head([torch.zeros(1, 5, 4, 3)])).keypoints[0, 3]
    expected = torch.tensor([4 / 6 * 48, 2 / 8 * 64, (1 / 5 - 0.5) * 2000])
    torch.testing.assert_close(found, expected)


def test_volume_round_trip_also_outside_the_range():
    head, truth = volume(), poses()
    truth[0, 0, 2] = 1200.0  # behind the volume: its target is kept, not clipped
    target = head.encode(truth, FLAGS)
    assert target.coordinates[0, 0, 2] == pytest.approx(1.1)
    back = head.decode(shares_of(target.coordinates)).keypoints
    torch.testing.assert_close(back, truth, atol=1e-3, rtol=1e-5)


def test_flip_merging_of_exact_mirror_images_changes_nothing():
    truth = poses()
    for head in (direct(), lifting()):
        here = PosePrediction3D(truth)
        there = PosePrediction3D(mirror_3d(truth, head.flip_index))
        torch.testing.assert_close(head.merge_flipped(here, there).keypoints, truth)
    head = volume()
    shares = head.encode(truth, FLAGS).coordinates
    mirrored = truth[:, list(FLIP)].clone()
    mirrored[..., 0] = 47 - mirrored[..., 0]
    there = shares_of(head.encode(mirrored, FLAGS).coordinates)
    merged = head.merge_flipped(shares_of(shares), there)
    torch.testing.assert_close(merged.coordinates, shares)


def test_an_estimator_predicts_with_flip_test():
    class Backbone(torch.nn.Module):
        def forward(self, images):
            return [torch.nn.functional.avg_pool2d(images, 16).repeat(1, 2, 1, 1)[:, :5]]

    for head in (direct(), volume()):
        found = PoseEstimator(Backbone(), head).eval().predict(torch.randn(2, 3, *SIZE), flip_test=True)
        assert found.keypoints.shape == (2, 17, 3)


def test_published_size_of_lifting():
    """Martinez et al. 2017: 4 to 5 million weights."""
    model = Lifting(16, FLIP, keypoint_permutation=range(16), input_size=SIZE)
    expected = 32 * 1024 + 1024 + 4 * (1024 * 1024 + 1024) + 1024 * 48 + 48 + 5 * 2 * 1024
    assert sum(p.numel() for p in model.parameters()) == expected
    assert len(model.blocks) == 2
    assert all(layer[3].p == 0.5 for layer in (model.enter, *model.blocks[0], *model.blocks[1]))


def test_max_norm_is_that_of_the_whole_matrix():
    layer = NormedLinear(6, 4, max_norm=1.0)
    with torch.no_grad():
        layer.weight.fill_(1.0)  # norm sqrt 24
    torch.testing.assert_close(layer(torch.ones(1, 6)), torch.full((1, 4), 6 / 24**0.5))
    with torch.no_grad():
        layer.weight.fill_(0.01)  # small enough: as it is
    torch.testing.assert_close(layer(torch.ones(1, 6)), torch.full((1, 4), 0.06))
    free = NormedLinear(6, 4, max_norm=None)
    torch.testing.assert_close(
        free(torch.ones(1, 6)), torch.nn.functional.linear(torch.ones(1, 6), free.weight)
    )


def test_lifting_standardises_and_puts_unknown_keypoints_in_their_mean_place():
    model = lifting().eval()
    generator = torch.Generator().manual_seed(3)
    keypoints = 20 + 6 * torch.randn(200, 17, 2, generator=generator)
    labelled = torch.rand(200, 17, generator=generator) < 0.8
    keypoints[~labelled] = float("nan")
    truth = poses(200)
    truth = truth - truth[:, :1]
    model.standardise(keypoints, labelled, truth)
    torch.testing.assert_close(model.input_mean, keypoints.nanmean(0))
    torch.testing.assert_close(model.output_mean, truth[:, 1:].mean(0))
    torch.testing.assert_close(model.output_deviation, truth[:, 1:].std(0, correction=0))
    with torch.no_grad():
        found = model([keypoints[:5]]).keypoints
        filled = torch.where(labelled[:5, :, None], keypoints[:5], model.input_mean)
        torch.testing.assert_close(model([filled]).keypoints, found)
    assert (found[:, 0] == 0).all()


def test_lifting_of_mirrored_keypoints():
    model = lifting()
    keypoints = torch.rand(2, 17, 2) * 40
    twice = model.mirrored(model.mirrored(keypoints))
    torch.testing.assert_close(twice, keypoints)
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    torch.testing.assert_close(model.mirrored(keypoints)[:, left, 0], 47 - keypoints[:, right, 0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: direct(scale=0.0), "scale: expected a positive number of millimetres, got 0"),
        (lambda: volume(cells=0), "depth: expected positive cells and range, got 0 and 2000"),
        (lambda: lifting(K=16), "keypoint_permutation: expected 16 indices, got 17"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
