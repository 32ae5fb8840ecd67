"""The published ViTPose and ViTPose+ (github.com/ViTAE-Transformer/ViTPose) under our names."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly, naming, part
from pctlib.checkpoints.keypoint_sets import KeypointSet, keypoint_set_of, keypoint_sets_of
from pctlib.checkpoints.vitpose_mmpose import authors_names, is_mmpose_vitpose
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vit import PATCH, SIZES, ViT, ViTSize
from pctlib.models.vitpose import MultiDatasetEstimator, SimpleDecoder, vitpose_heatmap
from pctlib.skeletons import Skeleton

_BACKBONE, _HEAD, _MORE_HEADS = "backbone.", "keypoint_head.", "associate_keypoint_heads."
_CLASS_TOKEN = "cls_token"  # left in some files from pre-training; never read


def is_vitpose(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a published ViTPose, the authors' or mmpose's."""
    authors = f"{_BACKBONE}pos_embed" in state and f"{_HEAD}final_layer.weight" in state
    return authors or is_mmpose_vitpose(state)


def load_vitpose(
    state: Mapping[str, Tensor],
    file: str | Path,
    *,
    skeleton: Skeleton | None = None,
    dataset_index: int | None = None,
    keypoint_sets: Sequence[str | KeypointSet] | None = None,
    num_heads: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> PoseEstimator | MultiDatasetEstimator:
    """Return the published ViTPose or ViTPose+ that a checkpoint holds, in eval mode.

    Widths and depths come from the shapes. Rates of drop path are not in a checkpoint and stay 0.

    Args:
        state: official names to tensors.
        file: named in errors.
        skeleton: keypoints of a file for one data set, instead of `keypoint_sets`.
        dataset_index: of a file for several data sets, the one wanted.
        keypoint_sets: one for each decoder of the file, a name of `KEYPOINT_SETS` or your own. None: for one
            decoder COCO, MPII or COCO-WholeBody by its K of 17, 16 or 133; for several those of ViTPose+.
        num_heads: of the attentions. None: as published for this width.
        input_size: (height, width) pixels that the positions are for. None: the one with aspect 4 : 3.

    Returns:
        For one data set a `PoseEstimator`: of a plain file, of one that ViTPose's `model_split.py` has made
        (the experts left over in it are passed over), or with `dataset_index`. Else a
        `MultiDatasetEstimator`.

    Raises:
        ValueError: if a name is missing or unexpected, a shape does not fit, or an option does not fit the
            file; names the file.
    """
    if skeleton is not None and keypoint_sets is None:
        keypoint_sets = [keypoint_set_of(skeleton, unbiased=is_mmpose_vitpose(state))]
    state = _without_leftovers(state, file)
    strangers = [name for name in state if not name.startswith((_BACKBONE, _HEAD, _MORE_HEADS))]
    if strangers:
        raise ValueError(f"{file}: unexpected names in a ViTPose model: {', '.join(strangers[:8])}")
    backbone = _build_backbone(part(state, _BACKBONE), file, num_heads, input_size)
    prefixes = _head_prefixes(state)
    heads = [build_head(part(state, prefix), file, backbone.channels[-1], prefix) for prefix in prefixes]
    counts = [head.final_layer.out_channels for head in heads]
    sets = keypoint_sets_of(counts, keypoint_sets, file)
    representations = [
        vitpose_heatmap(head, own.flip_permutation, input_size=backbone.input_size, coding=own.coding)
        for head, own in zip(heads, sets, strict=True)
    ]
    if backbone.num_experts or len(heads) > 1:
        with naming(file):
            model: nn.Module = MultiDatasetEstimator(backbone, representations)
    elif dataset_index is None:
        model = PoseEstimator(backbone, representations[0])
    else:
        raise ValueError(f"{file}: dataset_index: expected None for one data set, got {dataset_index}")
    load_vitpose_into(model, state, file)
    return choose_dataset(model.eval(), dataset_index, file)


def load_vitpose_into(
    model: PoseEstimator | MultiDatasetEstimator, state: Mapping[str, Tensor], file: str | Path
) -> None:
    """Load official weights into a model built here, of the same size and with the same decoders.

    Args:
        model: with a `ViT` and heatmaps, as `vitpose` builds it; gets the values.
        state: official names to tensors.
        file: named in errors.

    Raises:
        ValueError: if size, decoder or number of keypoints differ; lists the names and shapes.
    """
    state = _without_leftovers(state, file)
    several = isinstance(model, MultiDatasetEstimator)
    representations = list(model.representations) if several else [model.representation]
    prefixes = [_HEAD, *(f"{_MORE_HEADS}{i}." for i in range(len(representations) - 1))]
    found = _head_prefixes(state)
    if found != prefixes:
        raise ValueError(f"{file}: expected {len(prefixes)} decoders, got {len(found)}: {', '.join(found)}")
    modules = {_BACKBONE: model.backbone}
    modules |= {prefix: own.head for prefix, own in zip(prefixes, representations, strict=True)}
    for prefix, module in modules.items():
        load_strictly(module, part(state, prefix), same_names(module), file, prefix=prefix)


def choose_dataset(
    model: PoseEstimator | MultiDatasetEstimator, dataset_index: int | None, file: str | Path
) -> PoseEstimator | MultiDatasetEstimator:
    """Return the model of one data set, or the model itself for None.

    Raises:
        ValueError: if there is no such data set; names the file.
    """
    if dataset_index is None:
        return model
    with naming(file):
        return model.of_dataset(dataset_index)


def build_head(
    state: Mapping[str, Tensor], file: str | Path, in_channels: int, prefix: str = ""
) -> DeconvolutionHead | SimpleDecoder:
    """Return the decoder, classic or simple, whose sizes the shapes tell; its weights are not loaded.

    Args:
        state: official names without prefix (`final_layer.weight`, ...) to tensors.
        file: named in errors.
        in_channels: C of the backbone.
        prefix: what stands before these names in the file.
    """
    shapes = Shapes(state, file, prefix)
    K = shapes.size("final_layer.weight", 0, ndim=4)
    if not count(state, "deconv_layers."):
        return SimpleDecoder(in_channels, K)
    layers = [f"deconv_layers.{number}.weight" for number in (0, 3)]
    return DeconvolutionHead(
        in_channels,
        K,
        channels=[shapes.size(name, 1, ndim=4) for name in layers],
        kernels=[shapes.size(name, 2, ndim=4) for name in layers],
    )


def published_size(
    channels: int, depth: int, file: str | Path, *, num_heads: int | None, part_features: int = 0
) -> ViTSize:
    """Return a size without drop path; the number of heads, if not given, is that published for the width.

    Raises:
        ValueError: if no number of heads is given or published; names the file.
    """
    if num_heads is None:
        known = {size.channels: size.num_heads for size in SIZES.values()}
        if channels not in known:
            raise ValueError(f"{file}: no published model has {channels} channels; give num_heads")
        num_heads = known[channels]
    with naming(file):
        return ViTSize(channels, depth, num_heads, part_features)


def same_names(module: nn.Module, **options: Sequence[str]) -> NameTable:
    """Return the table of a module whose names are the official ones; `options` are those of `NameTable`."""
    return NameTable([(name, name) for name in module.state_dict()], **options)


def _without_leftovers(state: Mapping[str, Tensor], file: str | Path) -> dict[str, Tensor]:
    """Return the names that act, as the authors spell them.

    `model_split.py` appends an expert to `fc2` and leaves all experts, and for COCO also the other decoders.
    """
    if is_mmpose_vitpose(state):
        return authors_names(state, file)
    state = {name: value for name, value in state.items() if name != _BACKBONE + _CLASS_TOKEN}
    fc2, positions = state.get(f"{_BACKBONE}blocks.0.mlp.fc2.weight"), state.get(f"{_BACKBONE}pos_embed")
    known = fc2 is not None and positions is not None and fc2.ndim == 2 and positions.ndim == 3
    folded = known and fc2.shape[0] == positions.shape[2]
    if not folded or not count(state, f"{_BACKBONE}blocks.0.mlp.experts."):
        return state
    return {
        name: value
        for name, value in state.items()
        if ".mlp.experts." not in name and not name.startswith(_MORE_HEADS)
    }


def _head_prefixes(state: Mapping[str, Tensor]) -> list[str]:
    return [_HEAD, *(f"{_MORE_HEADS}{i}." for i in range(count(state, _MORE_HEADS)))]


def _build_backbone(
    state: Mapping[str, Tensor],
    file: str | Path,
    num_heads: int | None,
    input_size: tuple[int, int] | None,
) -> ViT:
    """Build the transformer whose sizes the shapes tell."""
    shapes = Shapes(state, file, _BACKBONE)
    experts = count(state, "blocks.0.mlp.experts.")
    size = published_size(
        shapes.size("patch_embed.proj.weight", 0, ndim=4),
        count(state, "blocks."),
        file,
        num_heads=num_heads,
        part_features=shapes.size("blocks.0.mlp.experts.0.weight", 0) if experts else 0,
    )
    cells = shapes.size("pos_embed", 1, ndim=3) - 1
    if input_size is None:
        unit = math.isqrt(max(cells, 0) // 12)
        if not unit or 12 * unit**2 != cells:
            raise ValueError(
                f"{file}: '{_BACKBONE}pos_embed' is for {cells} cells, not 4 : 3; give input_size"
            )
        input_size = (4 * unit * PATCH, 3 * unit * PATCH)
    with naming(file):
        return ViT(size, input_size, num_experts=experts)
