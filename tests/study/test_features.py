"""Heads on features that were computed once predict what the whole network predicts."""

import numpy as np
import pytest
import torch
from helpers.study_people import make_people

from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.crops import Crops, predict_people
from pctlib.study.features import extract_features, mirrored_features, predict_from_features
from pctlib.study.pages.comparison.heads import build_head


@pytest.mark.parametrize("flip_test", [False, True])
def test_predictions_are_those_of_the_network(tmp_path, flip_test):
    torch.manual_seed(0)
    profile = load_profile("smoke")
    crops = Crops(make_people(tmp_path, 5), profile, training=False)
    backbone = Backbone("mobilenetv4_conv_small_035")
    model = PoseEstimator(backbone, build_head("coordinates", profile, backbone, COCO)).eval()
    upright = extract_features(backbone, crops, progress=False)
    mirrored = mirrored_features(backbone, crops, progress=False) if flip_test else None
    found = predict_from_features(model.representation, upright, crops.people, mirrored=mirrored)
    expected = predict_people(model, crops, flip_test=flip_test)
    np.testing.assert_allclose(found.keypoints_image, expected.keypoints_image, atol=0.5)  # half precision
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert len(found.keypoints_image) == 5


def test_several_views_are_no_predictions(tmp_path):
    profile = load_profile("smoke")
    crops = Crops(make_people(tmp_path, 3), profile, training=False)
    backbone = Backbone("mobilenetv4_conv_small_035")
    head = build_head("coordinates", profile, backbone, COCO).eval()
    views = extract_features(backbone, crops, views=2, progress=False)
    with pytest.raises(ValueError, match=r"expected one view of 3 people, got features of \[6\]"):
        predict_from_features(head, views, crops.people)
