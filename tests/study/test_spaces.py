"""What representations are taught and say in their spaces: pixels, millimetres, both."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.data.camera_space import Lenses
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints
from pctlib.models.representations.integral import Depth, IntegralRegression
from pctlib.models.representations.regression_3d import DirectRegression3D
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, H36M
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import decode_features, extract_features
from pctlib.study.predictions_3d import truth_3d
from pctlib.study.spaces import judge_any, target_of, to_people
from pctlib.study.stages.classifier import build_classifier
from pctlib.study.stages.tokenizer import build_tokenizer

PROFILE = load_profile("smoke")
FLIP = H36M.flip_permutation
TURNED = PROFILE.classifier.augmentation.model_copy(
    update={"flip": 0.5, "rotation_deg": 60.0, "rotation_probability": 1.0, "scale": 0.3}
)


def seen(folder, count=6):
    """Return people whose 3D joints stand before a camera."""
    people = make_people(folder, count)
    joints = people.keypoints_3d + np.array([0, 0, 4000], np.float32)
    focal, centre = np.full((count, 2), 200.0), np.full((count, 2), 48.0)
    return dataclasses.replace(people, keypoints_3d=joints, focal=focal, principal_point=centre)


def heads(backbone):
    """Return a head for each space in 3D."""
    torch.manual_seed(0)
    options = {"input_size": PROFILE.crop.input_size}
    tokenizer = build_tokenizer(PROFILE, num_keypoints=17, num_dims=3)
    stride = backbone.strides[-1]
    return [
        build_classifier(PROFILE, backbone, tokenizer, H36M),
        DirectRegression3D(backbone.channels[-1], FLIP, feature_stride=stride, **options),
        IntegralRegression.deconvolution(
            backbone.channels[-1], FLIP, depth=Depth(cells=4), channels=(8,), **options
        ),
    ]


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return Backbone("mobilenetv4_conv_small_035", PROFILE.crop.input_size).eval()


def turned_inputs(people):
    crops = Crops(people, PROFILE, training=True)
    draws = [torch.Generator().manual_seed(3)]
    rows = [torch.arange(len(people))]
    return next(iter(crops.inputs(rows, torch.device("cpu"), augmentation=TURNED, generators=draws)))


def test_token_labels_are_those_of_the_augmented_joints(tmp_path, backbone):
    inputs = turned_inputs(seen(tmp_path))
    classifier = heads(backbone)[0].eval()
    tokenizer = classifier.tokenizer
    joints = inputs.keypoints_3d - inputs.keypoints_3d[:, :1]
    expected = tokenizer.quantize(tokenizer.encode(joints, torch.full((6, 17), 2))).indices
    target = target_of(classifier, inputs)
    assert torch.equal(target.labels, expected)
    torch.testing.assert_close(target.keypoints, joints)
    plain = torch.from_numpy(truth_3d(seen(tmp_path)))
    assert not torch.allclose(joints, plain), "the picture was turned, so the pose must be"


def test_targets_in_pixels_stay_what_they_were(tmp_path):
    class Recorder(torch.nn.Module):
        space = "input"

        def encode(self, keypoints, visible):
            return keypoints, visible

    inputs = turned_inputs(seen(tmp_path))
    keypoints, visible = target_of(Recorder(), inputs)
    assert keypoints is inputs.keypoints
    assert visible is inputs.visible


def test_the_target_said_back_is_the_truth_for_every_head_and_augmentation(tmp_path, backbone):
    people = seen(tmp_path)
    inputs = turned_inputs(people)
    for head in heads(backbone):
        target = target_of(head, inputs)
        if isinstance(head, IntegralRegression):  # pixels and depths, in shares
            said = torch.cat([inputs.joints, (inputs.keypoints_3d - inputs.keypoints_3d[:, :1])[..., 2:]], -1)
            shares = (said / torch.tensor([64.0, 64, 2000])) + torch.tensor([0, 0, 0.5])
            torch.testing.assert_close(target.coordinates, shares)
        else:
            said = target.keypoints
        found = Keypoints(said, torch.ones(6, 17))
        back = to_people(head, found, inputs.affine, people)
        mirrored = torch.linalg.det(inputs.affine[:, :, :2]) < 0
        if isinstance(head, IntegralRegression):  # a mirrored picture names the joints of the other side
            poses = np.where(mirrored.numpy()[:, None, None], back.poses[:, list(FLIP)], back.poses)
            back = dataclasses.replace(back, poses=poses)
        np.testing.assert_allclose(back.poses, truth_3d(people), atol=0.1)
        assert judge_any(people, back)["MPJPE mm"] < 0.1


def test_another_root_depth_scales_what_was_said_in_pixels(tmp_path, backbone):
    people = seen(tmp_path)
    inputs = next(iter(Crops(people, PROFILE, training=False).in_order(torch.device("cpu"))))
    head = heads(backbone)[2]
    depths = (inputs.keypoints_3d - inputs.keypoints_3d[:, :1])[..., 2:]
    found = Keypoints(torch.cat([inputs.joints, depths], -1), torch.ones(6, 17))
    twice = to_people(head, found, inputs.affine, people, root_depth=2 * people.keypoints_3d[:, 0, 2])
    lenses = Lenses(people.focal, people.principal_point, np.zeros((6, 5)))
    rays = lenses.rays(lenses.project(people.keypoints_3d))
    depth = 2 * people.keypoints_3d[:, :1, 2] + depths[..., 0].numpy()
    expected = np.concatenate([rays, np.ones((6, 17, 1))], -1) * depth[..., None]
    np.testing.assert_allclose(twice.poses, expected - expected[:, :1], atol=0.5)


def test_features_and_whole_networks_say_the_same_in_3d(tmp_path, backbone):
    people = seen(tmp_path)
    crops = Crops(people, PROFILE, training=False)
    features = extract_features(backbone, crops, progress=False)
    assert features.keypoints_3d.shape == (6, 17, 3)
    assert features.joints.shape == (6, 17, 2)
    for head in heads(backbone):
        head.eval()
        found = decode_features(head, features)
        poses = to_people(head, found, features.affine, people)
        whole = predict_people(PoseEstimator(backbone, head).eval(), crops)
        np.testing.assert_allclose(poses.poses, whole.poses, atol=5)  # half precision
        assert (whole.poses[:, 0] == 0).all()


def test_what_is_missing_is_named(tmp_path, backbone):
    classifier, _, volume = heads(backbone)
    flat = dataclasses.replace(make_people(tmp_path, 2), keypoints_3d=None)
    with pytest.raises(ValueError, match="PCTClassifier: needs 3D joints, the data set has none"):
        target_of(classifier, turned_inputs(flat))
    with pytest.raises(ValueError, match="IntegralRegression: needs the camera, the data set has none"):
        target_of(volume, turned_inputs(make_people(tmp_path, 2)))
    assert COCO.num_keypoints == H36M.num_keypoints
