"""Compile trained networks for inference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor_config

from pctlib.models.estimator import PoseEstimator


def compile_for_inference(network: nn.Module) -> Callable[[Tensor], Any]:
    """Return a function that runs the network, compiled, without gradients and in full precision.

    Weights become constants: batch normalisation is folded into convolutions, and CPUs keep the weights in
    the order that their kernels read. Change the weights, and the function must be made anew.

    The first call with each shape compiles, also with each number of images, which takes a minute or two and
    on CPUs needs a C++ compiler such as g++. Fill the last batch up: after eight shapes torch warns and runs
    others uncompiled.

    Args:
        network: in eval mode; its forward takes one tensor. Later changes of its mode are not seen either.

    Raises:
        ValueError: if the network is in training mode.
    """
    if network.training:
        raise ValueError("network: is in training mode; call eval() before compiling it for inference")
    compiled = torch.compile(network, dynamic=False)  # sizes decide how weights are stored

    @torch.inference_mode()
    def run(images: Tensor) -> Any:
        # Not `options=` of torch.compile: the tracer decides by the global setting what is a constant.
        with inductor_config.patch(freezing=True), _onednn_products():
            return compiled(images)

    return run


class CompiledEstimator(PoseEstimator):
    """A trained estimator whose network is compiled for inference; predictions are those of the model.

    Args:
        model: in eval mode; see `compile_for_inference`.
    """

    def __init__(self, model: PoseEstimator) -> None:
        super().__init__(model.backbone, model.representation)
        self._run = compile_for_inference(model)
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """Return the representation's prediction for images [B, 3, H, W]."""
        return self._run(images)


@contextmanager
def _onednn_products() -> Iterator[None]:
    """Have constant fp32 weights multiplied by oneDNN instead of MKL, which knows no AVX-512 but Intel's.

    The compiler asks oneDNN only where TF32 is allowed. CPUs without AMX-FP16 have no TF32, and oneDNN
    computes in full precision; on the others the setting is left alone.
    """
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    if before == "none" and not torch.cpu._is_amx_fp16_supported():
        matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
