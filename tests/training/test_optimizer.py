"""Learning-rate schedule and parameter groups."""

import math

import pytest
import torch
from torch import nn

from pctlib.training.optimizer import (
    average_decay,
    average_update,
    layer_numbers,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
)


def test_schedule_by_hand():
    def factor(step):
        return learning_rate_factor(step, total_steps=101, warmup_steps=20, final_factor=0.1)

    assert factor(0) == pytest.approx(1 / 21)
    assert factor(20) == pytest.approx(1.0)
    assert factor(60) == pytest.approx(0.55)  # half way down the cosine
    assert factor(100) == pytest.approx(0.1)


def test_stairs_by_hand():
    """ViTPose's schedule at a tenth of its length: 21 epochs of 10 steps, steps after 17 and 20."""

    def factor(step):
        steps = {"total_steps": 210, "warmup_steps": 4, "final_factor": 0.5, "decay_steps": (170, 200)}
        return learning_rate_factor(step, **steps)

    assert factor(0) == pytest.approx(1 / 5)
    assert [factor(step) for step in (4, 169)] == [1.0, 1.0]
    assert [factor(step) for step in (170, 199)] == pytest.approx([0.1, 0.1])
    assert [factor(step) for step in (200, 209)] == pytest.approx([0.01, 0.01])


def test_flat_half_then_cosine_by_hand():
    """RTMPose's schedule at a tenth of its length: the cosine takes the second half, down to a twentieth."""

    def factor(step, flat_steps=100):
        steps = {"total_steps": 201, "warmup_steps": 10, "final_factor": 0.05, "flat_steps": flat_steps}
        return learning_rate_factor(step, **steps)

    assert factor(0) == pytest.approx(1 / 11)
    assert [factor(step) for step in (10, 50, 100)] == [1.0, 1.0, 1.0]
    assert factor(150) == pytest.approx((1 + 0.05) / 2)
    assert factor(200) == pytest.approx(0.05)
    assert [factor(step, 5) for step in range(201)] == [factor(step, 0) for step in range(201)]  # warm-up


def test_decay_of_the_average_warms_up_as_the_published_momentum():
    decay, gamma = 1 - 2e-4, 2000
    for updates in (1, 37, 1999, 100_000):
        momentum = (1 - 2e-4) * math.exp(-(1 + updates) / gamma) + 2e-4  # as mmpose writes it
        assert average_decay(updates, decay=decay, warmup_steps=gamma) == pytest.approx(1 - momentum)
    assert average_decay(1, decay=0.9) == 0.9


def test_average_of_weights_by_hand_and_counts_are_copied():
    averaged, current = [torch.tensor([1.0, 3.0])], [torch.tensor([3.0, 3.0])]
    average_update(decay=0.75)(averaged, current, torch.tensor(5))
    torch.testing.assert_close(averaged[0], torch.tensor([1.5, 3.0]))
    average_update(decay=0.75, warmup_steps=2)(averaged, current, torch.tensor(1))
    kept = 0.75 * (1 - math.exp(-1))
    torch.testing.assert_close(averaged[0], torch.tensor([1.5 * kept + 3 * (1 - kept), 3.0]))
    counts = [torch.tensor(7)]
    average_update(decay=0.75)(counts, [torch.tensor(8)], torch.tensor(5))
    assert counts[0] == 8


def test_warm_up_longer_than_the_run_still_ends():
    shortened = [
        learning_rate_factor(n, total_steps=72, warmup_steps=100, final_factor=0.1) for n in range(72)
    ]
    assert shortened[:25] == sorted(shortened[:25])
    assert (shortened[24], shortened[71]) == (1.0, pytest.approx(0.1))
    assert learning_rate_factor(0, total_steps=1, warmup_steps=500, final_factor=0.0) == pytest.approx(1.0)


NAMES = [
    "backbone.net.patch_embed.weight",
    "backbone.net.layers_0.blocks.0.w",
    "backbone.net.layers_0.blocks.1.w",
    "backbone.net.layers_1.downsample.w",
    "backbone.net.layers_1.blocks.0.w",
    "backbone.net.norm.w",
]


def test_layers_are_numbered_in_order_of_their_blocks():
    assert list(layer_numbers(NAMES).values()) == [0, 1, 2, 3, 3, 4]


def test_layer_numbers_of_a_vit_are_those_of_vitpose():
    names = ["pos_embed", "patch_embed.proj.weight", "blocks.0.a", "blocks.1.a", "blocks.2.a", "last_norm.w"]
    assert list(layer_numbers(names).values()) == [0, 0, 1, 2, 3, 4]


def test_groups_decay_by_layer_and_spare_vectors():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Module()
            self.backbone.patch_embed = nn.Linear(2, 2)
            self.backbone.blocks = nn.ModuleList([nn.Linear(2, 2)])
            self.head = nn.Linear(2, 2)

    model = Model()
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.1, layer_decay=0.5)
    of = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert of[id(model.head.weight)] == (1.0, 0.1)
    assert of[id(model.head.bias)] == (1.0, 0.0)
    assert of[id(model.backbone.blocks[0].weight)] == (0.5, 0.1)
    assert of[id(model.backbone.patch_embed.weight)] == (0.25, 0.1)
    optimizer = torch.optim.AdamW(groups)
    set_learning_rate(optimizer, 0.25)
    assert {group["lr"] for group in optimizer.param_groups} == {0.25, 0.125, 0.0625}


def test_frozen_parameters_are_left_out_and_nothing_to_train_is_refused():
    model = nn.Linear(2, 3)
    model.weight.requires_grad_(False)
    (group,) = parameter_groups(model, learning_rate=1.0, weight_decay=0.1)
    assert [tuple(p.shape) for p in group["params"]] == [(3,)]
    model.bias.requires_grad_(False)
    with pytest.raises(ValueError, match="Linear has no trainable parameter"):
        parameter_groups(model, learning_rate=1.0, weight_decay=0.1)
