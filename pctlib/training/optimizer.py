"""Optimiser, learning-rate schedule, parameter groups of layer-wise decay, averages of weights."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


def learning_rate_factor(
    step: int,
    *,
    total_steps: int,
    warmup_steps: int,
    final_factor: float,
    flat_steps: int = 0,
    decay_steps: Sequence[int] = (),
) -> float:
    """Return the factor on the base learning rate at one step: linear warm-up, then a half cosine or stairs.

    A function of the step alone, so that a resumed run needs no scheduler state.

    Args:
        step: 0 is the first optimiser step.
        total_steps: steps of the whole run; the last step is `total_steps - 1`.
        warmup_steps: steps over which the factor rises; at most a third of the run, so that one of fewer
            epochs than its schedule was written for still comes down.
        final_factor: value at the last step of the cosine, as a share of the base rate.
        flat_steps: the cosine starts at this step, or after the warm-up if that is later.
        decay_steps: from each of these on the rate is a tenth of that before; none: the cosine.
    """
    warmup_steps = min(warmup_steps, total_steps // 3)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if decay_steps:
        return 0.1 ** sum(step >= start for start in decay_steps)
    start = max(warmup_steps, flat_steps)
    progress = max(0.0, (step - start) / max(1, total_steps - 1 - start))
    return final_factor + (1 - final_factor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def average_decay(updates: int, *, decay: float, warmup_steps: int = 0) -> float:
    """Return the share of the old average that an update of averaged weights keeps.

    With a warm-up it rises as decay (1 - exp(-(1 + updates) / warmup_steps)), so that the average of a short
    run is not that of its first steps.

    Source: `ExpMomentumEMA` of mmpose 1.3.2, with which RTMPose and DWPose are trained (momentum 2e-4, a
    decay of 0.9998 here; gamma 2000, `warmup_steps` here); its formula is written for 1 - decay.

    Args:
        updates: made before this one; the first, of number 0, copies the weights.
        decay: the share kept in the end.
        warmup_steps: 0: `decay` from the start.
    """
    return decay * -math.expm1(-(1 + updates) / warmup_steps) if warmup_steps else decay


def average_update(
    *, decay: float, warmup_steps: int = 0
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]:
    """Return the update that `torch.optim.swa_utils.AveragedModel` takes, as `average_decay` has it.

    Whole numbers, such as the batches a norm has seen, have no average; they are copied.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        kept = average_decay(int(updates), decay=decay, warmup_steps=warmup_steps)
        torch._foreach_lerp_(averaged, current, 1 - kept)

    return update


_BLOCK = re.compile(r"^(.*?blocks[._]\d+(?:\.\d+)?)\.")


def layer_numbers(names: Iterable[str]) -> dict[str, int]:
    """Number the layers of a transformer by the order in which its blocks appear.

    What stands before the first block (patch and position embedding) is layer 0, block i is layer
    i + 1 (a patch merging after it counts with the next block), and what stands after the last
    block (norm, head) gets the highest number.

    Source: Bao et al. 2021, arXiv:2106.08254 (BEiT), layer-wise learning-rate decay, as used by
    ViTPose and PCT.

    Args:
        names: parameter names in the order of `nn.Module.named_parameters`.

    Returns:
        Layer number of each name.
    """
    names = list(names)
    blocks: dict[str, int] = {}
    for name in names:
        if match := _BLOCK.match(name):
            blocks.setdefault(match.group(1), len(blocks) + 1)
    numbers, current = {}, 0
    for name in names:
        match = _BLOCK.match(name)
        if match:
            current = blocks[match.group(1)]
            numbers[name] = current
        else:
            embedding = current == 0 or "embed" in name
            numbers[name] = 0 if embedding else min(current + 1, len(blocks) + 1)
    return numbers


def parameter_groups(
    module: nn.Module, *, learning_rate: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict]:
    """Sort trainable parameters into groups of one learning rate and one weight decay.

    One-dimensional parameters and position embeddings get no weight decay. With a layer decay below
    1 the parameters of `module.backbone` learn at `learning_rate * layer_decay ** depth_from_top`;
    everything else learns at the full rate.

    Args:
        module: what is trained; parameters with `requires_grad` False are left out.
        learning_rate: base rate, of the head.
        weight_decay: of matrices and kernels.
        layer_decay: factor from one layer of the backbone to the one below.

    Returns:
        Groups for `torch.optim.AdamW`, each with its own `base_lr` for the schedule.

    Raises:
        ValueError: if nothing is trainable.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError(f"{type(module).__name__} has no trainable parameter")
    backbone = layer_numbers(name for name, _ in named if "backbone." in name)
    top = max((number for name, number in backbone.items() if _BLOCK.match(name)), default=0) + 1
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        rate = learning_rate * layer_decay ** (top - backbone.get(name, top))
        decay = 0.0 if parameter.ndim <= 1 or "pos_embed" in name else weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
