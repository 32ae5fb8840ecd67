"""3D joints follow their crop by one rule, whatever the augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pctlib.data.augmentation import Augmentation, make_inputs
from pctlib.data.camera_space import Lenses
from pctlib.data.crops import in_plane, invert_affine, transform_joints_3d, transform_points
from pctlib.metrics.mpjpe import mpjpe
from pctlib.skeletons import COCO, H36M

SIZE = (48, 32)
FLIP = list(H36M.flip_permutation)


def batch(B=5, seed=0):
    """Return people seen by a nearly orthographic camera, so that a turned picture is a turned person."""
    generator = torch.Generator().manual_seed(seed)
    joints = 300 * torch.randn(B, 17, 3, generator=generator, dtype=torch.float64)
    joints[..., 2] += 1e8  # so far away that every point has the same scale
    focal = np.full((B, 2), 1e8 * 0.04)
    lenses = Lenses(focal, np.full((B, 2), 60.0), np.zeros((B, 5)))
    pixels = torch.from_numpy(lenses.project(joints.numpy()))
    return {
        "patch": torch.zeros(B, 3, 72, 72, dtype=torch.uint8),
        "affine": torch.eye(2, 3).expand(B, -1, -1),
        "keypoints_image": 60 + 10 * torch.randn(B, 17, 2, generator=generator),
        "visible": torch.full((B, 17), 2, dtype=torch.uint8),
        "boxes_xywh": torch.tensor([40.0, 30, 40, 60]).expand(B, -1),
        "area": torch.ones(B),
        "index": torch.arange(B),
        "keypoints_3d": joints,
        "joints_image": pixels.float(),
    }


AUGMENTATIONS = st.builds(
    Augmentation,
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    scale=st.sampled_from([(1.0, 1.0), (0.6, 1.4)]),
    rotation_deg=st.floats(0, 180),
    rotation_probability=st.just(1.0),
    shift=st.sampled_from([0.0, 0.3]),
    half_body=st.sampled_from([0.0, 1.0]),
)


@settings(max_examples=40, deadline=None)
@given(AUGMENTATIONS, st.integers(0, 10_000))
def test_the_truth_has_no_error_under_any_augmentation(augmentation, seed):
    people = batch(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    inputs = make_inputs(people, SIZE, skeleton=COCO, augmentation=augmentation, generator=generator)
    # What a perfect network would say of the picture: x and y from its pixels, depth and scale as they are.
    scale = torch.linalg.det(inputs.affine[:, :, :2]).abs().sqrt()[:, None, None]  # input px an image px
    plane = (inputs.joints - inputs.joints[:, :1]) / (scale * 0.04)  # millimetres beside the root
    mirrored = torch.linalg.det(inputs.affine[:, :, :2]) < 0
    depth = people["keypoints_3d"][..., 2:]
    depth = torch.where(mirrored[:, None, None], depth[:, FLIP], depth)
    seen = torch.cat([plane, depth - depth[:, :1]], dim=-1).numpy()
    truth = (inputs.keypoints_3d - inputs.keypoints_3d[:, :1]).numpy()
    assert mpjpe(seen, truth) < 0.05


@given(st.floats(-180, 180), st.booleans(), st.floats(0.1, 5))
def test_the_inverse_affine_takes_a_pose_back(degrees, mirrored, scale):
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        linear = np.diag([-1.0, 1]) @ linear
    affine = torch.from_numpy(np.concatenate([linear, [[7.0], [-3]]], axis=1))[None]
    joints = torch.randn(1, 17, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    there = transform_joints_3d(affine, joints, FLIP)
    torch.testing.assert_close(transform_joints_3d(invert_affine(affine), there, FLIP), joints)
    turn = in_plane(affine)[0]
    torch.testing.assert_close(turn @ turn.T, torch.eye(2, dtype=torch.float64))
    # Bones keep their length whatever happens to the picture.
    length = (there[:, H36M.index("left_hip")] - there[:, H36M.index("left_knee")]).norm()
    side = "right" if mirrored else "left"
    before = joints[:, H36M.index(f"{side}_hip")] - joints[:, H36M.index(f"{side}_knee")]
    torch.testing.assert_close(length, before.norm())


def test_a_mirrored_picture_exchanges_left_and_right():
    people = batch(1)
    plain = make_inputs(people, SIZE, skeleton=COCO)
    flipped = make_inputs(
        people,
        SIZE,
        skeleton=COCO,
        augmentation=Augmentation(flip=1.0),
        generator=torch.Generator().manual_seed(0),
    )
    expected = plain.keypoints_3d[:, FLIP] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(flipped.keypoints_3d, expected.double())
    mirrored = plain.joints[:, FLIP] * torch.tensor([-1.0, 1]) + torch.tensor([SIZE[1] - 1.0, 0])
    torch.testing.assert_close(flipped.joints, mirrored, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain.joints, transform_points(plain.affine, people["joints_image"]))


def test_without_3d_joints_there_are_none_and_wrong_ones_are_named():
    people = batch(2)
    none = {name: value for name, value in people.items() if name not in ("keypoints_3d", "joints_image")}
    inputs = make_inputs(none, SIZE, skeleton=COCO)
    assert inputs.keypoints_3d is None
    assert inputs.joints is None
    people["keypoints_3d"] = people["keypoints_3d"][:, :5]
    with pytest.raises(ValueError, match="skeleton h36m has 17 keypoints, the batch has 5 3D joints"):
        make_inputs(people, SIZE, skeleton=COCO)
