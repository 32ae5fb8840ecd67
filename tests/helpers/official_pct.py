"""Published PCT checkpoints of any size, and their tokenizer computed without modules."""

import math

import torch
import torch.nn.functional as F


def _linear(name, out_dim, in_dim, bias=True):
    return {f"{name}.weight": (out_dim, in_dim)} | ({f"{name}.bias": (out_dim,)} if bias else {})


def _norm(name, dim):
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def _batch_norm(name, dim):
    statistics = {
        f"{name}.running_mean": (dim,),
        f"{name}.running_var": (dim,),
        f"{name}.num_batches_tracked": (),
    }
    return _norm(name, dim) | statistics


def _mixer(name, positions, dim, token_hidden, channel_hidden):
    shapes = _norm(f"{name}.layernorm1", dim) | _norm(f"{name}.layernorm2", dim)
    for mlp, width, hidden in (("MLP_token", positions, token_hidden), ("MLP_channel", dim, channel_hidden)):
        shapes |= _linear(f"{name}.{mlp}.ff.0", hidden, width) | _linear(f"{name}.{mlp}.ff.3", width, hidden)
    return shapes


def tokenizer_shapes(
    *, K=17, M=34, V=2048, E=512, D=2, encoder=(512, 4, 64, 512), decoder=(32, 1, 64, 64), guide=(0, 0)
):
    """Names and shapes; stacks: width, layers, token hidden, channel hidden; guide: channels, width."""
    dim, layers, *hidden = encoder
    shapes = {"invisible_token": (1, 1, dim), "codebook": (V, E), "ema_cluster_size": (V,), "ema_w": (V, E)}
    if guide[0]:
        shapes |= _linear("start_img_embed", guide[1], guide[0])
    shapes |= _linear("start_embed", dim - guide[1], D)
    for i in range(layers):
        shapes |= _mixer(f"encoder.{i}", K, dim, *hidden)
    shapes |= _norm("encoder_layer_norm", dim) | _linear("token_mlp", M, K) | _linear("feature_embed", E, dim)
    dim, layers, *hidden = decoder
    shapes |= _linear("decoder_token_mlp", K, M) | _linear("decoder_start", dim, E)
    for i in range(layers):
        shapes |= _mixer(f"decoder.{i}", K, dim, *hidden)
    return shapes | _norm("decoder_layer_norm", dim) | _linear("recover_embed", D, dim)


def head_shapes(*, M=34, V=2048, in_channels=1024, cells=64, channels=256, blocks=2, mixer=(64, 4, 64, 256)):
    shapes = {"conv_trans.0.weight": (channels, in_channels, 1, 1)} | _batch_norm("conv_trans.1", channels)
    for i in range(blocks):
        for j in (1, 2):
            shapes[f"conv_head.0.{i}.conv{j}.weight"] = (channels, channels, 3, 3)
            shapes |= _batch_norm(f"conv_head.0.{i}.bn{j}", channels)
    dim, layers, *hidden = mixer
    shapes |= _linear("mixer_trans.ff.0", M * dim, channels * cells) | _norm("mixer_trans.ff.1", M * dim)
    for i in range(layers):
        shapes |= _mixer(f"mixer_head.{i}", M, dim, *hidden)
    shapes |= _linear("mixer_norm_layer.ff.0", dim, dim) | _norm("mixer_norm_layer.ff.1", dim)
    return shapes | _linear("cls_pred_layer", V, dim)


def swin_shapes(*, dim=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), windows=(16, 16, 16, 8)):
    shapes = {"patch_embed.proj.weight": (dim, 3, 4, 4), "patch_embed.proj.bias": (dim,)}
    shapes |= _norm("patch_embed.norm", dim)
    for i, (depth, head, window) in enumerate(zip(depths, heads, windows, strict=True)):
        width = dim * 2**i
        for j in range(depth):
            name = f"layers.{i}.blocks.{j}"
            shapes |= _norm(f"{name}.norm1", width) | _norm(f"{name}.norm2", width)
            shapes |= _linear(f"{name}.mlp.fc1", 4 * width, width) | _linear(
                f"{name}.mlp.fc2", width, 4 * width
            )
            shapes |= _linear(f"{name}.attn.qkv", 3 * width, width, bias=False)
            shapes |= _linear(f"{name}.attn.proj", width, width) | _linear(f"{name}.attn.rpe_mlp.0", 512, 2)
            shapes |= _linear(f"{name}.attn.rpe_mlp.2", head, 512, bias=False)
            shapes |= {f"{name}.attn.{bias}": (width,) for bias in ("q_bias", "v_bias")}
            shapes[f"{name}.attn.logit_scale"] = (head, 1, 1)
            shapes[f"{name}.attn.relative_coords_table"] = (1, 2 * window - 1, 2 * window - 1, 2)
            shapes[f"{name}.attn.relative_position_index"] = (window**2, window**2)
        if i < 3:
            shapes |= _linear(f"layers.{i}.downsample.reduction", 2 * width, 4 * width, bias=False)
            shapes |= _norm(f"layers.{i}.downsample.norm", 2 * width)
    return shapes | _norm("norm3", 8 * dim)


