"""Naming weights that cannot be read: which published model they are of, or which part of one."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pctlib.checkpoints.files import count

READABLE = (
    "PCT, RTMPose, DWPose, RTMW, ViTPose and ViTPose+ (the authors' files, mmpose 1.x's, folders of Hugging "
    "Face), vision transformers pre-trained as masked autoencoders, and run folders of the study"
)

# what it is <- pieces of which each must stand in some name; the first that fits counts
_MODELS = (
    ("a model of this study; give the folder of its run", ("representation.",)),
    (
        "a ViTPose of Hugging Face; give the folder, with its config.json",
        ("backbone.encoder.layer.0.attention.", "backbone.embeddings.patch_embeddings"),
    ),
    ("RTMO of mmpose, which finds all people of an image at once", ("head.dcc.",)),
    ("YOLOX-Pose of mmpose, which finds all people of an image at once", ("head.head_module.", "neck.")),
    ("RTMDet, a detector of boxes", ("bbox_head.rtm_cls",)),
    ("YOLOX, a detector of boxes", ("bbox_head.multi_level_conv_cls",)),
    ("a detector of boxes of mmdetection", ("bbox_head.",)),
    (
        "HigherHRNet or associative embedding, which finds all people of an image at once",
        ("deconv_layers.0.0.", "final_layers."),
    ),
    ("HRNet with heatmaps", ("stage4.0.branches.", "final_layer.")),
    ("HRFormer with heatmaps", ("stage4.0.branches.", "attn.attn.", "final_layer")),
    ("a network of residual stages with heatmaps (SimpleBaseline)", ("layer4.0.conv1.", "deconv_layers.")),
    ("a YOLO-Pose of Ultralytics, which finds all people of an image at once", ("model.22.cv4.",)),
    ("a YOLO-Pose of Ultralytics, which finds all people of an image at once", ("22.cv4.",)),
    ("FastPose of AlphaPose", ("preact.conv1.", "conv_out.")),
)
_BACKBONES = (
    ("HRNet", ("stage4.0.branches.",)),
    ("CSPNeXt, as in RTMPose", ("stem.0.conv.", "stage4.")),
    ("Swin", ("layers.3.blocks.0.attn.",)),
    ("ResNet", ("layer4.0.conv1.",)),
)


def describe(state: Mapping[str, Tensor]) -> str | None:
    """Return what named tensors are of, in words, where it is a published model that cannot be read."""
    for meaning, pieces in _MODELS:
        if all(any(piece in name for name in state) for piece in pieces):
            return meaning
    backbone = _backbone(state)
    if backbone is not None:
        return (
            f"a backbone alone ({backbone}), without the head that gives keypoints: it can be the start of a "
            "training (initial_weights), it cannot predict"
        )
    return None


def _backbone(state: Mapping[str, Tensor]) -> str | None:
    heads = ("head.", "keypoint_head.")
    if any(name.startswith(heads) or ".head." in name for name in state):
        return None
    inner = {name.removeprefix("backbone."): value for name, value in state.items()}
    if "pos_embed" in inner:
        blocks = "blocks." if count(inner, "blocks.") else "layers."
        channels = inner["pos_embed"].shape[-1]
        return f"a vision transformer of {count(inner, blocks)} blocks and {channels} channels"
    for meaning, pieces in _BACKBONES:
        if all(any(name.startswith(piece) for name in inner) for piece in pieces):
            return meaning
    return None


def unreadable(state: Mapping[str, Tensor], path: str | Path) -> ValueError:
    """Return the error for weights of no family that can be read; says what they are where that shows."""
    what = describe(state)
    if what is None:
        names = ", ".join(sorted(state)[:8])
        return ValueError(
            f"{path}: not a checkpoint of a known family; its first names are: {names}; "
            f"can be read: {READABLE}"
        )
    return ValueError(f"{path}: {what}; can be read: {READABLE}")
