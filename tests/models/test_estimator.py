from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation


class _Prediction(NamedTuple):
    keypoints: Tensor
    scores: Tensor


class _Brightest(Representation):
    """One keypoint: the brightest pixel of the last map."""

    def forward(self, features):
        image = features[-1]
        flat = image.flatten(1).argmax(1)
        width = image.shape[-1]
        keypoints = torch.stack([flat % width, flat // width], -1).float().unsqueeze(1)
        return _Prediction(keypoints, image.flatten(1).amax(1, keepdim=True))

    def decode(self, prediction):
        return Keypoints(*prediction)

    def merge_flipped(self, prediction, flipped):
        x, y = flipped.keypoints.unbind(-1)
        back = torch.stack([6 - x, y], -1)
        return _Prediction((prediction.keypoints + back) / 2, (prediction.scores + flipped.scores) / 2)


class _FirstChannel(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        return [images, self.weight * images[:, :1]]


@pytest.mark.parametrize("flip_test", [False, True])
def test_prediction_and_one_pass_of_a_doubled_batch(flip_test):
    images = torch.zeros(2, 3, 5, 7)
    images[0, 0, 1, 2] = images[1, 0, 4, 6] = 3.0
    estimator = PoseEstimator(_FirstChannel(), _Brightest()).eval()
    poses = estimator.predict(images, flip_test=flip_test)
    assert poses.keypoints.tolist() == [[[2, 1]], [[6, 4]]]
    assert poses.scores.tolist() == [[3], [3]]
    assert not poses.scores.requires_grad
    assert estimator.backbone.batches == [4 if flip_test else 2]
    by_joint = estimator.predict(images, flip_test=flip_test, joint_scores=True)
    assert by_joint.scores.tolist() == poses.scores.tolist()


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (2, 3, 10, 14)])
def test_images_of_another_size_are_refused(shape):
    estimator = PoseEstimator(_FirstChannel(), _Brightest()).eval()
    estimator.representation.input_size = (5, 7)
    with pytest.raises(
        ValueError, match=rf"images: expected \(5, 7\) pixels .*, got \({shape[2]}, {shape[3]}\)"
    ):
        estimator.predict(torch.zeros(shape))
    estimator.predict(torch.zeros(2, 3, 5, 7))


def test_a_model_in_training_does_not_predict():
    with pytest.raises(ValueError, match=r"model: is in training mode; call eval\(\)"):
        PoseEstimator(_FirstChannel(), _Brightest()).predict(torch.zeros(1, 3, 5, 7))


def test_forward_keeps_the_gradient():
    estimator = PoseEstimator(_FirstChannel(), _Brightest())
    estimator(torch.rand(2, 3, 5, 7)).scores.sum().backward()
    assert estimator.backbone.weight.grad is not None
