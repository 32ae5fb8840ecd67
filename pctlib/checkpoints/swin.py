"""The published Swin V2 backbone of PCT as timm's Swin V2.

Both compute the same while their windows do: see `check_windows`.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly
from pctlib.models.backbones import Backbone

_TIMM_NAME = "swinv2_base_window12to16_192to256"
_SHIFTED_STAGES = (True, True, False, False)  # `use_shift` of all published configurations
_TABLE, _INDEX = "attn.relative_coords_table", "attn.relative_position_index"


def _swin_pairs() -> list[tuple[str, str]]:
    """Return (official, timm) name patterns; timm merges patches at the start of a stage, not at the end."""
    block = "layers.#.blocks.#."
    same = [block + f"{part}.*" for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    same += [block + f"attn.{name}" for name in ("logit_scale", "q_bias", "v_bias")]
    same += ["patch_embed.proj.*", "patch_embed.norm.*"]
    merging = [
        (f"layers.{stage}.downsample.{part}.*", f"layers.{stage + 1}.downsample.{part}.*")
        for stage in range(len(_SHIFTED_STAGES) - 1)
        for part in ("reduction", "norm")
    ]
    renamed = [(block + "attn.rpe_mlp.#.*", block + "attn.cpb_mlp.#.*"), ("norm3.*", "norm.*")]
    return [(name, name) for name in same] + merging + renamed


class SwinSizes(NamedTuple):
    """Sizes of a Swin V2, those of `depths` and behind by stage.

    embed_dim: channels of the first stage; window_size: side of its window, cells; pretrained_window_sizes:
    sides of the windows in pre-training.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window_size: int
    pretrained_window_sizes: tuple[int, ...]


def build_swin(sizes: Mapping[str, Any], side: int) -> Backbone:
    """Return an untrained Swin V2 as PCT uses it, without drop path.

    Args:
        sizes: of `SwinSizes`, by name.
        side: of the square images, pixels.
    """
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in sizes.items()}
    return Backbone(
        _TIMM_NAME,
        (side, side),
        out_indices=range(len(_SHIFTED_STAGES)),
        final_norm=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        drop_path_rate=0.0,
        **options,
    )


def swin_sizes(backbone: Backbone) -> SwinSizes:
    """Return the sizes that `build_swin` builds a backbone from again."""
    net = backbone.net.model
    first = [stage.blocks[0] for stage in net.layers]
    return SwinSizes(
        net.patch_embed.proj.out_channels,
        tuple(len(stage.blocks) for stage in net.layers),
        tuple(block.attn.num_heads for block in first),
        first[0].window_size[0],
        tuple(block.attn.pretrained_window_size[0] for block in first),
    )


SWIN_NAMES = NameTable((official, "net.model." + timm) for official, timm in _swin_pairs())


