"""Published networks as the sizes that build them again, so that a fine-tuned one is a run like any other."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import nn

from pctlib.checkpoints.swin import build_swin, swin_sizes
from pctlib.models.backbones import Backbone
from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.base import Representation
from pctlib.models.representations.heatmap import DeconvolutionHead, Heatmap
from pctlib.models.representations.pct import HeadSize, PCTClassifier
from pctlib.models.representations.rtmcc import RTMCC
from pctlib.models.tokenizer import PoseTokenizer
from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vitpose import SimpleDecoder, vitpose_heatmap
from pctlib.skeletons import Skeleton

Sizes = dict[str, Any]


def describe(model: PoseEstimator) -> Sizes:
    """Return what `build` builds the same network from, untrained: JSON values.

    Raises:
        ValueError: if it is none of ViTPose, RTMPose, DWPose and PCT.
    """
    return {"backbone": _of_backbone(model.backbone), "head": _of_head(model.representation)}


def build(sizes: Sizes, skeleton: Skeleton, input_size: tuple[int, int]) -> PoseEstimator:
    """Return the untrained network of `describe` for some keypoints; torch's generator draws its weights.

    Raises:
        ValueError: if the sizes are those of no such network.
    """
    backbone = _build_backbone(sizes["backbone"], input_size)
    ((kind, values),) = sizes["head"].items()
    if kind not in _HEADS:
        raise ValueError(f"head: expected one of {', '.join(_HEADS)}, got {kind!r}")
    return PoseEstimator(backbone, _HEADS[kind](values, backbone, skeleton, input_size))


def _of_backbone(backbone: nn.Module) -> Sizes:
    if type(backbone) is ViT and not backbone.num_experts:
        return {"vit": asdict(backbone.size), "norm_eps": backbone.last_norm.eps}
    if type(backbone) is CSPNeXt:
        stages = len(backbone.strides) - 1
        return {"cspnext": {"depth": backbone.depth, "width": backbone.width, "stages": stages}}
    if isinstance(backbone, Backbone) and hasattr(backbone.net, "model"):
        return {"swin": swin_sizes(backbone)._asdict()}
    raise ValueError(f"a backbone {type(backbone).__name__} cannot be fine-tuned here")


def _build_backbone(sizes: Sizes, input_size: tuple[int, int]) -> nn.Module:
    if "vit" in sizes:
        return ViT(ViTSize(**sizes["vit"]), input_size, norm_eps=sizes["norm_eps"])
    if "cspnext" in sizes:
        return CSPNeXt(**sizes["cspnext"])
    return build_swin(sizes["swin"], input_size[0])


def _of_head(representation: Representation) -> Sizes:
    if type(representation) is RTMCC:
        key_dim = representation.head.gau.gamma.shape[1]
        return {"rtmcc": {"hidden_dim": representation.head.cls_x.in_features, "key_dim": key_dim}}
    if type(representation) is PCTClassifier:
        return {"pct": _of_pct(representation)}
    if type(representation) is Heatmap and isinstance(representation.head, SimpleDecoder | DeconvolutionHead):
        deconvs = [m for m in representation.head.modules() if isinstance(m, nn.ConvTranspose2d)]
        layers = [[m.out_channels, m.kernel_size[0]] for m in deconvs]
        return {"heatmap": {"coding": representation.coding.kind, "deconvolutions": layers}}
    raise ValueError(f"a head {type(representation).__name__} cannot be fine-tuned here")


def _build_heatmap(
    sizes: Sizes, backbone: nn.Module, skeleton: Skeleton, input_size: tuple[int, int]
) -> Heatmap:
    C, K = backbone.channels[-1], skeleton.num_keypoints
    layers = sizes["deconvolutions"]
    head = (
        DeconvolutionHead(C, K, channels=[c for c, _ in layers], kernels=[k for _, k in layers])
        if layers
        else SimpleDecoder(C, K)
    )
    flip = skeleton.flip_permutation
    return vitpose_heatmap(head, flip, input_size=input_size, coding=sizes["coding"])


def _build_rtmcc(sizes: Sizes, backbone: nn.Module, skeleton: Skeleton, input_size: tuple[int, int]) -> RTMCC:
    return RTMCC(backbone.channels[-1], skeleton.flip_permutation, input_size=input_size, **sizes)


def _of_pct(classifier: PCTClassifier) -> Sizes:
    tokenizer, head = classifier.tokenizer, classifier.head
    guided = tokenizer.embed_features
    width = tokenizer.encoder_norm.normalized_shape[0]
    convolutions = {
        "conv_channels": head.reduce.out_channels,
        "num_blocks": len(head.blocks),
        "dilation": head.blocks[0].conv1.dilation[0] if len(head.blocks) else 1,
    }
    return {
        "tokenizer": {
            "num_tokens": tokenizer.num_tokens,
            "codebook_size": len(tokenizer.codebook.codebook),
            "token_dim": tokenizer.to_token_dim.out_features,
            "num_dims": tokenizer.num_dims,
            "guide_channels": guided.in_features if guided is not None else 0,
            "guide_ratio": guided.out_features / width if guided is not None else 0.0,
        },
        "encoder": _of_mixer(tokenizer.encoder, width),
        "decoder": _of_mixer(tokenizer.decoder, tokenizer.decoder_norm.normalized_shape[0]),
        "head": convolutions,
        "mixer": _of_mixer(head.mixer, head.classify.in_features),
        "guide": None if classifier.guide is None else _of_backbone(classifier.guide),
    }


def _build_pct(
    sizes: Sizes, backbone: nn.Module, skeleton: Skeleton, input_size: tuple[int, int]
) -> PCTClassifier:
    encoder, decoder, mixer = (MixerSize(**sizes[name]) for name in ("encoder", "decoder", "mixer"))
    tokenizer = PoseTokenizer(skeleton.num_keypoints, encoder=encoder, decoder=decoder, **sizes["tokenizer"])
    return PCTClassifier(
        tokenizer,
        backbone.channels[-1],
        input_size=input_size,
        flip_permutation=skeleton.flip_permutation,
        feature_stride=backbone.strides[-1],
        head=HeadSize(**sizes["head"], mixer=mixer),
        guide=None if sizes["guide"] is None else _build_backbone(sizes["guide"], input_size),
    )


def _of_mixer(stack: nn.Sequential, dim: int) -> Sizes:
    first = stack[0]
    hidden = {
        "token_hidden": first.token_mlp.fc1.out_features,
        "channel_hidden": first.channel_mlp.fc1.out_features,
    }
    return {"dim": dim, "num_layers": len(stack), **hidden}


_HEADS: dict[str, Callable[[Sizes, nn.Module, Skeleton, tuple[int, int]], Representation]] = {
    "heatmap": _build_heatmap,
    "rtmcc": _build_rtmcc,
    "pct": _build_pct,
}
