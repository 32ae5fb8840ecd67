"""How large a network is, and how much it computes for one image."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_BETWEEN_ACTIVATIONS = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one forward pass for one image.

    The field writes "GFLOPs" for 10^9 multiply-adds; counted as two operations each, the numbers would be
    twice as large. Papers disagree on what they leave out, hence the two parts.

    Attributes:
        layers: in convolutions (a transposed one: cells of its input x weights) and linear layers.
        attention: in products of two activations: queries by keys and weights by values.
    """

    layers: int
    attention: int

    @property
    def total(self) -> int:
        """Return the sum of both parts."""
        return self.layers + self.attention

    @property
    def gflops(self) -> float:
        """Return the total in 10^9 multiply-adds, the unit of the published tables."""
        return self.total / 1e9


def count_parameters(module: nn.Module) -> int:
    """Return the number of learned values: every parameter once, with or without gradient, no buffers."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_flops(module: nn.Module, input_size: tuple[int, int]) -> MultiplyAdds:
    """Return the multiply-adds of a network for one RGB image.

    Counted are the operations the network really runs: padding of windows and maps, and every layer whose
    result is used or not. Not counted are biases, normalisations, activations, softmax, pooling,
    interpolation and element-wise sums, all together a few percent. Nothing is computed: the tensors have
    shapes but no values, so weights may also be on the "meta" device.

    Args:
        module: takes images [1, 3, H, W]; stays as it is.
        input_size: (height, width) of the image, pixels.

    Raises:
        ValueError: if a size is not positive.
    """
    if len(input_size) != 2 or min(input_size) < 1:
        raise ValueError(f"input_size: expected (height, width) of at least 1, got {input_size}")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    images = torch.empty(1, 3, *input_size, device="meta")
    # Fused attention is opened up: its parts have formulas on every device.
    with _evaluated(module), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _no_fast_path():
        operations = _operations(module, shapes, images)
    attention = sum(operations.get(operator, 0) for operator in _BETWEEN_ACTIVATIONS)
    return MultiplyAdds((sum(operations.values()) - attention) // 2, attention // 2)


def _operations(module: nn.Module, shapes: dict[str, Tensor], images: Tensor) -> dict:
    """Return floating point operations by operator; a multiply-add counts as two."""
    counter = FlopCounterMode(display=False)
    with counter:
        functional_call(module, shapes, (images,))
    return dict(counter.get_flop_counts().get("Global", {}))


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """Hold a module in eval mode, then give each part its own mode back."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` and its like from one fused operator that has no formula."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
