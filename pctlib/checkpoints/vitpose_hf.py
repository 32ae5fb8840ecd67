"""ViTPose as Hugging Face keeps it (`VitPoseForPoseEstimation`): a folder, read and written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pctlib.checkpoints.files import NameTable, load_strictly, naming, part
from pctlib.checkpoints.keypoint_sets import KeypointSet, keypoint_set_of, keypoint_sets_of
from pctlib.checkpoints.vitpose import choose_dataset
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.io import read_json, read_tensors, write_json, write_tensors
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vit import MLP_RATIO, PATCH, ViT, ViTSize
from pctlib.models.vitpose import UPSAMPLING, MultiDatasetEstimator, SimpleDecoder, vitpose_heatmap
from pctlib.skeletons import Skeleton

_CONFIG, _WEIGHTS, _IMAGES = "config.json", "model.safetensors", "preprocessor_config.json"
_BACKBONE, _HEAD = "backbone.", "head."
_ATTENTION = "attention.attention."
_PARTS = ("query", "key", "value")  # three layers there, one layer of three times the width here
_JOINED = "query+key+value"
_DEFAULTS = {  # of `VitPoseBackboneConfig`; a config names only what differs
    "image_size": (256, 192),
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_experts": 1,
    "part_features": 256,
    "layer_norm_eps": 1e-12,
}
_FIXED = {  # what this model can be only, with the same defaults there
    "patch_size": (PATCH, PATCH),
    "mlp_ratio": MLP_RATIO,
    "num_channels": 3,
    "hidden_act": "gelu",
    "qkv_bias": True,
}


def _backbone_pairs() -> list[tuple[str, str]]:
    """Return (theirs, ours) name patterns; query, key and value are joined before."""
    renamed = [
        ("layernorm_before.*", "norm1.*"),
        (f"{_ATTENTION}{_JOINED}.*", "attn.qkv.*"),
        ("attention.output.dense.*", "attn.proj.*"),
        ("layernorm_after.*", "norm2.*"),
        *((name, name) for name in ("mlp.fc1.*", "mlp.fc2.*", "mlp.experts.#.*")),
    ]
    return [
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"),
        *((f"encoder.layer.#.{theirs}", f"blocks.#.{ours}") for theirs, ours in renamed),
        ("layernorm.*", "last_norm.*"),
    ]


BACKBONE_NAMES = NameTable(_backbone_pairs())
HEAD_NAMES = NameTable(
    [
        ("deconv1.*", "deconv_layers.0.*"),
        ("batchnorm1.*", "deconv_layers.1.*"),
        ("deconv2.*", "deconv_layers.3.*"),
        ("batchnorm2.*", "deconv_layers.4.*"),
        ("conv.*", "final_layer.*"),
    ]
)


def load_vitpose_hf(
    folder: str | Path,
    *,
    skeleton: Skeleton | None = None,
    dataset_index: int | None = None,
    keypoint_sets: Sequence[str | KeypointSet] | None = None,
) -> PoseEstimator | MultiDatasetEstimator:
    """Return the ViTPose or ViTPose+ of a Hugging Face folder, in eval mode.

    Args:
        folder: with `config.json` and `model.safetensors`.
        skeleton: keypoints of the decoder, instead of `keypoint_sets`.
        dataset_index: of a folder with experts, the one to be folded in.
        keypoint_sets: as for `load_vitpose`, for the one decoder.

    Returns:
        `PoseEstimator`; with experts and no `dataset_index` a `MultiDatasetEstimator` of one representation.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the configuration is of another model, or the weights do not fit it; names the file.
    """
    config_file, weights_file = Path(folder) / _CONFIG, Path(folder) / _WEIGHTS
    config = read_json(config_file)
    backbone = _build_backbone(config, config_file)
    state = _join_attention(read_tensors(weights_file), weights_file)
    strangers = [name for name in state if not name.startswith((_BACKBONE, _HEAD))]
    if strangers:
        raise ValueError(f"{weights_file}: unexpected names in a ViTPose: {', '.join(strangers[:8])}")
    head = _build_head(config, config_file, backbone.channels[-1])
    if skeleton is not None and keypoint_sets is None:
        keypoint_sets = [keypoint_set_of(skeleton)]
    (own,) = keypoint_sets_of([head.final_layer.out_channels], keypoint_sets, config_file)
    load_strictly(backbone, part(state, _BACKBONE), BACKBONE_NAMES, weights_file, prefix=_BACKBONE)
    load_strictly(head, part(state, _HEAD), HEAD_NAMES, weights_file, prefix=_HEAD)
    heatmap = vitpose_heatmap(head, own.flip_permutation, input_size=backbone.input_size, coding=own.coding)
    if backbone.num_experts:
        return choose_dataset(MultiDatasetEstimator(backbone, [heatmap]).eval(), dataset_index, folder)
    if dataset_index is not None:
        raise ValueError(f"{folder}: dataset_index: expected None without experts, got {dataset_index}")
    return PoseEstimator(backbone, heatmap).eval()


def save_vitpose_hf(
    model: PoseEstimator | MultiDatasetEstimator,
    folder: str | Path,
    *,
    keypoint_names: Sequence[str] | None = None,
) -> Path:
    """Write a folder that `VitPoseForPoseEstimation.from_pretrained` and its image processor load.

    Hugging Face crops as UDP does, also for models that were trained on plain crops.

    Args:
        model: a ViTPose; of several data sets only if it has one decoder for all, see `of_dataset`.
        folder: is made if missing; its configuration and weights are replaced.
        keypoint_names: K names for the configuration; None: their numbers.

    Returns:
        `folder`.

    Raises:
        ValueError: if the model is none that Hugging Face's classes can hold, or the names are not K.
    """
    several = isinstance(model, MultiDatasetEstimator)
    representations = model.representations if several else [model.representation]
    if not isinstance(model.backbone, ViT) or len(representations) != 1:
        raise ValueError(
            f"expected a ViTPose with one decoder, got {type(model.backbone).__name__} with "
            f"{len(representations)}; take one data set by of_dataset"
        )
    if several and not model.backbone.num_experts:
        raise ValueError("expected a PoseEstimator where there are no experts; take it by of_dataset")
    head = representations[0].head
    config = _write_config(model.backbone, head, keypoint_names)
    state = {_BACKBONE + BACKBONE_NAMES.to_official(k): v for k, v in model.backbone.state_dict().items()}
    state |= {_HEAD + HEAD_NAMES.to_official(name): value for name, value in head.state_dict().items()}
    write_json(Path(folder) / _CONFIG, config)
    write_json(Path(folder) / _IMAGES, _write_images_config(model.backbone.input_size))
    write_tensors(Path(folder) / _WEIGHTS, _split_attention(state), {"format": "pt"})
    return Path(folder)


def _build_backbone(config: Any, file: Path) -> ViT:
    """Build the transformer a configuration describes."""
    inner = config.get("backbone_config") if isinstance(config, Mapping) else None
    if not isinstance(inner, Mapping) or config.get("model_type") != "vitpose":
        raise ValueError(f"{file}: expected model_type 'vitpose' and a 'backbone_config'")
    inner = {name: _plain(name, value) for name, value in inner.items()}
    fixed = {f"backbone_config.{name}": (inner.get(name, value), value) for name, value in _FIXED.items()}
    fixed["scale_factor"] = (config.get("scale_factor", UPSAMPLING), UPSAMPLING)
    for name, (got, expected) in fixed.items():
        if got != expected:
            raise ValueError(f"{file}: {name}: expected {expected}, got {got}")
    values = {name: inner.get(name, value) for name, value in _DEFAULTS.items()}
    for name, value in values.items():
        if type(value) is not type(_DEFAULTS[name]):
            raise ValueError(
                f"{file}: backbone_config.{name}: expected such as {_DEFAULTS[name]}, got {value!r}"
            )
    depth, experts = values["num_hidden_layers"], values["num_experts"]
    outputs = inner.get("out_features") or (f"stage{depth}",)
    if outputs != (f"stage{depth}",):
        raise ValueError(f"{file}: backbone_config.out_features: expected stage{depth}, got {outputs}")
    with naming(file):
        size = ViTSize(
            values["hidden_size"],
            depth,
            values["num_attention_heads"],
            part_features=values["part_features"] if experts > 1 else 0,
        )
        return ViT(
            size,
            values["image_size"],
            num_experts=experts if experts > 1 else 0,
            norm_eps=values["layer_norm_eps"],
        )


def _plain(name: str, value: Any) -> Any:
    """Return JSON lists as tuples, and the one side of a square image or patch twice."""
    if name in ("image_size", "patch_size") and isinstance(value, int):
        return value, value
    return tuple(value) if isinstance(value, list) else value


def _build_head(config: Mapping[str, Any], file: Path, in_channels: int) -> nn.Module:
    """Build the decoder a configuration describes."""
    K = len(config.get("id2label") or {}) or config.get("num_labels", 2)
    if config.get("use_simple_decoder", True):
        return SimpleDecoder(in_channels, K)
    return DeconvolutionHead(in_channels, K, channels=(256, 256), kernels=(4, 4))


def _write_config(backbone: ViT, head: nn.Module, keypoint_names: Sequence[str] | None) -> dict[str, Any]:
    """Return the content of `config.json`."""
    simple = isinstance(head, SimpleDecoder)
    if not simple and not _is_classic(head):
        raise ValueError(f"expected a simple decoder, or a classic one of width 256, got {head}")
    K = head.final_layer.out_channels
    names = [str(number) for number in range(K)] if keypoint_names is None else list(keypoint_names)
    if len(names) != K or len(set(names)) != K:
        raise ValueError(f"keypoint_names: expected {K} different names, got {names}")
    size = backbone.size
    return {
        "architectures": ["VitPoseForPoseEstimation"],
        "model_type": "vitpose",
        "backbone_config": {
            "model_type": "vitpose_backbone",
            **{name: list(value) if isinstance(value, tuple) else value for name, value in _FIXED.items()},
            "image_size": list(backbone.input_size),
            "hidden_size": size.channels,
            "num_hidden_layers": size.depth,
            "num_attention_heads": size.num_heads,
            "num_experts": backbone.num_experts or 1,
            "part_features": size.part_features,
            "layer_norm_eps": backbone.last_norm.eps,
            "out_features": [f"stage{size.depth}"],
            "out_indices": [size.depth],
        },
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "scale_factor": UPSAMPLING,
        "use_simple_decoder": simple,
    }


def _is_classic(head: nn.Module) -> bool:
    if not isinstance(head, DeconvolutionHead):
        return False
    layers = [layer for layer in head.deconv_layers if isinstance(layer, nn.ConvTranspose2d)]
    return [(layer.out_channels, layer.kernel_size) for layer in layers] == [(256, (4, 4))] * 2


def _write_images_config(input_size: tuple[int, int]) -> dict[str, Any]:
    """Return the content of `preprocessor_config.json`: how the image processor makes crops."""
    height, width = input_size
    return {
        "image_processor_type": "VitPoseImageProcessor",
        "do_affine_transform": True,
        "do_normalize": True,
        "do_rescale": True,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
        "rescale_factor": 1 / 255,
        "size": {"height": height, "width": width},
    }


def _join_attention(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Return the entries with query, key and value of each block joined, in this order."""
    joined = {}
    for name, value in state.items():
        before, found, after = name.rpartition(_ATTENTION)
        layer, _, kind = after.partition(".")
        if not found or layer not in _PARTS:
            joined[name] = value
        elif layer == _PARTS[0]:
            names = [f"{before}{found}{own}.{kind}" for own in _PARTS]
            missing = [own for own in names if own not in state]
            if missing:
                raise ValueError(f"{file}: missing {', '.join(missing)}")
            joined[f"{before}{found}{_JOINED}.{kind}"] = torch.cat([state[own] for own in names])
    return joined


def _split_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries with query, key and value apart; undoes `_join_attention`."""
    split = {}
    for name, value in state.items():
        if _JOINED not in name:
            split[name] = value
            continue
        for own, third in zip(_PARTS, value.chunk(3), strict=True):
            split[name.replace(_JOINED, own)] = third
    return split
