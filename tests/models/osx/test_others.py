"""What OSX is compared with: a pooled feature, separate crops, and starting at a mean pose."""

import pytest
import torch
from helpers.osx import SMALL
from torch import nn

from pctlib.body_joints import BodyJoints
from pctlib.data.procedural.body import embedded_body
from pctlib.models.osx.body import posed_body
from pctlib.models.osx.joints import project
from pctlib.models.osx.network import OSX
from pctlib.models.osx.others import PART_INPUT, GlobalRegressor, PartNet, SeparateCrops, cut_parts
from pctlib.models.osx.parts import BackboneEncoder, Encoder
from pctlib.models.osx.targets import true_boxes
from pctlib.rotations import rotation_from_6d, rotation_to_6d


class Tiny(nn.Module):
    """A backbone of one convolution."""

    def __init__(self, channels=6, stride=16):
        super().__init__()
        self.channels, self.strides = [channels], [stride]
        self.net = nn.Conv2d(3, channels, stride, stride)

    def forward(self, images):
        return [self.net(images)]


def separate():
    hands, face = PartNet(Tiny(), 90), PartNet(Tiny(), 16)
    return SeparateCrops(OSX(SMALL, "tokens"), hands, face, BodyJoints(embedded_body()))


def networks():
    torch.manual_seed(0)
    backbone = BackboneEncoder(SMALL, Tiny())
    return {
        "global": (GlobalRegressor(SMALL, Encoder(SMALL)), 1),
        "backbone": (OSX(SMALL, encoder=backbone), 1),
        "separate": (separate(), 2),
    }


@pytest.mark.parametrize("name", ["global", "backbone", "separate"])
def test_all_parameters_of_a_body_come_out_and_learn(name):
    network, scale = networks()[name]
    images = torch.rand(2, 3, scale * 64, scale * 48)
    boxes = torch.tensor([[4.0, 4, 20, 20], [20, 4, 40, 24], [10, 30, 40, 60]]).expand(2, -1, -1)
    found = network(images, boxes)
    assert found.rotations().shape == (2, 53, 3, 3)
    assert found.shape.shape == found.expression.shape == (2, 10)
    assert found.camera.shape == (2, 3)
    total = sum(
        value.square().mul(torch.rand_like(value)).sum() for value in (found.rotations(), found.camera)
    )
    (total + found.shape.square().sum() + found.expression.square().sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim == 4 and p.grad is not None)


@pytest.mark.parametrize("name", ["global", "backbone", "separate"])
def test_a_network_begins_near_the_mean_pose(name):
    network, scale = networks()[name]
    mean = rotation_to_6d(rotation_from_6d(torch.randn(53, 6)))
    mean[37:52] = mean[22:37]
    network.start_at(mean)
    found = network.eval()(torch.rand(2, 3, scale * 64, scale * 48))
    wanted = rotation_from_6d(mean)
    right = found.right_hand.detach()
    assert (found.rotations()[:, :22].detach() - wanted[:22]).abs().mean() < 0.1
    assert (right - wanted[37:52]).abs().mean() < 0.2


def test_a_backbone_must_have_cells_of_a_patch():
    with pytest.raises(ValueError, match="cells of 16 pixels, got 8"):
        BackboneEncoder(SMALL, Tiny(stride=8))


def test_parts_are_cut_from_the_larger_picture():
    images = torch.zeros(1, 3, 128, 96)
    images[:, :, 40:80, 20:60] = 1  # what a body's input shows at 20 to 40, 10 to 30
    inside = cut_parts(images, torch.tensor([[12.0, 22, 28, 38]]))
    assert inside.shape == (1, 3, PART_INPUT, PART_INPUT)
    assert (inside == 1).all()
    assert not cut_parts(images, torch.tensor([[0.0, 0, 8, 8]])).any()


def test_parts_are_found_on_the_mesh_that_was_found():
    torch.manual_seed(0)
    network = separate().eval()
    images = torch.rand(1, 3, 128, 96)
    body = network.body(nn.functional.interpolate(images, (64, 48)))
    boxes = network.find_parts(body)
    joints = posed_body(network.joints, body).all_joints()
    expected = true_boxes(16 * project(joints, body.camera, SMALL.input_size))
    torch.testing.assert_close(boxes, expected)
    assert not boxes.requires_grad
    inside = torch.tensor([[[4.0, 4, 20, 20], [20, 4, 40, 24], [10, 30, 40, 60]]])
    network.find_parts = lambda found: inside
    found = network(images)
    assert torch.equal(found.left_hand, network(images, inside).left_hand)
    assert not torch.allclose(found.left_hand, network(images, inside + 9).left_hand)
