import math

import pytest
import torch

from pctlib.losses import (
    feature_distillation,
    heatmap_mse,
    logit_distillation,
    residual_log_likelihood,
    simcc_kl,
)


@pytest.mark.parametrize("case", ["classic", "deconv3", "simple"])
def test_equals_the_official_loss(golden, case):
    data = golden("simple_baseline")
    pred, target, weights = (
        data.outputs[f"{case}/heatmaps"],
        data.inputs["target"],
        data.inputs["target_weight"],
    )
    out = {name: data.outputs[f"{case}/{name}"] for name in ("loss", "loss_unweighted", "loss_skip_empty")}
    torch.testing.assert_close(heatmap_mse(pred, target, weights), out["loss"], rtol=1e-5, atol=0)
    everything = heatmap_mse(pred, target, torch.ones_like(weights))
    torch.testing.assert_close(everything, out["loss_unweighted"], rtol=1e-5, atol=0)
    not_empty = weights * (target.flatten(2).amax(-1) > 0)
    torch.testing.assert_close(
        heatmap_mse(pred, target, not_empty), out["loss_skip_empty"], rtol=1e-5, atol=0
    )


def test_value_by_hand():
    pred, target = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)
    pred[0, 0, 1, 2], pred[0, 1, 0, 0] = 2.0, 6.0
    weights = torch.tensor([[1.0, 0.5]])
    torch.testing.assert_close(heatmap_mse(pred, target, weights), torch.tensor((4 + 0.5 * 36) / 24))


def test_maps_of_weight_zero_change_neither_value_nor_gradient():
    pred, target, weights = torch.ones(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), torch.tensor([[1.0, 0.0]])
    target[0, 1] = float("nan")
    pred.requires_grad_()
    loss = heatmap_mse(pred, target, weights)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.5))
    assert (pred.grad[0, 1] == 0).all()


def test_shapes_that_disagree_are_named():
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        heatmap_mse(torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5), torch.ones(1, 2))


def test_simcc_kl_equals_the_official_loss(golden):
    data = golden("dwpose_distill")
    weights = data.inputs["target_weight"]
    for beta in (1, 10):
        total = sum(
            simcc_kl(
                data.inputs[f"logit_student_{axis}"],
                data.inputs[f"target_{axis}"],
                weights,
                beta=beta,
                label_beta=beta,
            )
            for axis in ("x", "y")
        )
        torch.testing.assert_close(total, data.outputs[f"kl_discret_beta{beta}"], rtol=1e-5, atol=0)


def test_simcc_kl_by_hand():
    pred = torch.tensor([[[0.0, math.log(3.0)], [5.0, 1.0]]])  # softmax (1/4, 3/4)
    target = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    weights = torch.tensor([[2.0, 0.0]])
    divergence = (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)) / 2  # mean over two bins
    value = simcc_kl(pred, target, weights)
    torch.testing.assert_close(value, torch.tensor(2 * divergence / 2))  # weight 2, K = 2
    twice = simcc_kl(pred.expand(2, -1, -1), target.expand(2, -1, -1), weights.expand(2, -1))
    torch.testing.assert_close(twice, 2 * value)  # a sum over the batch, as published
    assert simcc_kl(pred, target, weights, beta=2.0) != value
    assert simcc_kl(pred, target * 2, weights, label_beta=3.0) == simcc_kl(
        pred, target, weights, label_beta=6.0
    )


def test_feature_distillation_equals_the_official_loss(golden):
    data = golden("dwpose_distill")
    align = torch.nn.Conv2d(data.config["Cs"], data.config["Ct"], 1)
    align.load_state_dict(
        {k: data.state[f"stage1/distill_losses.loss_fea.align.{k}"] for k in ("weight", "bias")}
    )
    value = feature_distillation(align(data.inputs["feat_student"]), data.inputs["feat_teacher"])
    torch.testing.assert_close(value * data.config["alpha"], data.outputs["fea_loss"], rtol=1e-5, atol=0)


def test_feature_distillation_by_hand_and_without_gradient_to_the_teacher():
    student = torch.zeros(2, 3, 4, 5, requires_grad=True)
    teacher = torch.full((2, 3, 4, 5), 2.0, requires_grad=True)
    value = feature_distillation(student, teacher)
    value.backward()
    assert value == 4 * 3 * 4 * 5
    assert teacher.grad is None
    assert (student.grad == -2.0).all()
    assert feature_distillation(student, teacher, per_element=True) == 4.0


def test_logit_distillation_equals_the_official_loss(golden):
    data = golden("dwpose_distill")
    for beta in (1, 10):
        total = sum(
            logit_distillation(
                data.inputs[f"logit_student_{a}"], data.inputs[f"logit_teacher_{a}"], beta=beta
            )
            for a in ("x", "y")
        )
        torch.testing.assert_close(total, data.outputs[f"kd_loss_beta{beta}_w1.0"], rtol=1e-5, atol=0)


def test_logit_distillation_by_hand_and_the_two_forms_differ_by_a_constant_and_k():
    student = torch.tensor([[[0.0, math.log(3.0)]] * 3], requires_grad=True)  # K = 3 times (1/4, 3/4)
    teacher = torch.zeros(1, 3, 2)  # (1/2, 1/2)
    value = logit_distillation(student, teacher, beta=1.0)
    divergence = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    torch.testing.assert_close(value, torch.tensor(divergence))
    kl_gradient = torch.autograd.grad(value, student)[0]
    entropy = logit_distillation(student, teacher, beta=1.0, cross_entropy=True)
    torch.testing.assert_close(entropy, torch.tensor(3 * (divergence + math.log(2.0))))
    torch.testing.assert_close(torch.autograd.grad(entropy, student)[0], 3 * kl_gradient)


def test_residual_log_likelihood_by_hand():
    sigma = torch.tensor([[[0.5, 0.25], [0.5, 0.5]]])
    error = torch.tensor([[[1.0, -2.0], [float("nan"), 0.0]]], requires_grad=True)
    log_phi = torch.tensor([[-0.7, -5.0]])
    value = residual_log_likelihood(error, sigma, log_phi, torch.tensor([[True, False]]))
    expected = (math.log(0.5) + 0.7 + math.log(1.0) + 1) + (math.log(0.25) + 0.7 + math.log(0.5) + 2)
    torch.testing.assert_close(value, torch.tensor(expected / 2))
    value.backward()
    torch.testing.assert_close(error.grad, torch.tensor([[[0.5, -0.5], [0.0, 0.0]]]))


def test_shapes_that_disagree_are_named_by_every_loss():
    a, b = torch.zeros(1, 3, 4), torch.zeros(1, 3, 5)
    labelled = torch.ones(1, 3, dtype=torch.bool)
    for call in (
        lambda: simcc_kl(a, b, torch.ones(1, 3)),
        lambda: logit_distillation(a, b),
        lambda: feature_distillation(a[None], b[None]),
        lambda: residual_log_likelihood(a, b, torch.ones(1, 3), labelled),
        lambda: residual_log_likelihood(a, a, torch.ones(1, 3), labelled.int()),
    ):
        with pytest.raises(ValueError, match=r"3, 4"):
            call()
