"""Cost of an estimator: counted exactly, timed sensibly."""

import pytest
from torch import nn

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.study.cost import cost


class AsTheyAre(nn.Module):
    def forward(self, images):
        return [images]


class MeanColour(Representation):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.linear = nn.Linear(3, 4, bias=False)

    def forward(self, features):
        return self.linear(features[-1].mean((2, 3)))

    def decode(self, prediction):
        self.calls += 1
        return Keypoints(prediction[:, None, :2], prediction[:, :1])


def test_parameters_and_multiply_adds_are_exact_and_every_batch_is_decoded():
    head = MeanColour()
    values = cost(PoseEstimator(AsTheyAre(), head), (8, 6), batch_size=2)
    assert values["parameters (M)"] == pytest.approx(12e-6)
    assert values["GFLOPs"] == pytest.approx(12e-9)
    assert values["images/s"] > 0
    assert head.calls == 6
