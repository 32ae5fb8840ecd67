"""The losses of OSX: recorded terms, masks, the cut of axis-angle, and who learns from which."""

from dataclasses import fields, replace

import pytest
import torch
from helpers.osx import LOSSES, SMALL, random_target, recorded_target

from pctlib.body_model import rotation_matrix
from pctlib.checkpoints.osx import load_osx
from pctlib.models.osx.joints import OSX_JOINTS
from pctlib.models.osx.network import OSX
from pctlib.models.osx.terms import (
    LossOptions,
    masked_l1,
    osx_losses,
    root_axis_angle_l1,
    root_matrix_l1,
)


@pytest.fixture
def example():
    torch.manual_seed(0)
    prediction = OSX(SMALL).eval()(torch.rand(2, 3, *SMALL.input_size))
    return prediction, torch.randn(2, 137, 3), random_target()


def test_recorded_terms(golden):
    data = golden("osx_forward")
    model = load_osx(data.state, "recorded", num_heads=4)
    with torch.inference_mode():
        prediction = model(data.inputs["img"])
    joints = data.inputs["smplx_joints"][:, list(OSX_JOINTS)]
    terms = osx_losses(prediction, joints, recorded_target(data.inputs), model.size, LossOptions())
    assert set(terms) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        torch.testing.assert_close(terms[ours], data.outputs[f"loss/{theirs}"], atol=2e-5, rtol=1e-5)
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(total, data.outputs["loss_total"], atol=1e-4, rtol=1e-5)


def test_the_mean_counts_masked_elements_as_zero():
    pred = torch.tensor([[1.0, 2.0, float("nan"), 4.0]], requires_grad=True)
    loss = masked_l1(pred, torch.tensor([[0.0, 0, 0, 5]]), torch.tensor([[1.0, 0, 0, 1]]))
    loss.backward()
    assert loss.item() == 0.5
    torch.testing.assert_close(pred.grad, torch.tensor([[0.25, 0, 0, -0.25]]))


def test_half_turns_that_are_close_are_close_for_matrices_alone():
    first = rotation_matrix(torch.tensor([[3.1366, 0.0, 0.0]]))
    second = rotation_matrix(torch.tensor([[-3.1366, 0.0, 0.0]]))  # 0.01 rad further
    assert root_matrix_l1(first, second).item() < 0.02
    assert root_axis_angle_l1(first, second).item() == pytest.approx(2 * 3.1366 / 3, rel=1e-3)
    small = rotation_matrix(torch.tensor([[0.02, -0.01, 0.03]]))
    still = torch.eye(3)[None]
    assert root_matrix_l1(small, still).item() == pytest.approx(0.02, rel=0.02)
    assert root_axis_angle_l1(small, still).item() == pytest.approx(0.02, rel=1e-3)


def test_the_root_alone_differs_between_the_two_losses(example):
    prediction, joints, target = example
    published = osx_losses(prediction, joints, target, SMALL, LossOptions())
    ours = osx_losses(prediction, joints, target, SMALL, LossOptions(root="matrix"))
    assert {name for name in ours if not torch.equal(ours[name], published[name])} == {"pose"}
    others = (prediction.pose_vector()[:, 3:] - target.pose[:, 3:]).abs().sum(1)
    root = root_matrix_l1(prediction.root[:, 0], rotation_matrix(target.pose[:, :3]))
    torch.testing.assert_close(ours["pose"], ((others + 3 * root) / 159).mean())


def test_twice_the_same_batch_is_twice_the_same_loss(example):
    prediction, joints, target = example
    before = {f.name: getattr(target.own, f.name).clone() for f in fields(target.own)}
    first = osx_losses(prediction, joints, target, SMALL, LossOptions(face_targets="in the box"))
    second = osx_losses(prediction, joints, target, SMALL, LossOptions(face_targets="in the box"))
    assert all(torch.equal(first[name], second[name]) for name in LOSSES)
    assert all(torch.equal(value, getattr(target.own, name)) for name, value in before.items())


