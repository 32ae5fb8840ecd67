import math

import pytest
import torch

from pctlib.losses import set_prediction

B, N, K = 2, 5, 3


def inputs():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(B, N, K + 1, generator=generator)
    coordinates = torch.rand(B, N, 2, generator=generator)
    queries = torch.tensor([[4, 0, 2], [1, 3, 0]])
    target = torch.rand(B, K, 2, generator=generator)
    return logits, coordinates, queries, target, torch.ones(B, K, dtype=torch.bool)


def test_value_by_hand():
    logits = torch.zeros(1, 3, 2)  # three queries, one keypoint
    logits[0, 2] = torch.tensor([math.log(3.0), 0.0])  # 3 : 1 for the keypoint
    coordinates = torch.tensor([[[9.0, 9.0], [9.0, 9.0], [0.5, 0.25]]])
    queries, target = torch.tensor([[2]]), torch.tensor([[[0.25, 0.75]]])
    entropy, distance = set_prediction(logits, coordinates, queries, target, torch.tensor([[True]]))
    expected = (-math.log(0.75) + 2 * 0.1 * math.log(2)) / (1 + 2 * 0.1)
    assert entropy.item() == pytest.approx(expected, rel=1e-6)
    assert distance.item() == pytest.approx((0.25 + 0.5) / 2)


def test_the_order_of_the_queries_does_not_matter():
    logits, coordinates, queries, target, labelled = inputs()
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = order.argsort()[queries]
    there = set_prediction(logits[:, order], coordinates[:, order], moved, target, labelled)
    torch.testing.assert_close(there, set_prediction(logits, coordinates, queries, target, labelled))


def test_unlabelled_keypoints_have_a_class_but_no_place():
    logits, coordinates, queries, target, labelled = inputs()
    labelled[0, 1] = False
    with_nan = target.clone()
    with_nan[0, 1] = float("nan")
    coordinates.requires_grad_()
    entropy, distance = set_prediction(logits, coordinates, queries, with_nan, labelled)
    distance.backward()
    assert coordinates.grad.isfinite().all()
    assert (coordinates.grad[0, queries[0, 1]] == 0).all()
    full = set_prediction(logits, coordinates, queries, target, torch.ones_like(labelled))
    torch.testing.assert_close(entropy, full[0])
    assert distance < full[1]


def test_the_weight_of_no_object_counts():
    values = [set_prediction(*inputs(), no_object_weight=weight)[0] for weight in (0.1, 1.0)]
    assert values[0] != values[1]


def test_shapes_that_disagree_are_refused():
    logits, coordinates, queries, target, labelled = inputs()
    with pytest.raises(ValueError, match="expected"):
        set_prediction(logits[..., :-1], coordinates, queries, target, labelled)
    with pytest.raises(ValueError, match="expected"):
        set_prediction(logits, coordinates, queries, target, labelled.long())
