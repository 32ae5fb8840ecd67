"""Boxes and crops of features: recorded values, small and negative boxes, order and mirror of hands."""

import pytest
import torch
from helpers.osx import SMALL

from pctlib.checkpoints.files import NameTable, load_strictly, part
from pctlib.checkpoints.osx import _BODY, _PYRAMID
from pctlib.models.osx.regions import BoxNet, Pyramid, crop_features, crop_hands, square_boxes
from pctlib.models.osx.size import NUM_BODY, OSXSize
from pctlib.models.vit import ViTSize

PARTS = ("lhand", "rhand", "face")


def test_recorded_box_net(golden):
    data = golden("osx_boxnet")
    net = BoxNet(OSXSize(ViTSize(32, 1, 4), (128, 96), body_depth=8)).eval()
    names = [(old, new.removeprefix("box_net.")) for old, new in _BODY if new.startswith("box_net.")]
    load_strictly(net, data.state, NameTable(names), "recorded")
    center, size = net(data.inputs["img_feat"], data.inputs["joint_hm"])
    margin = torch.tensor([2.0, 2.0, 1.5])
    boxes = square_boxes(center, size, margin, cell=16)
    for number, name in enumerate(PARTS):
        torch.testing.assert_close(center[:, number], data.outputs[f"{name}_center"], atol=2e-5, rtol=0)
        torch.testing.assert_close(size[:, number], data.outputs[f"{name}_size"], atol=2e-5, rtol=0)
        torch.testing.assert_close(boxes[:, number], data.outputs[f"{name}_bbox"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "aspect", "margin"), [("hand", 1.0, 2.0), ("face", 1.0, 1.5), ("ar075", 0.75, 1.25)]
)
def test_recorded_boxes(golden, name, aspect, margin):
    data = golden("osx_functions")
    center, size = data.inputs["bbox_center"], data.inputs["bbox_size"]
    found = square_boxes(center, size, margin, cell=16, aspect=aspect)
    torch.testing.assert_close(found, data.outputs[f"restore_bbox_{name}"], atol=1e-3, rtol=0)


def test_a_box_is_square_on_its_larger_side():
    found = square_boxes(torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 0.5]]), 2.0, cell=16)
    torch.testing.assert_close(found, torch.tensor([[16.0, 32.0, 48.0, 64.0]]))


def test_recorded_crops(golden):
    data = golden("osx_roi")
    features = data.inputs["img_feat"]
    boxes = torch.stack([data.inputs[f"{name}_bbox"] for name in PARTS], dim=1)
    for name, cells in (("hand", 8), ("face", 4)):
        pyramid = Pyramid(32).eval()
        load_strictly(pyramid, part(data.state, f"{name}_roi_net."), NameTable(_PYRAMID), "recorded")
        for number, (level, scale) in enumerate(zip(pyramid(features), (4, 2, 1), strict=True)):
            side = cells * scale // 2
            if name == "hand":
                found = crop_hands(level, boxes, side, scale=scale / 16)
            else:
                found = crop_features(level, boxes[:, 2], side, scale=scale / 16)
            torch.testing.assert_close(found, data.outputs[f"{name}_feats_{number}"], atol=2e-5, rtol=0)


def test_a_box_without_extent_is_a_cell():
    features = torch.randn(1, 2, 6, 5)
    negative = crop_features(features, torch.tensor([[20.0, 20, 12, 14]]), 4, scale=1 / 16)
    one = crop_features(features, torch.tensor([[20.0, 20, 36, 36]]), 4, scale=1 / 16)
    assert torch.isfinite(negative).all()
    torch.testing.assert_close(negative, one)
    outside = crop_features(features, torch.tensor([[500.0, 500, 600, 600]]), 4, scale=1 / 16)
    assert not outside.any()


def test_exchanged_hands_of_a_mirrored_map():
    features = torch.randn(2, 3, 8, 6)
    boxes = torch.tensor([[10.0, 20, 40, 50], [40.0, 60, 76, 96]]).expand(2, -1, -1)
    crops = crop_hands(features, boxes, 4, scale=1 / 16)
    x1, y1, x2, y2 = boxes.unbind(-1)
    exchanged = torch.stack((80 - x2, y1, 80 - x1, y2), dim=-1).flip(1)  # the last cell's place is 80 pixels
    other = crop_hands(features.flip(3), exchanged, 4, scale=1 / 16)
    torch.testing.assert_close(other.roll(2, 0), crops, atol=1e-5, rtol=0)


def test_boxes_teach_no_volume():
    net = BoxNet(SMALL)
    volume = torch.rand(2, NUM_BODY, 5, 4, 3, requires_grad=True)
    features = torch.randn(2, 16, 4, 3, requires_grad=True)
    center, size = net(features, volume)
    (center.square().sum() + size.square().sum()).backward()
    assert volume.grad is None
    assert features.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.sizes.parameters())
