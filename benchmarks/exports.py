"""The table of exported networks in `docs/photographs.md`: `python -m benchmarks.exports [NAME ...]`.

Each network has its published size and random weights. Its ONNX file is compared with it on random crops and,
with `--crops FOLDER`, on photographs; torch, our compiled form and onnxruntime take turns in one run.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from pctlib.inference.network import torch_network
from pctlib.inference.onnx_export import export_onnx
from pctlib.inference.onnx_network import onnx_network
from pctlib.inference.parity import compare, crops_to_compare, milliseconds
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.rivals import pct, rtm_pose
from pctlib.models.vit import SIZES, ViT
from pctlib.models.vitpose import MultiDatasetEstimator, vitpose, vitpose_head, vitpose_heatmap
from pctlib.skeletons import COCO, COCO_WHOLEBODY, Skeleton
from pctlib.study.runs import Trained

BATCHES = (1, 16)
LIMIT = 0.01  # input pixels
_SIZE = (256, 192)


def vitpose_plus() -> PoseEstimator:
    """Return ViTPose+-B for COCO: its expert of six is folded into the backbone, as `predict` does."""
    backbone = ViT(SIZES["b"], _SIZE, num_experts=6)
    head = vitpose_head("classic", backbone.channels[-1], COCO.num_keypoints)
    heatmap = vitpose_heatmap(head, COCO.flip_permutation, input_size=_SIZE)
    return MultiDatasetEstimator(backbone, [heatmap]).eval().of_dataset(0)


NETWORKS: dict[str, tuple[Callable[[], PoseEstimator], Skeleton]] = {
    "ViTPose-B, classic decoder": (partial(vitpose, "b", COCO.flip_permutation), COCO),
    "ViTPose-B, simple decoder": (partial(vitpose, "b", COCO.flip_permutation, decoder="simple"), COCO),
    "ViTPose+-B": (vitpose_plus, COCO),
    "RTMPose-m": (partial(rtm_pose, "m", _SIZE, COCO.flip_permutation), COCO),
    "DWPose-l": (partial(rtm_pose, "l", _SIZE), COCO_WHOLEBODY),
    "PCT, Swin-Base": (partial(pct, "swinv2_base_window12to16_192to256", (256, 256)), COCO),
}


@torch.no_grad()
def draw_weights(model: PoseEstimator, *, seed: int = 0) -> PoseEstimator:
    """Give a network random weights that keep signals alive, as trained ones do, and put it in eval mode.

    Fresh networks end in maps that are flat, where rounding alone says where the largest value is.
    """
    draw = torch.Generator().manual_seed(seed)
    for weights in model.parameters():
        noise = torch.randn(weights.shape, generator=draw)
        if weights.ndim > 1:
            weights.copy_(2 * noise / weights[0].numel() ** 0.5)
        else:
            weights.add_(noise / 4)
    model.eval()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None  # statistics become those of the batch below
        norm.reset_running_stats()
        norm.train()
    model(torch.randn(8, 3, *model.representation.input_size, generator=draw))
    return model.eval()


def row_of(name: str, crops: Path | None) -> str:
    """Return the line of the table for one network, Markdown."""
    build, skeleton = NETWORKS[name]
    torch.manual_seed(0)
    model = draw_weights(build().eval())
    crop = model.representation.crop
    size = tuple(model.representation.input_size)
    trained = Trained(model, size, *crop, skeleton)
    cpu = {"device": torch.device("cpu"), "flip_test": False}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_onnx(model, file, skeleton=skeleton, input_size=size, padding=crop.padding, udp=crop.udp)
        forms = {"torch": torch_network(trained, skeleton, **cpu)}
        forms["onnxruntime"] = onnx_network(file, threads=torch.get_num_threads())
        differences = [
            compare(forms["torch"], forms["onnxruntime"], each, limit=LIMIT)
            for each in crops_to_compare(forms["torch"], crops).values()
        ]
        compiled = torch_network(trained, skeleton, compiled=True, **cpu)
        forms = {"torch": forms["torch"], "compiled": compiled, "onnxruntime": forms["onnxruntime"]}
        times = milliseconds(forms, BATCHES)
    largest = max(found.largest for found in differences)
    undecided, all_of = (sum(getattr(d, key) for d in differences) for key in ("undecided", "keypoints"))
    kind = "continuous" if isinstance(model.representation, Heatmap) or "PCT" in name else "index"
    cells = [f"{times[form][batch]:.0f}" for batch in BATCHES for form in forms]
    return f"| {name} | {kind} | {largest:.2g} | {undecided} of {all_of} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)}; all if none")
    parser.add_argument("--crops", type=Path, help="folder of photographs to compare on, beside random crops")
    given = parser.parse_args(arguments)
    heads = [f"{form}, {batch}" for batch in BATCHES for form in ("torch", "compiled", "onnxruntime")]
    print(f"| network | decoder | difference (px) | undecided | {' | '.join(heads)} |")
    print(f"| --- | --- | {' | '.join(['---'] * (2 + len(heads)))} |")
    for name in given.names or NETWORKS:
        print(row_of(name, given.crops), flush=True)


if __name__ == "__main__":
    main()
