"""One person inside a trained model: pictures of crops, rows of galleries, and poses read back."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.images import normalize
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, CROWDPOSE, H36M, Skeleton
from pctlib.study.crops import Crops
from pctlib.study.inside import crop_pictures, crop_row, left_arm, one_crop, pose_readings
from pctlib.study.poses import load_poses

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return make_people(tmp_path_factory.mktemp("people"), 5)


@pytest.fixture(scope="module")
def crops(people):
    return Crops(people, load_profile("smoke"), training=False)


def test_crops_become_pictures_again():
    pixels = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) * 2
    pictures = crop_pictures(normalize(pixels))
    assert [picture.dtype for picture in pictures] == [np.uint8, np.uint8]
    np.testing.assert_array_equal(pictures[1], pixels[1].permute(1, 2, 0))


def test_a_row_is_in_pixels_of_the_crop(crops, people):
    seen = one_crop(crops, 3)
    row = crop_row(crops, 3, seen, {"found": seen.keypoints + 2}, label="third")
    assert row.image.shape == (64, 64, 3)
    np.testing.assert_allclose(row.predictions["found"] - row.truth, np.full((17, 2), 2.0), atol=1e-4)
    np.testing.assert_array_equal(row.visible, people.visible[3])
    box = people.boxes_xywh[3]
    corner = torch.tensor([[*box[:2], 1.0], [box[0] + box[2], box[1], 1.0]]) @ seen.affine[0].T
    assert row.length == pytest.approx(float(corner[1, 0] - corner[0, 0]), rel=1e-4)  # the boxes are squares
    assert row.label == "third"
    with pytest.raises(ValueError, match="expected those of one person, got 2"):
        crop_row(crops, 0, next(crops.inputs([torch.arange(2)], CPU)), {})


def test_readings_of_a_pose_have_their_error_of_labelled_joints(people):
    poses = load_poses(people, load_profile("smoke"), training=False)
    truth, _ = poses.crops()
    off = truth.clone()
    off[2, people.labelled[2]] += torch.tensor([3.0, 4.0])
    off[2, ~people.labelled[2]] += 1000
    hidden = torch.zeros(5, 17, dtype=torch.bool)
    hidden[2, 7] = True
    shown = pose_readings(poses, 2, {"all": truth, "some": off}, hidden={"some": hidden})
    assert shown["titles"] == ["all\n0.0 px", "some\n5.0 px"]
    assert shown["hidden"].sum(1).tolist() == [0, 1]
    assert shown["hidden"][1, 7]
    np.testing.assert_array_equal(shown["truth"][0], shown["truth"][1])
    np.testing.assert_array_equal(shown["truth"][0], truth[2])
    np.testing.assert_array_equal(shown["restored"][1], off[2])
    assert shown["skeleton"] is COCO


def test_3d_poses_are_drawn_flat_and_measured_in_millimetres(people):
    poses = load_poses(people, load_profile("smoke"), training=False)
    poses.keypoints = torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(0))
    poses.visible = torch.full((5, 17), 2, dtype=torch.uint8)
    shown = pose_readings(poses, 0, {"read": poses.keypoints + torch.tensor([0.0, 0.0, 7.0])})
    assert shown["titles"] == ["read\n7.0 mm"]
    assert shown["restored"].shape == (1, 17, 2)
    assert shown["skeleton"] is H36M


def test_the_left_arm_is_found_by_name_or_by_the_first_limb():
    assert left_arm(COCO) == [7, 9]
    assert [CROWDPOSE.keypoint_names[k] for k in left_arm(CROWDPOSE)] == ["left_elbow", "left_wrist"]
    row = Skeleton("row", ("a", "b", "c"), (), ((1, 2), (0, 1)), ("#000000", "#ffffff"), None, (), ())
    assert left_arm(row) == [1, 2]
