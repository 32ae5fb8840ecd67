"""Rows of whole networks: what is timed, and that both implementations of ViTPose are one."""

import pytest
import torch

from benchmarks import bench_estimators
from benchmarks.common import turns
from pctlib.models.estimator import PoseEstimator
from pctlib.models.rivals import rtm_pose
from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vitpose import vitpose_head, vitpose_heatmap
from pctlib.skeletons import COCO

SIZE = (32, 48)


@pytest.fixture(autouse=True)
def not_compiled(monkeypatch):
    """Leave networks as they are: compiling takes longer than the test may."""
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)


def tiny_vitpose():
    torch.manual_seed(0)
    backbone = ViT(ViTSize(24, 1, 3), SIZE)
    head = vitpose_head("classic", 24, COCO.num_keypoints)
    return PoseEstimator(backbone, vitpose_heatmap(head, COCO.flip_permutation, input_size=SIZE))


def test_a_row_a_batch_size_with_the_shares_of_head_and_decoding():
    rows = bench_estimators.rtmpose_rows(rtm_pose("t", (64, 64)), {1: 1, 2: 1}, name="tiny")
    assert [row.name for row in rows] == [
        f"tiny 64x64, batch {batch}, compiled, with decoding" for batch in (1, 2)
    ]
    for row in rows:
        assert row.ratio > 0
        assert "images/s; of eager: head" in row.note
        assert "decoding" in row.note


def test_three_rows_a_batch_size_against_the_other_implementation():
    rows = bench_estimators.vitpose_rows(tiny_vitpose(), {2: 1}, name="tiny")
    assert [row.name.split(", ")[2] for row in rows] == ["eager", "compiled", "compiled"]
    modes = ["eager", "compiled", "compiled as ours"]
    assert [row.note.partition(";")[0] for row in rows] == [f"transformers, {mode}" for mode in modes]
    assert all(row.ratio > 0 for row in rows)


def test_implementations_that_differ_are_not_compared():
    model = tiny_vitpose()
    theirs = bench_estimators._transformers(model.eval())
    with torch.no_grad():
        theirs.head.conv.weight.mul_(1 / 1.01)
    with pytest.raises(ValueError, match=r"heatmaps of ours and of transformers differ by 0\.01 of the peak"):
        bench_estimators._check_equal(model, theirs, torch.randn(1, 3, *SIZE))


def test_works_take_turns_after_one_run_that_does_not_count():
    order = []
    found = turns({name: lambda name=name: order.append(name) for name in "ab"}, repeats=2)
    assert order == list("ababab")
    assert set(found) == {"a", "b"}