def load_swin(state: Mapping[str, Tensor], file: str | Path, *, prefix: str = "") -> Backbone:
    """Return the backbone that a published Swin V2 describes, with its weights, in eval mode.

    All sizes come from the shapes; the input size is the one whose last map the last window covers. Rates of
    drop path are not in a checkpoint and stay 0.

    Args:
        state: official names without prefix (`patch_embed...`, `layers...`, `norm3...`) to tensors.
        file: named in errors.
        prefix: what stands before these names in the file.

    Raises:
        ValueError: if names, shapes or the position tables do not fit, or timm would compute something else.
    """
    shapes = Shapes(state, file, prefix)
    stages = range(len(_SHIFTED_STAGES))
    depths = tuple(count(state, f"layers.{i}.blocks.") for i in stages)
    heads = tuple(shapes.size(f"layers.{i}.blocks.0.attn.logit_scale", 0, ndim=3) for i in stages)
    windows = tuple((shapes.size(f"layers.{i}.blocks.0.{_TABLE}", 1, ndim=4) + 1) // 2 for i in stages)
    pretrained = tuple(_pretrained_window(state[f"layers.{i}.blocks.0.{_TABLE}"]) for i in stages)
    side = 32 * windows[-1]
    try:
        check_windows((side, side), windows, depths)
    except ValueError as error:
        raise ValueError(f"{file}: {prefix or 'backbone'}: {error}") from error
    embed_dim = shapes.size("patch_embed.proj.weight", 0, ndim=4)
    backbone = build_swin(SwinSizes(embed_dim, depths, heads, windows[0], pretrained)._asdict(), side)
    tables = {name: value for name, value in state.items() if name.endswith((_TABLE, _INDEX))}
    weights = {name: value for name, value in state.items() if name not in tables}
    _check_tables(backbone, tables, file, prefix)
    load_strictly(backbone, weights, SWIN_NAMES, file, prefix=prefix)
    return backbone.eval()


def check_windows(input_size: tuple[int, int], windows: Sequence[int], depths: Sequence[int]) -> None:
    """Raise ValueError where timm's windows would compute something else than the published ones.

    The published code pads a map that is smaller than its window, or no multiple of it, with zeros that take
    part in attention, and shifts the windows of the first two stages only; timm shrinks a window to its map,
    and shifts wherever a map holds more than one. Both agree if every window divides its map, covers it in
    the last two stages and does not in the first two (unless a stage has one block, which is never shifted).

    Args:
        input_size: (height, width) of the images, pixels.
        windows: side of the window of each stage, cells.
        depths: blocks of each stage.
    """
    for stage, (window, depth, shifted) in enumerate(zip(windows, depths, _SHIFTED_STAGES, strict=True)):
        cells = tuple(math.ceil(size / (4 * 2**stage)) for size in input_size)
        divides = all(side % window == 0 for side in cells)
        shifts = max(cells) > window
        if not divides or (depth > 1 and shifts != shifted):
            wanted = "is smaller than" if shifted else "covers"
            raise ValueError(
                f"stage {stage}: a window of {window} on {cells[0]} x {cells[1]} cells differs between the "
                f"published code and timm; expected a window that divides the map and {wanted} it"
            )


def _pretrained_window(table: Tensor) -> int:
    """Return the window size the position table [1, 2w - 1, 2w - 1, 2] is scaled for.

    The last entry is log2(1 + 8 (w - 1) / (p - 1)) / 3 for a window of p in pre-training. 0, which timm takes
    as "the window itself", where no such p exists; the comparison of the tables then says what is wrong.
    """
    window = (table.shape[1] + 1) // 2
    if not table.numel():
        return 0
    scaled = 2 ** (3 * table.double().max().item()) - 1
    if window == 1 or not 1e-3 < scaled < 8 * window:
        return 0
    return round(8 * (window - 1) / scaled) + 1


def _check_tables(backbone: Backbone, tables: Mapping[str, Tensor], file: str | Path, prefix: str) -> None:
    """Compare the position tables of the file with those timm has built; both must hold all blocks."""
    blocks = {
        f"layers.{i}.blocks.{j}.": block
        for i, stage in enumerate(backbone.net.model.layers)
        for j, block in enumerate(stage.blocks)
    }
    built = {f"{name}{_TABLE}": block.attn.relative_coords_table for name, block in blocks.items()}
    built |= {f"{name}{_INDEX}": block.attn.relative_position_index for name, block in blocks.items()}
    for name in sorted(built.keys() ^ tables.keys()):
        raise ValueError(f"{file}: {'missing' if name in built else 'unexpected'} '{prefix}{name}'")
    for name, expected in built.items():
        value = tables[name]
        if value.shape != expected.shape or not torch.allclose(value.double(), expected.double(), atol=1e-5):
            sizes = f"{tuple(value.shape)} in the file, {tuple(expected.shape)} expected"
            raise ValueError(f"{file}: '{prefix}{name}' is not the table that the sizes imply ({sizes})")
