"""What a pose estimator costs: parameters, multiply-adds, and its speed on this machine."""

import time

import torch

from pctlib.complexity import count_flops, count_parameters
from pctlib.models.estimator import PoseEstimator

REPEATS = 5


def cost(
    model: PoseEstimator,
    input_size: tuple[int, int],
    *,
    batch_size: int = 16,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """Return "parameters (M)", "GFLOPs" (multiply-adds of one image) and "images/s" of `predict`.

    The speed is that of the fastest of a few batches, decoding included, without flip test; it is this
    machine's at this moment.

    Args:
        model: of any representation.
        input_size: (height, width) of its images, pixels.
        batch_size: images of a batch.
        device: where the speed is measured.
    """
    model = model.to(device).eval()
    values = {
        "parameters (M)": count_parameters(model) / 1e6,
        "GFLOPs": count_flops(model, input_size).gflops,
    }
    images = torch.zeros(batch_size, 3, *input_size, device=device).to(memory_format=torch.channels_last)
    seconds = []
    for _ in range(1 + REPEATS):  # the first warms up
        started = time.perf_counter()
        scores = model.predict(images).scores
        scores.sum().item()  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return {**values, "images/s": batch_size / min(seconds[1:])}
