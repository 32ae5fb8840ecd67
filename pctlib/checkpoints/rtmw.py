"""RTMW as published by mmpose, under our names."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly, part
from pctlib.checkpoints.rtmpose import cspnext_factors, flips_of, input_size_of
from pctlib.models.estimator import PoseEstimator
from pctlib.models.rtmw import RTMW, AggregatedCSPNeXt
from pctlib.skeletons import Skeleton

_BACKBONE, _NECK, _HEAD = "backbone.", "neck.", "head."


def is_rtmw(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of an RTMW model."""
    names = (
        f"{_HEAD}gau.uv.weight",
        f"{_HEAD}final_layer2.conv.weight",
        f"{_NECK}reduce_layers.0.conv.weight",
    )
    return all(name in state for name in names)


def load_rtmw(
    state: Mapping[str, Tensor], file: str | Path, *, skeleton: Skeleton | None = None
) -> PoseEstimator:
    """Return the published RTMW model that a checkpoint holds, in eval mode; sizes come from the shapes.

    Args:
        state: official names to tensors.
        file: named in errors.
        skeleton: keypoints of the model. None: COCO-WholeBody, or the set of this number of keypoints.

    Raises:
        ValueError: if a name is missing or unexpected, a shape does not fit, or the keypoint set is unknown;
            names the file.
    """
    strangers = [name for name in state if not name.startswith((_BACKBONE, _NECK, _HEAD))]
    if strangers:
        raise ValueError(f"{file}: unexpected names in an RTMW model: {', '.join(strangers[:8])}")
    depth, width = cspnext_factors(part(state, _BACKBONE), file)
    neck_blocks = count(state, f"{_NECK}top_down_blocks.0.blocks.")
    backbone = AggregatedCSPNeXt(depth, width, neck_blocks=neck_blocks)
    shapes = Shapes(part(state, _HEAD), file, _HEAD)
    K = shapes.size("final_layer.conv.weight", 0, 4)
    representation = RTMW(
        backbone.channels[-1],
        flips_of(K, file, skeleton=skeleton),
        input_size=input_size_of(shapes, file),
        hidden_dim=shapes.size("gau.o.weight", 0),
        key_dim=shapes.size("gau.gamma", 1),
    )
    for module, prefix in ((backbone.net, _BACKBONE), (backbone.neck, _NECK), (representation.head, _HEAD)):
        names = NameTable([(name, name) for name in module.state_dict()])
        load_strictly(module, part(state, prefix), names, file, prefix=prefix)
    return PoseEstimator(backbone, representation).eval()
