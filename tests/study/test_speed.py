"""Cost of an estimator: counted exactly, timed sensibly."""

import pytest
from torch import nn

from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.base import Keypoints, Representation
from pctlib.study import speed as cost_module
from pctlib.study.speed import costs, speeds


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


def test_parameters_and_multiply_adds_are_exact_and_every_batch_is_decoded(monkeypatch):
    monkeypatch.setattr(cost_module, "_LEAST_SECONDS", 0.0)
    head = MeanColour()
    values = costs({"mean": (PoseEstimator(AsTheyAre(), head), (8, 6))}, batch_size=2)["mean"]
    assert values["parameters (M)"] == pytest.approx(12e-6)
    assert values["GFLOPs"] == pytest.approx(12e-9)
    assert values["images/s"] > 0
    assert head.calls == 6


def test_fast_networks_are_measured_for_longer():
    head = MeanColour()
    speeds({"a": (PoseEstimator(AsTheyAre(), head), (8, 6))}, batch_sizes=(1,), rounds=1, least_seconds=0.1)
    assert head.calls > 20


def test_models_take_turns_and_every_batch_size_is_measured():
    heads = {name: MeanColour() for name in ("a", "b")}
    models = {name: (PoseEstimator(AsTheyAre(), head), (8, 6)) for name, head in heads.items()}
    found = speeds(models, batch_sizes=(1, 3), rounds=2)
    assert {name: set(values) for name, values in found.items()} == {"a": {1, 3}, "b": {1, 3}}
    assert all(value > 0 for values in found.values() for value in values.values())
    assert [head.calls for head in heads.values()] == [6, 6]
