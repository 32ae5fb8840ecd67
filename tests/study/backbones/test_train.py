import json

import pytest
import torch

from pctlib.data.augmentation import Inputs
from pctlib.data.crops import transform_points
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.profiles.backbones import StartProfile
from pctlib.skeletons import COCO
from pctlib.study.backbones.run import Order, pretrain_all
from pctlib.study.backbones.train import at_size, coding_at, resized
from pctlib.training.shipped import load_shipped

PLAN = StartProfile.model_validate(
    {
        "study": "smoke",
        "people": {
            "images": 12,
            "val_images": 4,
            "shard_images": 6,
            "image_size": 96,
            "seed": 1_000_000,
            "val_seed": 2_000_000,
        },
        "input_sizes": [[64, 64], [32, 32]],
        "training": {"epochs": 2, "batch_size": 4, "learning_rate": 0.001, "average_decay": 0.5},
    }
)


def test_keypoints_stay_on_what_they_mark_when_inputs_get_smaller():
    images = torch.zeros(1, 3, 64, 96)
    images[:, :, 40:44, 16:20] = 1.0  # its centre is (17.5, 41.5)
    affine = torch.tensor([[[0.5, 0.0, 3.0], [0.0, 0.5, 1.0]]])
    keypoints = torch.tensor([[[17.5, 41.5]]])
    small = resized(Inputs(images, keypoints, torch.full((1, 1), 2), affine), (32, 48))
    assert small.images.shape == (1, 3, 32, 48)
    weights = small.images[0, 0] / small.images[0, 0].sum()
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    centre = torch.stack([(weights * x).sum(), (weights * y).sum()])
    torch.testing.assert_close(small.keypoints[0, 0], centre, rtol=0, atol=1e-4)
    marked = torch.tensor([[[29.0, 81.0]]])  # in the image: 29 / 2 + 3, 81 / 2 + 1
    torch.testing.assert_close(transform_points(affine, marked), keypoints)
    torch.testing.assert_close(transform_points(small.affine, marked), small.keypoints)


def test_inputs_of_the_size_asked_for_are_left_alone():
    inputs = Inputs(torch.rand(1, 3, 32, 32), torch.rand(1, 2, 2), torch.ones(1, 2), torch.rand(1, 2, 3))
    assert resized(inputs, (32, 32)) is inputs


def test_gaussians_are_as_wide_beside_the_person_at_every_size():
    sizes = {"feature_stride": 16, "channels": (8, 8), "kernels": (4, 4)}
    head = Heatmap.simple_baseline(8, COCO.flip_permutation, input_size=(128, 96), coding="dark", **sizes)
    small = coding_at(head, (64, 48))
    assert (small.input_size, small.heatmap_size, small.sigma) == ((64, 48), (16, 12), 1.0)
    model = PoseEstimator(Backbone("mobilenetv4_conv_small_035", out_indices=range(4)), head)
    head.head = torch.nn.Conv2d(model.backbone.channels[-1], 17, 1)
    assert at_size(model, (64, 48), COCO).representation.input_size == (64, 48)


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    return Order(PLAN, folder / "out", folder / "work", device="cpu", command="a test", revision="abc")


def test_one_order_makes_people_weights_and_cards_and_goes_on_where_it_was(order):
    cards = pretrain_all(order)
    assert set(cards) == {"mobilenetv4_conv_small_035"}
    card = cards["mobilenetv4_conv_small_035"]
    assert card["views"] == 2 * (card["people"] // 4) * 4
    assert (card["revision"], card["command"], card["epochs"]) == ("abc", "a test", 2)
    assert set(card["reached"]) == {"64x64", "32x32"}
    assert 0 <= card["reached"]["64x64"]["PCK@0.1 seen"] <= 1
    stored = json.loads((order.out / "mobilenetv4_conv_small_035.json").read_text())
    assert stored["reached"] == card["reached"]
    fresh = Backbone("mobilenetv4_conv_small_035")
    before = fresh.net.conv_stem.weight.clone()
    load_shipped(fresh, "mobilenetv4_conv_small_035", order.out)
    assert not torch.equal(before, fresh.net.conv_stem.weight)
    weights = (order.out / "mobilenetv4_conv_small_035.safetensors").read_bytes()
    again = pretrain_all(order)["mobilenetv4_conv_small_035"]  # reads the finished run
    assert (order.out / "mobilenetv4_conv_small_035.safetensors").read_bytes() == weights
    assert again["reached"] == card["reached"]


def test_epochs_that_fit_into_minutes_are_tried_out_once(order, tmp_path):
    timed = Order(PLAN, tmp_path / "out", order.work.parent / "timed", device="cpu", minutes=0.02)
    (timed.work).mkdir()
    (timed.work / "people").symlink_to(order.work / "people")
    card = pretrain_all(timed)["mobilenetv4_conv_small_035"]
    noted = json.loads((timed.work / "mobilenetv4_conv_small_035" / "epochs.json").read_text())
    assert card["epochs"] == noted["epochs"] >= 1


def test_an_unknown_backbone_is_named(order):
    with pytest.raises(ValueError, match="--backbone: expected some of mobilenetv4_conv_small_035, got 'x'"):
        pretrain_all(Order(PLAN, order.out, order.work, names=("x",), device="cpu"))