def with_prefix(prefix, mapping):
    return {prefix + name: value for name, value in mapping.items()}


def position_table(window, pretrained):
    """[1, 2w - 1, 2w - 1, 2] the log-spaced offsets of Swin V2, from their formula."""
    offset = 8 * torch.arange(1 - window, window) / (pretrained - 1)
    scaled = offset.sign() * (offset.abs() + 1).log2() / math.log2(8)
    return torch.stack(torch.meshgrid(scaled, scaled, indexing="ij"), -1).unsqueeze(0)


def position_index(window):
    """[w^2, w^2] where in the flattened table the offset of a pair of cells lies."""
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    row, column = row.flatten(), column.flatten()
    row, column = row[:, None] - row + window - 1, column[:, None] - column + window - 1
    return row * (2 * window - 1) + column


def random_state(shapes, *, seed=0, pretrained=(12, 12, 12, 6)):
    """Random values under the names, except for the position tables, which follow from the sizes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("relative_coords_table"):
            stage = int(name.split("layers.")[1][0])
            state[name] = position_table((shape[1] + 1) // 2, pretrained[stage])
        elif name.endswith("relative_position_index"):
            state[name] = position_index(math.isqrt(shape[0]))
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith(("running_var", "ema_cluster_size")):
            state[name] = 0.5 + torch.rand(tuple(shape), generator=generator)
        else:
            state[name] = torch.randn(tuple(shape), generator=generator) / 4
    return state


def reference_tokenizer(state, keypoints, visible, joint_features=None):
    """Return (keypoints, token features, indices) of the published tokenizer in evaluation, written out."""

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def mlp(name, x):
        return linear(f"{name}.ff.3", F.gelu(linear(f"{name}.ff.0", x)))

    def mixers(name, x):
        i = 0
        while f"{name}.{i}.layernorm1.weight" in state:
            x = x + mlp(f"{name}.{i}.MLP_token", norm(f"{name}.{i}.layernorm1", x).mT).mT
            x = x + mlp(f"{name}.{i}.MLP_channel", norm(f"{name}.{i}.layernorm2", x))
            i += 1
        return norm(f"{name}_layer_norm", x)

    x = linear("start_embed", keypoints)
    if joint_features is not None:
        x = torch.cat([x, linear("start_img_embed", joint_features)], -1)
    weight = (visible > 0).float().unsqueeze(-1)
    x = mixers("encoder", x * weight + state["invisible_token"] * (1 - weight))
    tokens = linear("feature_embed", linear("token_mlp", x.mT).mT)
    distance = (tokens.unsqueeze(2) - state["codebook"]).square().sum(-1)  # [B, M, V]
    indices = distance.argmin(-1)
    x = linear("decoder_token_mlp", state["codebook"][indices].mT).mT
    return linear("recover_embed", mixers("decoder", linear("decoder_start", x))), tokens, indices


SMALL_TOKENIZER = {"K": 5, "M": 7, "V": 11, "E": 6, "encoder": (12, 2, 4, 9), "decoder": (8, 1, 3, 10)}
SMALL_SWIN = {"dim": 8, "depths": (2, 2, 2, 1), "heads": (1, 1, 2, 4), "windows": (4, 4, 4, 2)}
SMALL_HEAD = {
    "M": 7,
    "V": 11,
    "in_channels": 64,
    "cells": 4,
    "channels": 6,
    "blocks": 1,
    "mixer": (8, 2, 3, 5),
}


def small_detector(*, classifier, guided):
    """Names and shapes of a whole detector with an input of 64 x 64."""
    guide = (64, 3) if guided else (0, 0)
    shapes = with_prefix("keypoint_head.tokenizer.", tokenizer_shapes(**SMALL_TOKENIZER, guide=guide))
    if classifier:
        shapes |= with_prefix("keypoint_head.", head_shapes(**SMALL_HEAD))
        shapes |= with_prefix("backbone.", swin_shapes(**SMALL_SWIN))
    return shapes | (with_prefix("extra_backbone.", swin_shapes(**SMALL_SWIN)) if guided else {})


def base_detector(*, classifier, guided):
    """Names and shapes of the published base configurations."""
    guide = (1024, 256) if guided else (0, 0)
    shapes = with_prefix("keypoint_head.tokenizer.", tokenizer_shapes(guide=guide))
    if classifier:
        shapes |= with_prefix("keypoint_head.", head_shapes()) | with_prefix("backbone.", swin_shapes())
    return shapes | (with_prefix("extra_backbone.", swin_shapes()) if guided else {})
