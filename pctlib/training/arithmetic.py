"""Which library multiplies fp32 matrices on the CPU: chosen once for a process, by trying.

Torch hands these products to MKL, which leaves AVX-512 unused on CPUs that are not Intel's. Where its
setting for oneDNN allows bfloat16, torch hands them to oneDNN instead, which converts to bfloat16 only on
CPUs with AMX; on others it computes in full fp32, with AVX-512. What a CPU does is found out by trying, not
by its name.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

SWITCH = "PCTLIB_ONEDNN"  # environment: "off" leaves torch as it is
_SIZES = (2176, 512, 512)  # [M N, E] x [E, E] of the published tokenizer, for 64 poses
_ROUNDS = 5
_LEAST_GAIN = 1.2  # below that it may be noise, and two processes might choose differently
_MOST_ERROR = 8.0  # times that of torch's own product; bfloat16 has some thousand times as much
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Arithmetic:
    """How fp32 products are computed, and why.

    Attributes:
        onednn: whether oneDNN computes them; else what torch does by itself.
        reason: in words.
        speedup: of oneDNN on the product that was tried; None if none was.
        error: its largest difference from float64, in units of that of torch's own product; None likewise.
    """

    onednn: bool
    reason: str
    speedup: float | None = None
    error: float | None = None

    def __str__(self) -> str:
        figures = (
            "" if self.speedup is None else f" ({self.speedup:.2f}x as fast, {self.error:.1f}x the error)"
        )
        return f"{'oneDNN' if self.onednn else 'as torch has it'}: {self.reason}{figures}"


_chosen: Arithmetic | None = None


def choose_arithmetic(*, allowed: bool = True) -> Arithmetic:
    """Try oneDNN for fp32 products of this process, and keep it if it is as exact and faster.

    What was chosen stays; a later call only returns it, or takes it back where it is no longer allowed.

    Args:
        allowed: False leaves torch as it is, as does the environment variable `PCTLIB_ONEDNN=off`.

    Raises:
        ValueError: if that variable is neither "off" nor "auto".
    """
    global _chosen
    wanted = os.environ.get(SWITCH, "auto")
    if wanted not in ("auto", "off"):
        raise ValueError(f"{SWITCH}: expected 'auto' or 'off', got '{wanted}'")
    if not allowed or wanted == "off":
        if _chosen is not None and _chosen.onednn:
            _setting().fp32_precision = "none"
        by = f"{SWITCH}=off" if wanted == "off" else "the profile"
        _chosen = Arithmetic(onednn=False, reason=f"switched off by {by}")
    elif _chosen is None or _chosen.reason.startswith("switched off"):
        _chosen = _try()
        if _chosen.onednn:
            _setting().fp32_precision = "bf16"
    return _chosen


def chosen_arithmetic() -> Arithmetic | None:
    """Return what was chosen in this process; None if nothing was yet."""
    return _chosen


def _try() -> Arithmetic:
    if not torch.backends.mkldnn.is_available():
        return Arithmetic(onednn=False, reason="torch was built without oneDNN")
    if _setting().fp32_precision != "none":
        return Arithmetic(onednn=False, reason="somebody else has set the precision of products")
    rows, inner, columns = _SIZES
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=draw)
    right = torch.randn(columns, inner, generator=draw).T  # as in a linear layer
    exact = left.double() @ right.double()
    ways = [partial(multiply, left, right, how) for how in ("none", "bf16")]
    own_error, error = (float((way().double() - exact).abs().max()) for way in ways)
    own_seconds, seconds = _least_seconds(ways)
    figures = {"speedup": own_seconds / seconds, "error": error / max(own_error, _TINY)}
    if figures["error"] > _MOST_ERROR:
        return Arithmetic(onednn=False, reason="oneDNN is not as exact as fp32 on this CPU", **figures)
    if figures["speedup"] < _LEAST_GAIN:
        return Arithmetic(onednn=False, reason="oneDNN is not faster on this CPU", **figures)
    return Arithmetic(onednn=True, reason="as exact as fp32 and faster on this CPU", **figures)


def _least_seconds(ways: Sequence[Callable[[], Tensor]]) -> list[float]:
    """Return the least time of each over some rounds in turns: what else the machine does falls on all."""
    least = [float("inf")] * len(ways)
    for _ in range(_ROUNDS):
        for number, way in enumerate(ways):
            start = time.perf_counter()
            way()
            least[number] = min(least[number], time.perf_counter() - start)
    return least


def multiply(left: Tensor, right: Tensor, how: str) -> Tensor:
    """Return a product computed by torch's setting `how` for oneDNN: "none" or "bf16"."""
    setting = _setting()
    before = setting.fp32_precision
    setting.fp32_precision = how
    try:
        return left @ right
    finally:
        setting.fp32_precision = before


def _setting() -> Any:
    return torch.backends.mkldnn.matmul
