from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.study_people import make_people
from torch import nn

from pctlib.data.crops import crop_affine, invert_affine, transform_points, udp_affine
from pctlib.inference.predict import coco_results, find_poses
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.skeletons import MPII

SIZE = (32, 24)


class Fixed(Representation):
    """Finds joint k at (k, 2 k) of the input, whatever the picture."""

    def __init__(self, joints=17):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.joints = joints

    def forward(self, features):
        return len(features)

    def decode(self, prediction):
        points = torch.arange(self.joints)[:, None] * torch.tensor([1.0, 2.0])
        return Keypoints(points.expand(prediction, -1, -1), torch.full((prediction, self.joints), 0.5))


def model(**options):
    return PoseEstimator(nn.Identity(), Fixed(**options)).eval()


@pytest.fixture
def people(tmp_path):
    return make_people(tmp_path, 5)


@pytest.mark.parametrize(("udp", "affine"), [(False, crop_affine), (True, udp_affine)])
def test_poses_are_in_pixels_of_the_image_and_in_order(people, udp, affine):
    keypoints, scores = find_poses(
        model(),
        people,
        input_size=SIZE,
        padding=1.5,
        udp=udp,
        flip_test=False,
        batch_size=2,
        workers=0,
        progress=False,
    )
    back = invert_affine(affine(torch.as_tensor(people.boxes_xywh), SIZE, padding=1.5))
    points = torch.arange(17)[:, None] * torch.tensor([1.0, 2.0])
    expected = transform_points(back.float(), points.expand(5, -1, -1))
    np.testing.assert_allclose(keypoints, expected, atol=1e-3)
    assert np.ptp(keypoints[:, 0], axis=0).min() > 0
    assert scores.tolist() == [[0.5] * 17] * 5


def test_another_number_of_keypoints_is_refused(people):
    with pytest.raises(ValueError, match=r"model: finds poses of shape \(3, 2\); coco has \(17, 2\)"):
        find_poses(model(joints=3), people, input_size=SIZE, flip_test=False, workers=0, progress=False)


def test_results_are_rescored_by_the_box_and_without_duplicates(people):
    keypoints, scores = people.keypoints_image.copy(), np.full((5, 17), 0.8, np.float32)
    doubled = replace(people.select([0, 1, 2]), box_scores=np.array([0.5, 0.25, 1.0]))
    doubled.image_ids[2] = doubled.image_ids[1]
    results, counts = coco_results(doubled, keypoints[[0, 1, 1]], scores[:3])
    assert sorted(entry["score"] for entry in results) == pytest.approx([0.4, 0.8])
    assert counts["poses suppressed as duplicates"] == 1
    assert len(coco_results(people, keypoints, scores)[0]) == 5
    assert coco_results(people, keypoints, scores)[0][0]["score"] == pytest.approx(0.8)


def test_a_keypoint_set_without_deviations_is_refused(people):
    poses = people.keypoints_image[:, :16]
    lacking = replace(people, skeleton=MPII, keypoints_image=poses, visible=people.visible[:, :16])
    with pytest.raises(ValueError, match="mpii has no standard deviations"):
        coco_results(lacking, poses, np.ones((5, 16)))
