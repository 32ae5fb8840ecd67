"""Learning-rate schedule and parameter groups."""

import pytest
import torch
from torch import nn

from pctlib.optimization import layer_numbers, learning_rate_factor, parameter_groups, set_learning_rate


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


def test_warm_up_longer_than_the_run_still_ends():
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
