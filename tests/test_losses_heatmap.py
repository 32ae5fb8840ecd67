import pytest
import torch

from pctlib.losses import heatmap_mse


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
