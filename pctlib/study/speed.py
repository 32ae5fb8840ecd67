"""What a pose estimator costs: parameters, multiply-adds, and its speed on this machine."""

import statistics
import time
from collections.abc import Mapping, Sequence

import torch

from pctlib.complexity import count_flops, count_parameters
from pctlib.models.estimator import PoseEstimator

REPEATS = 5
_LEAST_SECONDS = 3.0


def costs(
    models: Mapping[str, tuple[PoseEstimator, tuple[int, int]]],
    *,
    batch_size: int = 16,
    device: str | torch.device = "cpu",
) -> dict[str, dict[str, float]]:
    """Return "parameters (M)", "GFLOPs" (multiply-adds of one image) and "images/s" by model.

    Args:
        models: name -> model and (height, width) of its images, pixels.
        batch_size: images of a batch, for the speed.
        device: where the speed is measured, as `speeds` does.
    """
    rates = speeds(models, batch_sizes=[batch_size], least_seconds=_LEAST_SECONDS, device=device)
    return {
        name: {
            "parameters (M)": count_parameters(model) / 1e6,
            "GFLOPs": count_flops(model, size).gflops,
            "images/s": rates[name][batch_size],
        }
        for name, (model, size) in models.items()
    }


def speeds(
    models: Mapping[str, tuple[PoseEstimator, tuple[int, int]]],
    *,
    batch_sizes: Sequence[int] = (1, 32),
    rounds: int = REPEATS,
    least_seconds: float = 0.0,
    device: str | torch.device = "cpu",
) -> dict[str, dict[int, float]]:
    """Return images/s of `predict` by model and batch size, decoding included, without flip test.

    All take turns, so that what else the machine does falls on all alike; each number is the median of the
    rounds. It is this machine's at this moment.

    Args:
        models: name -> model and (height, width) of its images, pixels.
        batch_sizes: images of a batch.
        rounds: timed, after one that warms up.
        least_seconds: further rounds until they have taken this long, for networks so fast that a moment's
            disturbance would decide.
        device: where the speed is measured.
    """
    runs = []
    for name, (model, size) in models.items():
        model.to(device).eval()
        for batch in batch_sizes:
            images = torch.zeros(batch, 3, *size, device=device).to(memory_format=torch.channels_last)
            runs.append((name, batch, model, images))
    seconds: dict[tuple[str, int], list[float]] = {(name, batch): [] for name, batch, *_ in runs}
    started, done = time.perf_counter(), 0
    while done < 1 + rounds or time.perf_counter() - started < least_seconds:
        for name, batch, model, images in runs:
            seconds[name, batch].append(_seconds(model, images))
        done += 1
    found: dict[str, dict[int, float]] = {name: {} for name in models}
    for (name, batch), values in seconds.items():
        found[name][batch] = batch / statistics.median(values[1:])
    return found


def _seconds(model: PoseEstimator, images: torch.Tensor) -> float:
    started = time.perf_counter()
    model.predict(images).scores.sum().item()  # waits for a GPU
    return time.perf_counter() - started
