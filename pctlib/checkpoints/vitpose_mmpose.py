"""ViTPose as mmpose 1.x saves it (backbone of mmpretrain), under the names of the authors' release."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pctlib.checkpoints.files import NameTable

_BLOCK = [
    ("ln1.*", "norm1.*"),
    ("attn.qkv.*", "attn.qkv.*"),
    ("attn.proj.*", "attn.proj.*"),
    ("ln2.*", "norm2.*"),
    ("ffn.layers.0.0.*", "mlp.fc1.*"),
    ("ffn.layers.1.*", "mlp.fc2.*"),
]
MMPOSE_NAMES = NameTable(
    [
        ("backbone.pos_embed", "backbone.pos_embed"),
        ("backbone.patch_embed.projection.*", "backbone.patch_embed.proj.*"),
        *((f"backbone.layers.#.{theirs}", f"backbone.blocks.#.{ours}") for theirs, ours in _BLOCK),
        ("backbone.ln1.*", "backbone.last_norm.*"),
        ("head.deconv_layers.#.*", "keypoint_head.deconv_layers.#.*"),
        ("head.final_layer.*", "keypoint_head.final_layer.*"),
    ]
)


def is_mmpose_vitpose(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a ViTPose of mmpose 1.x."""
    names = ("backbone.pos_embed", "backbone.layers.0.ln1.weight", "head.final_layer.weight")
    return all(name in state for name in names)


def authors_names(state: Mapping[str, Tensor], file: str | Path) -> dict[str, Tensor]:
    """Return a ViTPose of mmpose 1.x under the names of the authors' release.

    mmpose has no class token: its positions lack the row that the release adds to all others, here zero.

    Raises:
        ValueError: if a name is none of such a file; names the file.
    """
    renamed = {}
    for name, value in state.items():
        try:
            renamed[MMPOSE_NAMES.to_ours(name)] = value
        except ValueError as error:
            raise ValueError(f"{file}: unexpected name in a ViTPose of mmpose 1.x: '{name}'") from error
    positions = renamed["backbone.pos_embed"]
    if positions.ndim == 3:
        renamed["backbone.pos_embed"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return renamed
