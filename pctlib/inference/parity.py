"""Proof that an exported file computes what the network computes, and how fast each form is."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pctlib.inference.network import PoseNetwork
from pctlib.inference.predictor import Predictor
from pctlib.inference.sources import find_sources

_NOISE = 1 / 16  # grey levels: less than what a picture's 8 bits leave open
_DRAWS = 3


@dataclass(frozen=True)
class Parity:
    """How far two forms of a network differ.

    Attributes:
        largest: largest distance of two keypoints, pixels of the input, without the undecided ones.
        score: largest difference of two scores.
        keypoints: how many were compared.
        undecided: keypoints that the network itself does not decide: they move by more than the limit, or
            change their cell or bin, when single pixels change by one grey level; left out of `largest`.
    """

    largest: float
    score: float
    keypoints: int
    undecided: int


def crops_to_compare(network: PoseNetwork, folder: str | Path | None = None) -> dict[str, np.ndarray]:
    """Return what forms of a network are compared on, uint8 [B, H, W, 3] by kind.

    Args:
        network: says how large crops are.
        folder: with photographs, of which 16 are taken whole; None: random crops alone.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no pictures, or one cannot be read; names it.
    """
    noise = np.random.default_rng(0).integers(0, 256, (8, *network.input_size, 3), dtype=np.uint8)
    if folder is None:
        return {"random crops": noise}
    pictures = [source for source in find_sources([folder]) if not source.is_video][:16]
    if not pictures:
        raise ValueError(f"{folder}: no pictures to compare on")
    cuts = [Predictor(network).cut(each.file, whole_image=True) for each in pictures]
    return {"random crops": noise, "photographs": np.stack([cut.crops[0] for cut in cuts])}


def compare(
    reference: PoseNetwork, other: PoseNetwork, crops: np.ndarray, *, limit: float, seed: int = 0
) -> Parity:
    """Compare two forms of one network on crops.

    Where they differ by more than the limit, the reference is asked again with a few pixels changed by one
    grey level: a keypoint that then moves by more than the limit too lies between two equal maxima, or on a
    map without a peak, and no arithmetic decides it.

    Args:
        reference: the network.
        other: its other form.
        crops: uint8 [B, H, W, 3].
        limit: pixels of the input.
        seed: of the changed pixels.
    """
    (keypoints, scores), (found, found_scores) = reference.find(crops), other.find(crops)
    distances = np.linalg.norm(keypoints - found, axis=2)  # [B, K]
    distances = np.where(np.isfinite(distances), distances, np.inf)
    beyond = distances > limit
    undecided = np.zeros_like(beyond)
    rng = np.random.default_rng(seed)
    for _ in range(_DRAWS if beyond.any() else 0):
        moved = np.linalg.norm(reference.find(_shaken(crops, rng))[0] - keypoints, axis=2)
        undecided |= beyond & (moved > limit)
    return Parity(
        largest=float(np.where(undecided, 0.0, distances).max(initial=0.0)),
        score=float(np.abs(scores - found_scores).max(initial=0.0)),
        keypoints=distances.size,
        undecided=int(undecided.sum()),
    )


def _shaken(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the crops with one value in some thousands changed by one grey level."""
    step = rng.choice([-1, 0, 1], size=crops.shape, p=[_NOISE / 256, 1 - _NOISE / 128, _NOISE / 256])
    return np.clip(crops + step, 0, 255).astype(np.uint8)


def milliseconds(
    networks: Mapping[str, PoseNetwork], batches: Sequence[int], *, seconds: float = 2.0, seed: int = 0
) -> dict[str, dict[int, float]]:
    """Return the median time a crop of each form of a network, the forms in turns.

    Args:
        networks: name -> form.
        batches: numbers of crops of a batch.
        seconds: spent on each form and batch, about.
        seed: of the random crops.

    Returns:
        name -> batch -> milliseconds a crop.
    """
    rng, times = np.random.default_rng(seed), {name: {} for name in networks}
    for batch in batches:
        runs: dict[str, list[float]] = {name: [] for name in networks}
        size = next(iter(networks.values())).input_size
        crops = rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
        first = {name: _timed(network.find, crops) for name, network in networks.items()}  # warms up
        again = {name: _timed(network.find, crops) for name, network in networks.items()}
        slowest = max(min(first[name], again[name]) for name in networks)
        for _ in range(int(np.clip(seconds / slowest, 3, 50))):
            for name, network in networks.items():
                runs[name].append(_timed(network.find, crops))
        for name, values in runs.items():
            times[name][batch] = 1000 * statistics.median(values) / batch
    return times


def _timed(find: Callable[[np.ndarray], object], crops: np.ndarray) -> float:
    start = time.perf_counter()
    find(crops)
    return time.perf_counter() - start
