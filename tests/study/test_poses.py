"""Poses as the tokenizer sees them."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.skeletons import COCO, H36M
from pctlib.study.poses import augment_poses, load_poses

PROFILE = load_profile("smoke", crop__input_width=48)
NONE = AugmentationProfile(flip=0, scale=0, rotation_deg=0, color=0)


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path, 6)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crop_keypoints_go_back_to_the_image(people):
    poses = load_poses(people, PROFILE, training=True)
    keypoints, affine = poses.crops()
    assert keypoints.shape == (6, 17, 2)
    assert affine.shape == (6, 2, 3)
    np.testing.assert_allclose(poses.to_image(keypoints), people.keypoints_image, atol=1e-3)
    centre = people.boxes_xywh[:, :2] + people.boxes_xywh[:, 2:] / 2
    mapped = torch.einsum("nij,nj->ni", affine[:, :, :2], torch.from_numpy(centre)) + affine[:, :, 2]
    np.testing.assert_allclose(mapped, [[24, 32]] * 6, atol=1e-3)


def test_no_augmentation_is_the_plain_crop(people):
    poses = load_poses(people, PROFILE, training=True)
    rows = torch.tensor([4, 1])
    keypoints, visible = augment_poses(poses, rows, NONE, draw())
    torch.testing.assert_close(keypoints, poses.crops()[0][rows])
    assert torch.equal(visible, poses.visible[rows])


def test_flip_mirrors_and_swaps_sides(people):
    poses = load_poses(people, PROFILE, training=True)
    rows = torch.arange(6)
    keypoints, visible = augment_poses(poses, rows, NONE.model_copy(update={"flip": 1.0}), draw())
    plain, permutation = poses.crops()[0], list(COCO.flip_permutation)
    torch.testing.assert_close(keypoints[..., 0], 47 - plain[:, permutation, 0])
    torch.testing.assert_close(keypoints[..., 1], plain[:, permutation, 1])
    assert torch.equal(visible, poses.visible[:, permutation])


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.3},
        {"rotation_deg": 40, "rotation_probability": 1.0},
        {"shift": 0.2, "shift_probability": 1.0},
    ],
)
def test_each_change_moves_poses_and_is_drawn_from_the_generator(people, change):
    poses, rows = load_poses(people, PROFILE, training=True), torch.arange(6)
    changed = NONE.model_copy(update=change)
    first = augment_poses(poses, rows, changed, draw(1))[0]
    again = augment_poses(poses, rows, changed, draw(1))[0]
    other = augment_poses(poses, rows, changed, draw(2))[0]
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, poses.crops()[0])


def test_never_drawn_changes_do_nothing(people):
    poses, rows = load_poses(people, PROFILE, training=True), torch.arange(6)
    never = NONE.model_copy(
        update={"rotation_deg": 40, "rotation_probability": 0.0, "shift": 0.2, "shift_probability": 0.0}
    )
    torch.testing.assert_close(augment_poses(poses, rows, never, draw())[0], poses.crops()[0])


def test_turning_keeps_bone_lengths(people):
    poses, rows = load_poses(people, PROFILE, training=True), torch.arange(6)
    turned = augment_poses(
        poses, rows, NONE.model_copy(update={"rotation_deg": 90, "rotation_probability": 1.0}), draw()
    )[0]
    plain = poses.crops()[0]
    torch.testing.assert_close(
        (turned[:, 5] - turned[:, 7]).norm(dim=1), (plain[:, 5] - plain[:, 7]).norm(dim=1)
    )


def test_3d_poses_are_root_relative_and_turn_about_the_vertical(people):
    poses = load_poses(people, PROFILE, training=True, num_dims=3)
    assert poses.skeleton is H36M
    assert poses.keypoints.shape == (6, 17, 3)
    assert (poses.keypoints[:, 0] == 0).all()
    turned, visible = augment_poses(
        poses,
        torch.arange(6),
        NONE.model_copy(update={"vertical_deg": 180}),
        draw(),
    )
    torch.testing.assert_close(turned[..., 1], poses.keypoints[..., 1])
    torch.testing.assert_close(turned.norm(dim=2), poses.keypoints.norm(dim=2))
    assert not torch.allclose(turned, poses.keypoints)
    assert (visible == 2).all()


def test_3d_poses_turn_in_the_image_plane_and_scale(people):
    poses, rows = load_poses(people, PROFILE, training=True, num_dims=3), torch.arange(6)
    changes = NONE.model_copy(update={"rotation_deg": 90, "rotation_probability": 1.0})
    turned = augment_poses(poses, rows, changes, draw())[0]
    torch.testing.assert_close(turned[..., 2], poses.keypoints[..., 2])
    torch.testing.assert_close(turned.norm(dim=2), poses.keypoints.norm(dim=2))
    assert not torch.allclose(turned, poses.keypoints)
    scaled = augment_poses(poses, rows, NONE.model_copy(update={"scale": 0.3}), draw())[0]
    ratio = scaled[:, 1:] / poses.keypoints[:, 1:]
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    assert ratio.min() >= 0.7
    assert ratio.max() <= 1.3
    assert ratio.std() > 0.01


def test_missing_3d_and_empty_sets_are_refused(people):
    people.keypoints_3d = None
    with pytest.raises(ValueError, match="num_dims is 3 but the data set has no 3D joints"):
        load_poses(people, PROFILE, training=True, num_dims=3)
    with pytest.raises(ValueError, match="the data set is empty"):
        load_poses(people.select([]), PROFILE, training=True)
