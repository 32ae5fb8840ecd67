"""Rotations: recorded values, round trips at the difficult places, gradients."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from pctlib.body_model import rotation_matrix
from pctlib.rotations import (
    axis_angle,
    geodesic_deg,
    mirrored_axis_angle,
    quaternion,
    rotation_from_6d,
    rotation_to_6d,
)


def test_recorded_rotations(golden):
    data = golden("osx_functions")
    matrices = rotation_from_6d(data.inputs["rot6d"])
    torch.testing.assert_close(matrices, data.outputs["rotmat"], atol=1e-6, rtol=0)
    torch.testing.assert_close(axis_angle(matrices), data.outputs["axis_angle"], atol=2e-6, rtol=0)
    w_first = quaternion(matrices).roll(1, -1)
    sign = (w_first * data.outputs["quat_wxyz"]).sum(-1, keepdim=True).sign()
    torch.testing.assert_close(sign * w_first, data.outputs["quat_wxyz"], atol=2e-6, rtol=0)


def test_three_rotations_are_right_where_the_release_is_not(golden):
    data = golden("osx_functions")
    found = axis_angle(rotation_from_6d(data.inputs["rot6d_batch3"]))
    torch.testing.assert_close(found, data.outputs["axis_angle_batch3_correct"], atol=2e-6, rtol=0)
    assert (found - data.outputs["axis_angle_batch3_quirk"]).abs().max() > 0.1


def test_six_numbers_are_rows_of_two_columns():
    expected = torch.tensor(Rotation.from_rotvec([[0.3, -0.2, 0.9]]).as_matrix(), dtype=torch.float32)
    numbers = torch.stack([expected[0, 0, 0], expected[0, 0, 1], expected[0, 1, 0]])
    assert torch.equal(rotation_to_6d(expected)[0, :3], numbers)
    scaled = rotation_to_6d(expected) * torch.tensor([2.0, 1, 2, 1, 2, 1])
    torch.testing.assert_close(rotation_from_6d(scaled), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 1.0, 3.0, math.pi - 1e-4, math.pi])
def test_round_trip_at_every_angle(angle):
    axes = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(1)), dim=1
    )
    axes = torch.cat((axes, torch.eye(3), -torch.eye(3)))
    matrices = torch.tensor(Rotation.from_rotvec((angle * axes).double().numpy()).as_matrix()).float()
    found = axis_angle(matrices)
    assert (found.norm(dim=1) <= math.pi + 1e-5).all()
    torch.testing.assert_close(rotation_matrix(found), matrices, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.full((56,), angle), atol=5e-4, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-4, math.pi])
def test_gradients_are_finite(angle):
    numbers = rotation_to_6d(rotation_matrix(angle * torch.eye(3))).requires_grad_()
    axis_angle(rotation_from_6d(numbers)).sum().backward()
    assert torch.isfinite(numbers.grad).all()


def test_mirrored_rotation_of_a_mirrored_point():
    vector, point = torch.tensor([[0.4, -1.1, 0.7]]), torch.tensor([1.0, 2.0, 3.0])
    S = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = rotation_matrix(mirrored_axis_angle(vector))[0] @ (S * point)
    torch.testing.assert_close(mirrored, S * (rotation_matrix(vector)[0] @ point), atol=1e-6, rtol=0)


def test_angle_between_rotations():
    first = rotation_matrix(torch.tensor([[0.5, 0.2, -0.1]]))
    second = first @ rotation_matrix(torch.tensor([[0.0, math.radians(1.5), 0.0]]))
    torch.testing.assert_close(geodesic_deg(first, second), torch.tensor([1.5]), atol=1e-4, rtol=0)
