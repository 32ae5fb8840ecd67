import pytest
import timm
import torch
from torch import nn

from pctlib.models.hrnet import AggregatedHRNet, HRNet, enter_stage
from pctlib.models.rivals import SMALL_HRNET

NAME, SIZE = "hrnet_w18_small", (64, 96)


def small(num_stages=4):
    return HRNet(NAME, num_stages=num_stages, **SMALL_HRNET)


def test_the_map_is_the_finest_of_timm():
    torch.manual_seed(0)
    ours = small().eval()
    torch.manual_seed(0)
    theirs = timm.create_model(NAME, features_only=True, feature_location="", **SMALL_HRNET).eval()
    images = torch.randn(2, 3, *SIZE)
    (features,) = ours(images)
    torch.testing.assert_close(features, theirs(images)[1])
    assert features.shape == (2, ours.channels[0], 16, 24)
    assert ours.strides == [4]


@pytest.mark.parametrize("num_stages", [2, 3, 4])
def test_nothing_is_left_that_the_map_does_not_need(num_stages):
    net = small(num_stages)
    assert len(net.stages) == num_stages - 1
    net(torch.randn(2, 3, *SIZE))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_aggregated_map():
    net = AggregatedHRNet(NAME, **SMALL_HRNET).eval()
    (features,) = net(torch.randn(2, 3, *SIZE))
    assert features.shape == (2, net.channels[0], 2, 3)
    assert (net.channels, net.strides) == ([2048], [32])


def test_a_stage_begins_with_old_maps_and_one_new():
    grow = nn.Conv2d(3, 5, 1)
    maps = [torch.randn(2, 2, 8, 12), torch.randn(2, 3, 4, 6)]
    entered = enter_stage(nn.ModuleList([nn.Identity(), nn.Identity(), grow]), maps)
    assert entered[0] is maps[0]
    assert entered[1] is maps[1]
    torch.testing.assert_close(entered[2], grow(maps[1]))


def test_a_change_of_width_is_made_of_the_same_map():
    widen = nn.Conv2d(2, 7, 1)
    maps = [torch.randn(2, 2, 8, 12), torch.randn(2, 3, 4, 6)]
    assert enter_stage(nn.ModuleList([widen, nn.Identity()]), maps)[0].shape == (2, 7, 8, 12)


@pytest.mark.parametrize("make", [HRNet, AggregatedHRNet])
def test_bad_names_and_sizes_are_refused(make):
    with pytest.raises(ValueError, match="no HRNet 'resnet18'"):
        make("resnet18")
    with pytest.raises(ValueError, match="multiples of 32"):
        make(NAME, **SMALL_HRNET)(torch.randn(1, 3, 64, 80))


def test_only_two_to_four_stages_exist():
    with pytest.raises(ValueError, match="num_stages"):
        HRNet("hrnet_w18_small", num_stages=5)
