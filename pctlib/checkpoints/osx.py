"""The published OSX (github.com/IDEA-Research/OSX) under our names."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly, naming, part
from pctlib.checkpoints.reading import read_state
from pctlib.checkpoints.vitpose import published_size
from pctlib.models.deformable import DecoderSize
from pctlib.models.osx.network import OSX
from pctlib.models.osx.size import NUM_BODY, NUM_FACE, NUM_HAND, OSXSize, Variant
from pctlib.models.vit import PATCH

_WRAPPER = "module."  # of data-parallel training
_MARK = "body_position_net.conv.0.weight"
# older spellings of the release
_OLD = {
    "backbone.": "encoder.",
    "body_rotation_net.": "body_regressor.",
    "hand_rotation_net.": "hand_regressor.",
}
# What a published decoder owns but never runs: normalising flows, branches of coordinates and their
# deviations, the projection of positions, and a ResNet-50.
_SILENT = re.compile(
    r"(hand|face)_decoder\.("
    r"keypoint_head\.(enc|dec)_flow[23]d\.(mask|[st]\.\d+\.\d+\.(weight|bias))"
    r"|keypoint_head\.fc_(coord|coord_output|sigma)_branches\.\d+\.\d+\.(linear\.)?(weight|bias)"
    r"|keypoint_head\.transformer\.(fc_(coord|sigma)\.linear|pos_trans|pos_trans_norm)\.(weight|bias)"
    r"|backbone\.(conv1|bn1|fc|layer[1-4]\.\d+\.(conv[123]|bn[123]|downsample\.[01]))\.\w+"
    r")"
)
_ENCODER = [
    *(("task_tokens", "task_tokens"), ("pos_embed", "pos_embed")),
    *(("patch_embed.proj.*", "patch_embed.proj.*"), ("last_norm.*", "last_norm.*")),
    *(
        (f"blocks.#.{name}.*", f"blocks.#.{name}.*")
        for name in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    ),
]
_LAYER = "keypoint_head.transformer.decoder.layers.#"
_DECODER = [
    *(("neck.convs.#.conv.weight", "necks.#.0.weight"), ("neck.convs.#.gn.*", "necks.#.1.*")),
    ("keypoint_head.transformer.level_embeds", "level_embeds"),
    ("keypoint_head.transformer.pos_embed.weight", "position"),
    (f"{_LAYER}.attentions.0.attn.out_proj.*", "layers.#.self_attention.out_proj.*"),
    (f"{_LAYER}.attentions.0.attn.*", "layers.#.self_attention.*"),
    (f"{_LAYER}.attentions.1.value_proj_weight.weight", "layers.#.cross_attention.value_weight"),
    (f"{_LAYER}.attentions.1.value_proj_bias.weight", "layers.#.cross_attention.value_bias"),
    *(
        (f"{_LAYER}.attentions.1.{name}.*", f"layers.#.cross_attention.{name}.*")
        for name in ("sampling_offsets", "attention_weights", "output_proj")
    ),
    (f"{_LAYER}.ffns.0.layers.0.0.*", "layers.#.expand.*"),
    (f"{_LAYER}.ffns.0.layers.1.*", "layers.#.contract.*"),
    (f"{_LAYER}.norms.#.*", "layers.#.norms.#.*"),
]
_PYRAMID = [("deconv.0.0.*", "coarse.*"), ("deconv.1.#.*", "middle.#.*"), ("deconv.2.#.*", "fine.#.*")]
_BODY = [
    ("body_position_net.conv.0.*", "body_position.conv.*"),
    ("body_regressor.body_conv.0.*", "body_regressor.joint.*"),
    ("body_regressor.root_pose_out.0.*", "body_regressor.root.*"),
    ("body_regressor.body_pose_out.0.*", "body_regressor.body.*"),
    ("body_regressor.shape_out.0.*", "body_regressor.shape.*"),
    ("body_regressor.cam_out.0.*", "body_regressor.camera.*"),
    *(("box_net.deconv.#.*", "box_net.deconv.#.*"), ("box_net.bbox_center.0.*", "box_net.center.*")),
    ("box_net.lhand_size.#.*", "box_net.sizes.0.#.*"),
    ("box_net.rhand_size.#.*", "box_net.sizes.1.#.*"),
    ("box_net.face_size.#.*", "box_net.sizes.2.#.*"),
    ("hand_position_net.conv.0.*", "hand_position.conv.*"),
    ("hand_regressor.hand_pose_out.0.*", "hand_regressor.pose.*"),
    ("face_regressor.expr_out.0.*", "face_regressor.expression.*"),
    ("face_regressor.jaw_pose_out.0.*", "face_regressor.jaw.*"),
]
_HAND_DECODER = [
    ("hand_position_net.hand_conv.#.*", "hand_position.queries.#.*"),
    ("hand_regressor.hand_conv.0.*", "hand_regressor.joint.*"),
]
_FACE_DECODER = [
    ("face_position_net.conv.0.*", "face_position.conv.*"),
    ("face_position_net.face_conv.#.*", "face_position.queries.#.*"),
    ("face_regressor.conv.0.*", "face_regressor.crop.*"),
    ("face_regressor.joint_conv.0.*", "face_regressor.joint.*"),
]
_NO_DECODER = [
    *(("hand_roi_net.deconv.#.*", "hand_upsample.#.*"), ("hand_roi_net.conv.0.*", "hand_channels.*")),
    ("hand_regressor.hand_conv.#.*", "hand_regressor.joint.#.*"),
]


def is_osx(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a published OSX."""
    return any(name.removeprefix(_WRAPPER) == _MARK for name in state)


