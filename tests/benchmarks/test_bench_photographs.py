"""The rows of photographs and the table of exports, on the smallest networks."""

import re

import pytest
import torch

from benchmarks import bench_photographs, exports
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vitpose import vitpose, vitpose_head, vitpose_heatmap
from pctlib.skeletons import COCO


def test_a_folder_is_measured_beside_the_bare_network(monkeypatch):
    monkeypatch.setattr(bench_photographs, "PICTURES", 2)
    (row,) = bench_photographs.benchmark(size="s", repeats=1)
    assert row.seconds > 0
    assert row.reference_seconds > 0
    share = 100 * (row.seconds / row.reference_seconds - 1)
    assert f"the folder takes {share:.0f} % more" in row.note
    assert row.name == "folder of 2 photographs 640x480, ViTPose-S, drawn"


def test_networks_of_the_table_are_those_of_the_papers():
    with torch.device("meta"):
        built = {name: build() for name, (build, _) in exports.NETWORKS.items()}
    sizes = {name: sum(p.numel() for p in model.parameters()) for name, model in built.items()}
    assert sizes["ViTPose+-B"] == sizes["ViTPose-B, classic decoder"] > sizes["ViTPose-B, simple decoder"]
    assert 13e6 < sizes["RTMPose-m"] < 14e6
    assert 80e6 < sizes["PCT, Swin-Base"] < 230e6


def test_drawn_weights_leave_peaks():
    model = exports.draw_weights(vitpose("s", COCO.flip_permutation).eval())
    maps = model(torch.randn(2, 3, 256, 192)).heatmaps.flatten(2)
    spread = (maps.amax(2) - maps.mean(2)) / maps.std(2)
    assert spread.min() > 2
    assert maps.std() > 0.05


def _small():
    backbone = ViT(ViTSize(32, 2, 2), (64, 48))
    head = vitpose_head("simple", 32, COCO.num_keypoints)
    return PoseEstimator(backbone, vitpose_heatmap(head, COCO.flip_permutation, input_size=(64, 48)))


def test_one_line_of_the_table(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(exports, "NETWORKS", {"small": (_small, COCO)})
    monkeypatch.setattr(
        exports, "milliseconds", lambda forms, batches: {f: dict.fromkeys(batches, 7) for f in forms}
    )
    line = exports.row_of("small", None)
    assert re.fullmatch(r"\| small \| continuous \| [\d.e-]+ \| \d+ of 136 \|( 7 \|){6}", line)
    assert float(line.split("|")[3]) <= exports.LIMIT
