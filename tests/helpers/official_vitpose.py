"""Published ViTPose checkpoints of any size, and what they compute, written out without modules."""

import torch
import torch.nn.functional as F


def vitpose_shapes(*, dim=24, depth=2, cells=12, K=(17,), decoder="classic", experts=0, part=8, width=10):
    """Names and shapes of a checkpoint; one decoder for each K."""
    shapes = {"pos_embed": (1, cells + 1, dim), "patch_embed.proj.weight": (dim, 3, 16, 16)}
    shapes |= {"patch_embed.proj.bias": (dim,), "last_norm.weight": (dim,), "last_norm.bias": (dim,)}
    out = dim - part if experts else dim
    layers = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim)}
    layers |= {"mlp.fc2": (out, 4 * dim)} | {f"mlp.experts.{i}": (part, 4 * dim) for i in range(experts)}
    for i in range(depth):
        for name, shape in layers.items():
            shapes |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{norm}.{kind}": (dim,) for kind in ("weight", "bias")}
    shapes = {f"backbone.{name}": shape for name, shape in shapes.items()}
    for i, joints in enumerate(K):
        prefix = "keypoint_head." if i == 0 else f"associate_keypoint_heads.{i - 1}."
        head = _simple(dim, joints) if decoder == "simple" else _classic(dim, joints, width)
        shapes |= {prefix + name: shape for name, shape in head.items()}
    return shapes


def _simple(dim, K):
    return {"final_layer.weight": (K, dim, 3, 3), "final_layer.bias": (K,)}


def _classic(dim, K, width):
    shapes = {"final_layer.weight": (K, width, 1, 1), "final_layer.bias": (K,)}
    for number, channels in ((0, dim), (3, width)):
        shapes[f"deconv_layers.{number}.weight"] = (channels, width, 4, 4)
        norm = f"deconv_layers.{number + 1}"
        shapes |= {f"{norm}.{k}": (width,) for k in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{norm}.num_batches_tracked"] = ()
    return shapes


def random_vitpose(seed=0, **sizes):
    """Values for `vitpose_shapes` that keep activations in a normal range."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in vitpose_shapes(**sizes).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            scale = 1 / max(1, shape[-1] if len(shape) == 2 else 8) ** 0.5
            state[name] = scale * torch.randn(shape, generator=generator)
    return state


def reference_features(state, images, *, heads, dataset_index=None, eps=1e-6):
    """Return the feature map [B, C, h, w] of images whose size the positions are for."""
    state = {name.removeprefix("backbone."): value for name, value in state.items()}

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def attention(name, x):
        B, N, C = x.shape
        q, k, v = linear(f"{name}.qkv", x).view(B, N, 3, heads, C // heads).permute(2, 0, 3, 1, 4)
        weights = ((q * (C // heads) ** -0.5) @ k.mT).softmax(-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).reshape(B, N, C))

    def mlp(name, x):
        hidden = F.gelu(linear(f"{name}.fc1", x))
        out = linear(f"{name}.fc2", hidden)
        if dataset_index is None:
            return out
        every = range(int(dataset_index.max()) + 1)
        masks = [(dataset_index == i).view(-1, 1, 1) for i in every]
        own = sum(mask * linear(f"{name}.experts.{i}", hidden) for i, mask in zip(every, masks, strict=True))
        return torch.cat([out, own], -1)

    x = F.conv2d(
        images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16, padding=2
    )
    h, w = x.shape[-2:]
    x = x.flatten(2).mT + state["pos_embed"][:, 1:] + state["pos_embed"][:, :1]
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for i in range(depth):
        x = x + attention(f"blocks.{i}.attn", norm(f"blocks.{i}.norm1", x))
        x = x + mlp(f"blocks.{i}.mlp", norm(f"blocks.{i}.norm2", x))
    return norm("last_norm", x).mT.unflatten(2, (h, w))


def reference_heatmaps(state, features, prefix="keypoint_head."):
    """Return heatmaps [B, K, 4 h, 4 w] of a feature map."""
    state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    x, last = features, (state["final_layer.weight"], state["final_layer.bias"])
    if "deconv_layers.0.weight" not in state:
        x = F.interpolate(F.relu(x), scale_factor=4, mode="bilinear", align_corners=False)
        return F.conv2d(x, *last, padding=1)
    for number in (0, 3):
        x = F.conv_transpose2d(x, state[f"deconv_layers.{number}.weight"], stride=2, padding=1)
        norm = [state[f"deconv_layers.{number + 1}.{k}"] for k in ("running_mean", "running_var")]
        norm += [state[f"deconv_layers.{number + 1}.{k}"] for k in ("weight", "bias")]
        x = F.relu(F.batch_norm(x, *norm))
    return F.conv2d(x, *last)
