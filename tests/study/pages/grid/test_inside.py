"""What a reader plays with on the page of the grid: the poses that its tokenizers gave back."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.pages.grid.inside import reading_walks
from pctlib.study.pages.grid.trainings import point_name
from pctlib.study.poses import load_poses

PROFILE = load_profile("smoke")
GRID = PROFILE.grid.model_copy(update={"codebook_sizes": (8, 16), "num_tokens": (2, 4)})


@pytest.fixture
def poses(tmp_path):
    return load_poses(make_people(tmp_path, 12), PROFILE, training=False)


def read_back(poses, shift):
    keypoints = poses.crops()[0] + shift
    return keypoints, torch.zeros(len(poses), 2, dtype=torch.int64)


def test_a_pose_is_followed_by_what_each_point_gives_back(poses):
    sizes = [(entries, tokens) for entries in GRID.codebook_sizes for tokens in GRID.num_tokens]
    written = {point_name(*size): read_back(poses, 1.0 + n) for n, size in enumerate(sizes)}
    del written[point_name(*sizes[0])]
    explorer = reading_walks(poses, written, GRID, people=2)
    assert explorer.skeleton is COCO
    assert explorer.controls == ("Pose", "V", "M")
    assert len(explorer.poses) == 2
    for walks in explorer.poses.values():
        assert [walk.name for walk in walks] == [f"{entries} entries" for entries in GRID.codebook_sizes]
        assert walks[0].entries == ["of none: the pose itself", *(f"= {m}" for m in GRID.num_tokens[1:])]
        moved = walks[-1].keypoints - walks[-1].keypoints[0]
        known = ~np.isnan(moved[0])
        first = 1 + len(sizes) - len(GRID.num_tokens)
        for step, keypoints in enumerate(moved[1:]):
            np.testing.assert_allclose(keypoints[known], first + step, atol=1e-3)


def test_joints_without_a_label_are_not_known(poses):
    visible = poses.visible.clone()
    visible[:, 4] = 0
    poses = dataclasses.replace(poses, visible=visible)
    written = {point_name(GRID.codebook_sizes[0], GRID.num_tokens[0]): read_back(poses, 2.0)}
    for walks in reading_walks(poses, written, GRID).poses.values():
        (walk,) = walks
        assert np.isnan(walk.keypoints[0, 4]).all()
        assert np.isfinite(walk.keypoints[1]).all()
