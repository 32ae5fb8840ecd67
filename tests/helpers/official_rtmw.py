"""RTMW checkpoints of any size, and what they compute, written out from their names without modules."""

import torch
import torch.nn.functional as F


def _conv(shapes, name, out, inp, kernel, groups=1):
    shapes[f"{name}.conv.weight"] = (out, inp // groups, kernel, kernel)
    for kind in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{name}.bn.{kind}"] = (out,)
    shapes[f"{name}.bn.num_batches_tracked"] = ()


def _csp(shapes, name, inp, out, blocks, attention):
    half = out // 2
    for part in ("main_conv", "short_conv"):
        _conv(shapes, f"{name}.{part}", half, inp, 1)
    _conv(shapes, f"{name}.final_conv", out, 2 * half, 1)
    for i in range(blocks):
        _conv(shapes, f"{name}.blocks.{i}.conv1", half, half, 3)
        _conv(shapes, f"{name}.blocks.{i}.conv2.depthwise_conv", half, half, 5, groups=half)
        _conv(shapes, f"{name}.blocks.{i}.conv2.pointwise_conv", half, half, 1)
    if attention:
        shapes[f"{name}.attention.fc.weight"] = (2 * half, 2 * half, 1, 1)
        shapes[f"{name}.attention.fc.bias"] = (2 * half,)


def rtmw_shapes(*, width=8, K=133, grid=(2, 2), hidden=16, key=8, neck_blocks=2):
    """Names and shapes of a checkpoint; `width` channels after the stem, one block a stage."""
    shapes = {}
    _conv(shapes, "backbone.stem.0", width // 2, 3, 3)
    _conv(shapes, "backbone.stem.1", width // 2, width // 2, 3)
    _conv(shapes, "backbone.stem.2", width, width // 2, 3)
    for stage in range(1, 5):
        inp, out = width * 2 ** (stage - 1), width * 2**stage
        _conv(shapes, f"backbone.stage{stage}.0", out, inp, 3)
        place = 2 if stage == 4 else 1
        if stage == 4:
            _conv(shapes, "backbone.stage4.1.conv1", out // 2, out, 1)
            _conv(shapes, "backbone.stage4.1.conv2", out, 2 * out, 1)
        _csp(shapes, f"backbone.stage{stage}.{place}", out, out, 1, attention=True)
    fine, middle, coarse = (width * 2**n for n in (2, 3, 4))
    _conv(shapes, "neck.reduce_layers.0", middle, coarse, 1)
    _conv(shapes, "neck.reduce_layers.1", fine, middle, 1)
    _conv(shapes, "neck.downsamples.0", fine, fine, 3)
    _conv(shapes, "neck.downsamples.1", middle, middle, 3)
    _csp(shapes, "neck.top_down_blocks.0", 2 * middle, middle, neck_blocks, attention=False)
    _csp(shapes, "neck.top_down_blocks.1", 2 * fine, fine, neck_blocks, attention=False)
    _csp(shapes, "neck.bottom_up_blocks.0", 2 * fine, middle, neck_blocks, attention=False)
    _csp(shapes, "neck.bottom_up_blocks.1", 2 * middle, coarse, neck_blocks, attention=False)
    _conv(shapes, "head.conv_dec", coarse // 4, coarse // 4, 7)
    _conv(shapes, "head.final_layer", K, coarse, 7)
    _conv(shapes, "head.final_layer2", K, coarse // 2 + coarse // 4, 7)
    cells = grid[0] * grid[1]
    shapes |= {"head.mlp.0.g": (1,), "head.mlp.1.weight": (hidden // 2, cells)}
    shapes |= {"head.mlp2.0.g": (1,), "head.mlp2.1.weight": (hidden // 2, 4 * cells)}
    shapes |= {"head.gau.ln.g": (1,), "head.gau.uv.weight": (4 * hidden + key, hidden)}
    shapes |= {"head.gau.o.weight": (hidden, 2 * hidden), "head.gau.res_scale.scale": (hidden,)}
    shapes |= {"head.gau.gamma": (2, key), "head.gau.beta": (2, key)}
    shapes |= {f"head.cls_{axis}.weight": (64 * grid[1 - "xy".index(axis)], hidden) for axis in "xy"}
    return shapes


def random_rtmw(seed=0, **sizes):
    """Values for `rtmw_shapes` that keep activations in a normal range."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in rtmw_shapes(**sizes).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(3)
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            fan_in = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 else 4
            state[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return state


def reference_bins(state, images):
    """Return the bins along x and y [B, K, bins] of images [B, 3, H, W]."""

    def conv(name, x, stride=1, act=F.silu):
        weight = state[f"{name}.conv.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        norm = [state[f"{name}.bn.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return act(F.batch_norm(x, *norm))

    def csp(name, x, shortcut):
        main = conv(f"{name}.main_conv", x)
        blocks = {n.split(".blocks.")[1].split(".")[0] for n in state if n.startswith(f"{name}.blocks.")}
        for i in range(len(blocks)):
            out = conv(f"{name}.blocks.{i}.conv1", main)
            out = conv(f"{name}.blocks.{i}.conv2.depthwise_conv", out)
            out = conv(f"{name}.blocks.{i}.conv2.pointwise_conv", out)
            main = out + main if shortcut else out
        both = torch.cat([main, conv(f"{name}.short_conv", x)], 1)
        if f"{name}.attention.fc.weight" in state:
            gate = F.conv2d(
                both.mean((2, 3), keepdim=True),
                state[f"{name}.attention.fc.weight"],
                state[f"{name}.attention.fc.bias"],
            )
            both = both * F.hardsigmoid(gate)
        return conv(f"{name}.final_conv", both)

    x = conv("backbone.stem.0", images, 2)
    x = conv("backbone.stem.2", conv("backbone.stem.1", x))
    maps = []
    for stage in (1, 2, 3):
        x = csp(f"backbone.stage{stage}.1", conv(f"backbone.stage{stage}.0", x, 2), shortcut=True)
        maps.append(x)
    x = conv("backbone.stage4.1.conv1", conv("backbone.stage4.0", x, 2))
    x = torch.cat([x, *(F.max_pool2d(x, s, 1, s // 2) for s in (5, 9, 13))], 1)
    c5 = csp("backbone.stage4.2", conv("backbone.stage4.1.conv2", x), shortcut=False)
    c3, c4 = maps[1], maps[2]

    up = torch.nn.Upsample(scale_factor=2)
    r5 = conv("neck.reduce_layers.0", c5)
    p4 = csp("neck.top_down_blocks.0", torch.cat([up(r5), c4], 1), shortcut=False)
    r4 = conv("neck.reduce_layers.1", p4)
    p3 = csp("neck.top_down_blocks.1", torch.cat([up(r4), c3], 1), shortcut=False)
    n4 = torch.cat([conv("neck.downsamples.0", p3, 2), r4], 1)
    n4 = csp("neck.bottom_up_blocks.0", n4, shortcut=False)
    n5 = torch.cat([conv("neck.downsamples.1", n4, 2), r5], 1)
    n5 = csp("neck.bottom_up_blocks.1", n5, shortcut=False)

    def tokens(name, x):
        x = x.flatten(2)
        norm = x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5
        return (x / norm.clamp(min=1e-5) * state[f"head.{name}.0.g"]) @ state[f"head.{name}.1.weight"].T

    coarse = tokens("mlp", conv("head.final_layer", n5, act=F.relu))
    joined = conv("head.conv_dec", torch.nn.PixelShuffle(2)(n5), act=F.relu)
    joined = conv("head.final_layer2", torch.cat([joined, n4], 1), act=F.relu)
    x = torch.cat([coarse, tokens("mlp2", joined)], 2)
    norm = x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5
    hidden = x.shape[-1]
    uv = F.silu((x / norm.clamp(min=1e-5) * state["head.gau.ln.g"]) @ state["head.gau.uv.weight"].T)
    u, v, base = uv.split([2 * hidden, 2 * hidden, uv.shape[-1] - 4 * hidden], -1)
    q, k = (base[..., None, :] * state["head.gau.gamma"] + state["head.gau.beta"]).unbind(2)
    kernel = F.relu(q @ k.mT / q.shape[-1] ** 0.5) ** 2
    x = state["head.gau.res_scale.scale"] * x + (u * (kernel @ v)) @ state["head.gau.o.weight"].T
    return x @ state["head.cls_x.weight"].T, x @ state["head.cls_y.weight"].T
