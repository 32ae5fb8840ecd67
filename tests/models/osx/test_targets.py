"""Targets of the losses: cells, depths, boxes, what is outside, and a prediction that equals its target."""

import torch
from helpers.osx import SMALL

from pctlib.body_joints import BodyJoints, matrices_of
from pctlib.data.procedural.body import embedded_body
from pctlib.models.osx.body import joint_rotations, osx_order, predicted_joints
from pctlib.models.osx.joints import LEFT_HAND, OSX_JOINTS, relative_to_parts
from pctlib.models.osx.network import OSX, MeshPrediction
from pctlib.models.osx.targets import joint_target, mesh_target, true_boxes
from pctlib.models.osx.terms import LossOptions, osx_losses
from pctlib.rotations import rotation_from_6d, rotation_to_6d


def example(B=2):
    generator = torch.Generator().manual_seed(5)
    pose = 0.4 * torch.randn(B, 55, 3, generator=generator)
    pose[:, 23:25] = 0
    shape = torch.randn(B, 10, generator=generator).clamp(-2, 2)
    joints = (
        BodyJoints(embedded_body()).posed(shape, 0 * shape, matrices_of(embedded_body(), pose)).all_joints()
    )
    pixels = 24 + 12 * joints[..., :2]
    return pose, shape, joints, pixels


def test_places_are_cells_and_depths_shares_of_each_part():
    joints, pixels = torch.zeros(1, 144, 3), torch.full((1, 144, 2), 24.0)
    joints[:, :, 2] = torch.linspace(-0.1, 0.1, 144)
    pixels[0, 1] = torch.tensor([-1.0, 8.0])
    found = joint_target(joints, pixels, SMALL)
    torch.testing.assert_close(found.places[0, 0], torch.tensor([1.5, 1.5, 2.5]))  # the pelvis: the middle
    hip = (joints[0, 1, 2] - joints[0, 0, 2]) / 2 * 5 + 2.5
    torch.testing.assert_close(found.places[0, 1], torch.tensor([-1 / 16, 0.5, hip]))
    thumb = (joints[0, 37, 2] - joints[0, 20, 2]) / 0.3 * 5 + 2.5
    torch.testing.assert_close(found.places[0, LEFT_HAND.start, 2], thumb)
    assert found.inside[0, 0] == 1
    assert found.inside[0, 1] == 0
    assert found.valid.all()
    pixels[0, 0] = torch.nan
    assert joint_target(joints, pixels, SMALL).inside[0, 0] == 0


def test_boxes_hold_their_parts_and_wrists():
    pose, shape, joints, pixels = example()
    target = mesh_target(pose, shape, shape, joints, pixels, SMALL)
    hand = pixels[:, [20, *OSX_JOINTS[LEFT_HAND]]] / 16
    low, high = hand.amin(1), hand.amax(1)
    torch.testing.assert_close(target.box_center[:, 0], (low + high) / 2)
    torch.testing.assert_close(target.box_size[:, 0], high - low)
    boxes = true_boxes(pixels)
    side = 2.0 * 16 * (high - low).amax(1)
    torch.testing.assert_close(boxes[:, 0, 2] - boxes[:, 0, 0], side)
    torch.testing.assert_close((boxes[:, 0, :2] + boxes[:, 0, 2:]) / 2, 8 * (low + high))
    assert target.box_valid.all()
    away = mesh_target(pose, shape, shape, joints, pixels + 500, SMALL)
    assert not away.box_valid.any()
    assert not away.own.inside.any()


def test_large_shapes_count_as_the_mean_and_masks_are_kept():
    pose, shape, joints, pixels = example()
    shape = shape.clone()
    shape[1, 3] = 3.5
    known = torch.ones(2, 55, dtype=torch.bool)
    known[0, 22] = False
    nobody = torch.zeros(2, dtype=torch.bool)
    target = mesh_target(
        pose,
        shape,
        shape,
        joints,
        pixels,
        SMALL,
        pose_known=known,
        expression_known=nobody,
        shape_known=~nobody,
    )
    assert torch.equal(target.shape[0], shape[0])
    assert not target.shape[1].any()
    assert (target.pose_valid[0] == 0).nonzero().flatten().tolist() == [156, 157, 158]  # the jaw comes last
    assert not target.expression_valid.any()
    assert target.shape_valid.all()


def test_the_truth_as_prediction_has_no_loss_of_pose_and_joints():
    pose, shape, joints, pixels = example()
    body = embedded_body()
    target = mesh_target(pose, shape, 0 * shape, joints, pixels, SMALL)
    turns = osx_order(matrices_of(body, pose))
    root, rest, left, right, jaw = turns.split((1, 21, 15, 15, 1), dim=1)
    camera = torch.tensor([[0.0, 0, 50]]).repeat(2, 1)
    prediction = MeshPrediction(root, rest, left, right, jaw, shape, 0 * shape, camera)
    found = predicted_joints(BodyJoints(body), prediction)
    terms = osx_losses(prediction, found, target, SMALL, LossOptions(root="matrix"))
    for name in ("pose", "shape", "expression", "joints_3d", "fitted_joints_3d"):
        assert terms[name] < 2e-5, name
    torch.testing.assert_close(relative_to_parts(found), target.own.positions, atol=1e-5, rtol=0)


def test_one_batch_can_be_learned():
    torch.manual_seed(0)
    pose, shape, joints, pixels = example()
    target = mesh_target(pose, shape, 0 * shape, joints, pixels, SMALL)
    model, light = OSX(SMALL), BodyJoints(embedded_body())
    images = torch.rand(2, 3, *SMALL.input_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(40):
        prediction = model(images)
        options = LossOptions(root="matrix", face_targets="in the box")
        terms = osx_losses(prediction, predicted_joints(light, prediction), target, SMALL, options)
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append((total.item(), terms["pose"].item()))
    assert history[-1][0] < 0.5 * history[0][0]
    assert history[-1][1] < 0.5 * history[0][1]


def test_mean_hands_are_added_as_vectors_and_nothing_else_moves():
    body = embedded_body()
    turns = rotation_from_6d(rotation_to_6d(torch.eye(3)) + 0.3 * torch.randn(2, 53, 6))
    plain = joint_rotations(body, turns)
    torch.testing.assert_close(osx_order(plain), turns)
    assert torch.equal(plain[:, 23:25], torch.eye(3).expand(2, 2, 3, 3))


def test_joints_of_a_prediction_carry_gradients_to_every_part():
    torch.manual_seed(0)
    model = OSX(SMALL)
    joints = predicted_joints(BodyJoints(embedded_body()), model(torch.rand(2, 3, *SMALL.input_size)))
    assert joints.shape == (2, 137, 3)
    joints.square().sum().backward()
    for part in ("body_regressor.root", "hand_regressor.pose", "face_regressor.jaw", "body_regressor.shape"):
        assert model.get_parameter(f"{part}.weight").grad.abs().sum() > 0
