import pytest
import torch

from pctlib.losses import commitment, keypoint_smooth_l1, keypoint_smooth_l1_over_all, tokenizer_losses


def test_smooth_l1_on_both_sides_of_beta():
    pred = torch.tensor([[[0.02, -3.0]]])
    expected = (0.02**2 / (2 * 0.05) + 3 - 0.025) / 2
    labelled = torch.ones(1, 1, dtype=torch.bool)
    for loss in (keypoint_smooth_l1, keypoint_smooth_l1_over_all):
        torch.testing.assert_close(
            loss(pred, torch.zeros(1, 1, 2), labelled, beta=0.05), torch.tensor(expected)
        )


@pytest.mark.parametrize(("loss", "divisor"), [(keypoint_smooth_l1, 4), (keypoint_smooth_l1_over_all, 6)])
def test_unlabelled_keypoints_change_no_gradient_and_count_as_named(loss, divisor):
    target = torch.full((2, 3, 2), 128.0)
    pred, labelled = target + 2.0, torch.tensor([[True, False, True], [True, True, False]])
    pred[0, 1], target[1, 2] = float("nan"), float("nan")
    value = loss(pred.requires_grad_(), target, labelled, beta=1.0)
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(1.5 * 4 / divisor))
    assert (pred.grad[~labelled] == 0).all()


def test_no_label_gives_zero_with_zero_gradient():
    pred = torch.ones(2, 3, 2, requires_grad=True)
    value = keypoint_smooth_l1(pred, torch.zeros(2, 3, 2), torch.zeros(2, 3, dtype=torch.bool))
    value.backward()
    assert value == 0
    assert (pred.grad == 0).all()


@pytest.mark.parametrize("loss", [keypoint_smooth_l1, keypoint_smooth_l1_over_all])
def test_tensors_that_do_not_fit_are_refused(loss):
    pred, labelled = torch.zeros(2, 3, 2), torch.ones(2, 3, dtype=torch.bool)
    for arguments in [
        (pred, pred[:1], labelled),
        (pred, pred, labelled[:, :2]),
        (pred, pred, labelled.int()),
    ]:
        with pytest.raises(ValueError, match=r"\[B, K, D\]"):
            loss(*arguments)


def test_commitment_pulls_tokens_only():
    tokens = torch.tensor([[[1.0, 3.0]]], requires_grad=True)
    codes = torch.zeros(1, 1, 2, requires_grad=True)
    value = commitment(tokens, codes)
    value.backward()
    assert value == 5
    assert tokens.grad.tolist() == [[[1.0, 3.0]]]
    assert codes.grad is None
    with pytest.raises(ValueError, match="one shape"):
        commitment(tokens, codes[..., :1])


def test_tokenizer_losses_and_their_options():
    restored, target = torch.zeros(1, 2, 3), torch.full((1, 2, 3), 2.0)
    output = (restored, torch.ones(1, 4, 5), torch.zeros(1, 4, 5), torch.zeros(1, 4, dtype=torch.int64))
    losses = tokenizer_losses(output, target, torch.tensor([[2, 0]]))
    torch.testing.assert_close(losses["keypoints"], torch.tensor((2 - 0.025) / 2))
    assert losses["commitment"] == 15
    losses = tokenizer_losses(output, target, torch.tensor([[1, 0]]), beta=1.0, commitment_weight=2.0)
    assert losses["keypoints"] == 0.75
    assert losses["commitment"] == 2
