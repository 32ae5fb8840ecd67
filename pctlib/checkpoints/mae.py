"""Vision transformers pre-trained as masked autoencoders (MAE), as the start of a ViTPose."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from pctlib.checkpoints.files import Shapes, count, load_strictly, naming
from pctlib.checkpoints.vitpose import published_size, same_names
from pctlib.models.vit import PATCH, SIZES, ViT, resize_positions

# Never read by ViTPose: class and mask token, decoder, and the last norm, which starts anew there.
_PASSED_OVER = ("cls_token", "mask_token", "decoder_", "norm.", "fc_norm.", "head.")


def is_mae(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a bare vision transformer."""
    names = ("pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
    return all(name in state for name in names) and "last_norm.weight" not in state  # that is ViTPose's


def load_mae(
    state: Mapping[str, Tensor],
    file: str | Path,
    *,
    input_size: tuple[int, int] = (256, 192),
    num_experts: int = 0,
    num_heads: int | None = None,
) -> ViT:
    """Return ViTPose's backbone as its training starts from a pre-trained transformer, in eval mode.

    Drop path is 0; for training with the published one build the model and use `load_mae_into`.

    Args:
        state: official names to tensors, at the top or under "model" in the file.
        file: named in errors.
        input_size: (height, width) pixels the positions are resized for.
        num_experts: number of data sets of a ViTPose+; 0: a plain transformer.
        num_heads: of the attentions. None: as published for this width.

    Raises:
        ValueError: if a name is missing or unexpected or a shape does not fit; names the file.
    """
    channels = Shapes(state, file).size("patch_embed.proj.weight", 0, ndim=4)
    parts = {size.channels: size.part_features for size in SIZES.values()}
    size = published_size(
        channels,
        count(state, "blocks."),
        file,
        num_heads=num_heads,
        part_features=parts.get(channels, channels // 4),
    )
    with naming(file):
        backbone = ViT(size, input_size, num_experts=num_experts)
    load_mae_into(backbone, state, file)
    return backbone.eval()


def load_mae_into(backbone: ViT, state: Mapping[str, Tensor], file: str | Path) -> None:
    """Load a pre-trained transformer into a backbone of the same widths and depth.

    The last norm keeps its values, as in ViTPose's release.

    Args:
        backbone: gets the values, with experts or without.
        state: official names to tensors.
        file: named in errors.

    Raises:
        ValueError: if a name is missing or unexpected or a shape does not fit; lists them.
    """
    adapted = adapt_mae(state, backbone, file)
    names = same_names(backbone, ours_only=["last_norm.weight", "last_norm.bias"])
    load_strictly(backbone, adapted, names, file)


def adapt_mae(state: Mapping[str, Tensor], backbone: ViT, file: str | Path) -> dict[str, Tensor]:
    """Return the entries of a pre-trained transformer in the shapes of a backbone.

    Positions of the square pre-training grid are resized bicubically, row 0 stays. A smaller patch kernel is
    padded with zeros, the smaller half on the left and top. With experts, each starts from the last output
    channels of the MLP.

    Source: `mmcv_custom/checkpoint.py` of ViTPose's release.

    Args:
        state: official names to tensors.
        backbone: whose grid and experts count; stays as it is.
        file: named in errors.

    Raises:
        ValueError: if the positions are of no square grid or the patches larger than 16 pixels.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(_PASSED_OVER)}
    shapes = Shapes(kept, file)
    cells = shapes.size("pos_embed", 1, ndim=3) - 1
    side = math.isqrt(max(cells, 0))
    if side**2 != cells or not side:
        raise ValueError(f"{file}: 'pos_embed' is for {cells} cells and a class token, not a square grid")
    kept["pos_embed"] = resize_positions(kept["pos_embed"].float(), (side, side), backbone.grid_size)
    missing = PATCH - shapes.size("patch_embed.proj.weight", 3, ndim=4)
    if missing < 0:
        raise ValueError(
            f"{file}: 'patch_embed.proj.weight' has patches of {PATCH - missing}, more than {PATCH}"
        )
    edges = (missing // 2, missing - missing // 2)
    kept["patch_embed.proj.weight"] = F.pad(kept["patch_embed.proj.weight"], edges * 2)
    if backbone.num_experts:
        _split_mlps(kept, backbone)
    return kept


def _split_mlps(state: dict[str, Tensor], backbone: ViT) -> None:
    """Move the last output channels of each MLP to every expert, in `state` itself."""
    part_features = backbone.size.part_features
    for name in [name for name in state if ".mlp.fc2." in name]:
        whole = state[name]
        state[name] = whole[:-part_features]
        for number in range(backbone.num_experts):
            state[name.replace(".fc2.", f".experts.{number}.")] = whole[-part_features:].clone()