@pytest.mark.parametrize("root", ["axis-angle", "matrix"])
def test_what_is_masked_may_be_nan(root):
    torch.manual_seed(0)
    model = OSX(SMALL).eval()
    target = random_target()
    nothing = {
        name: torch.full_like(getattr(target, name), torch.nan)
        for name in ("pose", "shape", "expression", "box_center", "box_size")
    }
    masks = {
        name: torch.zeros_like(getattr(target, name))
        for name in ("pose_valid", "shape_valid", "expression_valid", "box_valid", "is_3d")
    }
    joints = {
        name: replace(
            getattr(target, name),
            places=torch.full((2, 137, 3), torch.nan),
            positions=torch.full((2, 137, 3), torch.nan),
            valid=torch.zeros(2, 137),
            inside=torch.zeros(2, 137),
        )
        for name in ("own", "fitted")
    }
    target = replace(target, **nothing, **masks, **joints)
    positions = torch.randn(2, 137, 3, requires_grad=True)
    options = LossOptions(root=root, face_targets="in the box")
    terms = osx_losses(model(torch.rand(2, 3, *SMALL.input_size)), positions, target, SMALL, options)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.item() == 0
    gradients = [p.grad for p in (positions, *model.parameters()) if p.grad is not None]
    assert all(torch.isfinite(g).all() and not g.any() for g in gradients)


def test_weights_apply_where_they_are_said_to(example):
    prediction, joints, target = example
    one = osx_losses(prediction, joints, target, SMALL, LossOptions())
    two = osx_losses(prediction, joints, target, SMALL, LossOptions(fitted_weight=2))
    every = osx_losses(prediction, joints, target, SMALL, LossOptions(fitted_weight=2, weigh_all=True))
    ratio = {name: (two[name] / one[name]).item() for name in one}
    assert {name for name, r in ratio.items() if r != pytest.approx(1)} == {"shape"}
    doubled = {name for name in one if (every[name] / one[name]).item() == pytest.approx(2)}
    assert doubled == {"pose", "shape", "expression", "joints_3d", "fitted_joints_3d"}


def test_projection_may_move_the_camera_alone():
    torch.manual_seed(0)
    model = OSX(SMALL).eval()
    prediction = model(torch.rand(2, 3, *SMALL.input_size))
    joints = torch.randn(2, 137, 3, requires_grad=True)
    options = LossOptions(projection_moves_camera_only=True)
    osx_losses(prediction, joints, random_target(), SMALL, options)["projection"].backward()
    assert joints.grad is None
    assert model.body_regressor.camera.weight.grad.abs().sum() > 0


def test_a_joint_outside_the_predicted_box_has_no_place_in_it(example):
    prediction, joints, target = example
    boxes = torch.tensor([[[0.0, 0, 16, 16], [0, 0, 16, 16], [0, 0, 16, 16]]]).expand(2, -1, -1)
    prediction = replace(prediction, boxes=boxes)
    places = torch.full((2, 137, 3), 0.5)
    inside = replace(target.own, places=places)
    found = osx_losses(prediction, joints, replace(target, own=inside), SMALL, LossOptions())
    outside = places.clone()
    outside[:, 30] = 2.0  # the hand's box is one cell
    moved = replace(target.own, places=outside)
    other = osx_losses(prediction, joints, replace(target, own=moved), SMALL, LossOptions())
    expected = (prediction.hand_places[:, 0, 5] - torch.tensor([3.0, 3.0, 0.5 * 6 / 5])).abs().sum() / (
        2 * 65 * 3
    )
    torch.testing.assert_close(found["places"] - other["places"], expected)


def test_a_network_without_boxes_has_fewer_terms():
    prediction = OSX(SMALL, "tokens").eval()(torch.rand(2, 3, *SMALL.input_size))
    terms = osx_losses(prediction, torch.randn(2, 137, 3), random_target(), SMALL, LossOptions())
    assert set(LOSSES) - set(terms) == {"left_hand_box", "right_hand_box", "face_box", "face_places"}
