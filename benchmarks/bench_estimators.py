"""Whole networks on one CPU thread: RTMPose-l, and ViTPose-B beside transformers' with the same weights.

The runs that are compared take turns, so that what else the machine does falls on all alike.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.common import Row, turns
from pctlib.checkpoints.vitpose_hf import save_vitpose_hf
from pctlib.inference.compile import compile_for_inference
from pctlib.models.estimator import PoseEstimator
from pctlib.models.rivals import Size, rtm_pose
from pctlib.models.vitpose import vitpose
from pctlib.skeletons import COCO

SIZE: Size = (256, 192)
BATCHES = {1: 12, 32: 3}  # images: timed repeats
_TOLERANCE = 1e-4  # between heatmaps of both implementations, as a share of their largest value


def benchmark(batches: Mapping[int, int] = BATCHES) -> list[Row]:
    """Return the rows of whole networks: images and decoding, eager and compiled."""
    torch.manual_seed(0)
    return [*rtmpose_rows(rtm_pose("l", SIZE), batches), *vitpose_rows(_vitpose(), batches)]


def rtmpose_rows(model: PoseEstimator, batches: Mapping[int, int], *, name: str = "RTMPose-l") -> list[Row]:
    """Return one row a batch size: compiled against eager, with the shares of head and decoding."""
    model = model.eval().to(memory_format=torch.channels_last)
    return [_rtmpose_row(model, batch, repeats, name) for batch, repeats in batches.items()]


@torch.inference_mode()
def _rtmpose_row(model: PoseEstimator, batch: int, repeats: int, name: str) -> Row:
    height, width = model.representation.coding.input_size
    images = torch.randn(batch, 3, height, width).to(memory_format=torch.channels_last)
    compiled = compile_for_inference(model)
    features, prediction = model.backbone(images), model(images)
    works = {
        "eager": lambda: model.predict(images),
        "compiled": lambda: model.representation.decode(compiled(images)),
        "head": lambda: model.representation(features),
        "decoding": lambda: model.representation.decode(prediction),
    }
    seconds = turns(works, repeats=repeats)
    shares = [f"{part} {100 * seconds[part] / seconds['eager']:.1f} %" for part in ("head", "decoding")]
    rates = " and ".join(f"{batch / seconds[mode]:.2f}" for mode in ("eager", "compiled"))
    note = f"eager; {rates} images/s; of eager: {', '.join(shares)}"
    title = f"{name} {height}x{width}, batch {batch}, compiled, with decoding"
    return Row(title, seconds["compiled"], seconds["eager"], note=note)


def vitpose_rows(model: PoseEstimator, batches: Mapping[int, int], *, name: str = "ViTPose-B") -> list[Row]:
    """Return three rows a batch size: ours against transformers' with the same weights.

    Eager; compiled by `pctlib.inference.compile` against `torch.compile`; both compiled by ours.

    Raises:
        ValueError: if the two give different heatmaps.
    """
    theirs = _transformers(model.eval())
    model = model.to(memory_format=torch.channels_last)  # as everywhere in the study
    pairs = [_vitpose_pair(model, theirs, batch, repeats, name) for batch, repeats in batches.items()]
    return [row for pair in pairs for row in pair]


@torch.inference_mode()
def _vitpose_pair(model: PoseEstimator, theirs: nn.Module, batch: int, repeats: int, name: str) -> list[Row]:
    height, width = model.backbone.input_size
    images = torch.randn(batch, 3, height, width)
    _check_equal(model, theirs, images[:1])
    networks = {
        "ours, eager": model,
        "theirs, eager": theirs,
        "ours, compiled": compile_for_inference(model),
        "theirs, compiled": torch.compile(theirs),
        "theirs, compiled as ours": compile_for_inference(theirs),
    }
    seconds = turns({key: partial(network, images) for key, network in networks.items()}, repeats=repeats)
    rows = []
    for mode, reference in (("eager", "eager"), ("compiled", "compiled"), ("compiled", "compiled as ours")):
        ours, other = seconds[f"ours, {mode}"], seconds[f"theirs, {reference}"]
        note = f"transformers, {reference}; {batch / ours:.2f} and {batch / other:.2f} images/s"
        title = f"{name} {height}x{width}, batch {batch}, {mode}, without decoding"
        rows.append(Row(title, ours, other, note=note))
    return rows


def _vitpose() -> PoseEstimator:
    return vitpose("b", COCO.flip_permutation, input_size=SIZE)


def _transformers(model: PoseEstimator, names: Sequence[str] = COCO.keypoint_names) -> nn.Module:
    """Return transformers' ViTPose with the weights of ours."""
    from transformers import VitPoseForPoseEstimation

    with tempfile.TemporaryDirectory() as folder:
        save_vitpose_hf(model, folder, keypoint_names=names)
        return VitPoseForPoseEstimation.from_pretrained(folder).eval()


@torch.inference_mode()
def _check_equal(ours: PoseEstimator, theirs: nn.Module, images: Tensor) -> None:
    expected, heatmaps = theirs(images).heatmaps, ours(images).heatmaps
    difference = ((heatmaps - expected).abs().max() / expected.abs().max()).item()
    if not difference < _TOLERANCE:
        raise ValueError(f"heatmaps of ours and of transformers differ by {difference:.2g} of the peak")