def load_osx(state: Mapping[str, Tensor], file: str | Path, *, num_heads: int | None = None) -> OSX:
    """Return the published OSX that a checkpoint holds, in eval mode.

    Variant, widths, depths and volumes come from names and shapes. What a published decoder owns but never
    runs is passed over; every other name must find its place.

    Args:
        state: official names to tensors, also the release's older names, with or without "module.".
        file: named in errors.
        num_heads: of the encoder's attentions. None: as published for this width.

    Raises:
        ValueError: if a name is missing or unexpected, or a shape does not fit; names the file.
    """
    state = _plain(state)
    variant = variant_of(state)
    with naming(file):
        model = OSX(_size(state, file, num_heads), variant)
    E, H = model.size.decoder.width, model.size.decoder.num_heads
    whole = {
        name: value.reshape(H, E, E // H)
        if name.endswith("value_proj_weight.weight") and value.numel() == E * E
        else value
        for name, value in state.items()
    }
    load_strictly(model, whole, _names(variant), file)
    return model.eval()


def variant_of(state: Mapping[str, Tensor]) -> Variant:
    """Return which of the published variants has these names."""
    if any(name.startswith("face_decoder.") for name in state):
        return "full"
    return "wo_face_decoder" if any(name.startswith("hand_decoder.") for name in state) else "wo_decoder"


def load_encoder(model: OSX, path: str | Path) -> None:
    """Start the encoder from a ViTPose checkpoint, as published; the task tokens stay as they are.

    Args:
        model: gets the values.
        path: `osx_vit_l.pth`, `osx_vit_b.pth` or any ViTPose file of the same size without experts; its
            decoder, where there is one, is passed over.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no backbone of this size; lists the names and shapes.
    """
    state = read_state(path)
    names = NameTable(_ENCODER[1:], ours_only=("task_tokens",))
    load_strictly(model.encoder, part(state, "backbone."), names, path, prefix="backbone.")


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state under the release's present names, without what never runs."""
    plain = {}
    for name, value in state.items():
        name = name.removeprefix(_WRAPPER)
        old = next((old for old in _OLD if name.startswith(old)), None)
        name = name if old is None else _OLD[old] + name.removeprefix(old)
        if not _SILENT.fullmatch(name):
            plain[name] = value
    return plain


def _names(variant: Variant) -> NameTable:
    pairs = [(f"encoder.{official}", f"encoder.{ours}") for official, ours in _ENCODER] + _BODY
    if variant == "wo_decoder":
        return NameTable(pairs + _NO_DECODER)
    parts = ("hand", "face") if variant == "full" else ("hand",)
    for name in parts:
        pairs += [(f"{name}_roi_net.{official}", f"{name}_pyramid.{ours}") for official, ours in _PYRAMID]
        pairs += [(f"{name}_decoder.{official}", f"{name}_decoder.{ours}") for official, ours in _DECODER]
    return NameTable(pairs + _HAND_DECODER + (_FACE_DECODER if variant == "full" else []))


def _size(state: Mapping[str, Tensor], file: str | Path, num_heads: int | None) -> OSXSize:
    """Return the sizes that the shapes tell."""
    shapes = Shapes(state, file)
    vit = published_size(
        shapes.size("encoder.patch_embed.proj.weight", 0, ndim=4),
        count(state, "encoder.blocks."),
        file,
        num_heads=num_heads,
    )
    cells = shapes.size("encoder.pos_embed", 1, ndim=3) - 1
    unit = math.isqrt(max(cells, 0) // 12)
    if not unit or 12 * unit**2 != cells:
        raise ValueError(f"{file}: 'encoder.pos_embed' is for {cells} cells, not 4 : 3")
    face = "face_position_net.conv.0.weight"
    return OSXSize(
        vit,
        input_size=(4 * unit * PATCH, 3 * unit * PATCH),
        body_depth=shapes.size("body_position_net.conv.0.weight", 0, ndim=4) // NUM_BODY,
        hand_cells=shapes.size("hand_position_net.conv.0.weight", 0, ndim=4) // NUM_HAND,
        face_cells=shapes.size(face, 0, ndim=4) // NUM_FACE if face in state else 8,
        box_width=shapes.size("box_net.bbox_center.0.weight", 1, ndim=4),
        regressor_width=shapes.size("body_regressor.body_conv.0.weight", 0),
        decoder=_decoder_size(state, shapes),
    )


def _decoder_size(state: Mapping[str, Tensor], shapes: Shapes) -> DecoderSize:
    if variant_of(state) == "wo_decoder":
        return DecoderSize()
    layers = "hand_decoder.keypoint_head.transformer.decoder.layers."
    attention = f"{layers}0.attentions.1."
    heads = shapes.size(f"{attention}value_proj_bias.weight", 0)
    levels = count(state, "hand_decoder.neck.convs.")
    return DecoderSize(
        width=shapes.size("hand_decoder.neck.convs.0.conv.weight", 0, ndim=4),
        num_layers=count(state, layers),
        hidden=shapes.size(f"{layers}0.ffns.0.layers.0.0.weight", 0),
        num_heads=heads,
        num_levels=levels,
        num_points=shapes.size(f"{attention}attention_weights.weight", 0) // max(heads * levels, 1),
    )
