"""One set of official weights on one benchmark, by its own protocol."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from pctlib.data.datasets import find_annotations, find_layout, read_dataset
from pctlib.data.detections import read_detections
from pctlib.data.people import People
from pctlib.inference.predict import coco_results, find_poses
from pctlib.io import read_json, write_atomic, write_json
from pctlib.metrics.coco import evaluate_coco, evaluate_ochuman
from pctlib.metrics.crowdpose import evaluate_crowdpose
from pctlib.metrics.mpii import evaluate_mpii
from pctlib.metrics.wholebody import evaluate_wholebody
from pctlib.paths import resolve
from pctlib.profiles.official import OfficialProfile, OfficialWeights
from pctlib.skeletons import COCO, COCO_WHOLEBODY, CROWDPOSE, MPII, Skeleton
from pctlib.study.methods import load_any
from pctlib.study.runs import Trained
from pctlib.workflow.pages import slug


class Benchmark(NamedTuple):
    """A benchmark: keypoints, split, protocol (annotation file, results) and the score it is known by."""

    skeleton: Skeleton
    split: str
    evaluate: Callable[[Path, Any], Any]
    score: str
    detected: bool = False


def _evaluate_mpii(annotations: Path, predictions: Path) -> Any:
    return evaluate_mpii(annotations, predictions, pixel_origin=0)


BENCHMARKS = {
    "coco": Benchmark(COCO, "val", evaluate_coco, "AP", detected=True),
    "coco-wholebody": Benchmark(COCO_WHOLEBODY, "val", evaluate_wholebody, "whole body AP", detected=True),
    "ochuman": Benchmark(COCO, "val", evaluate_ochuman, "AP"),
    "crowdpose": Benchmark(CROWDPOSE, "test", evaluate_crowdpose, "AP"),
    "mpii": Benchmark(MPII, "val", _evaluate_mpii, "PCKh@0.5 Mean"),
}

DETECTIONS = ("COCO_val2017_detections_AP_H_56_person.json",)
"""Boxes that the papers start from on COCO, in the data set's folder or its `person_detection_results`."""


class Measured(NamedTuple):
    """One row: weights, benchmark, where the boxes come from, people, score in per cent, and its command."""

    weights: str
    benchmark: str
    boxes: str
    people: int
    score: float
    command: str


def measure_all(
    section: OfficialProfile, folder: Path, *, device: torch.device, workers: int
) -> list[Measured]:
    """Measure all weights on all benchmarks that have their keypoints; results are kept in `folder`.

    What was predicted before, from the same file, is not predicted again.

    Raises:
        FileNotFoundError: if weights or data are missing.
        ValueError: if weights cannot be read, a benchmark is unknown, or no benchmark has their keypoints.
    """
    unknown = sorted(set(section.datasets) - set(BENCHMARKS))
    if unknown:
        raise ValueError(f"official.datasets: expected of {', '.join(BENCHMARKS)}, got {unknown[0]!r}")
    rows = []
    for name, weights in section.weights.items():
        trained = load_any(resolve(weights.file), dataset_index=weights.dataset_index)
        fitting = [known for known in section.datasets if _fits(trained, BENCHMARKS[known])]
        if not fitting:
            keypoints = "unknown keypoints" if trained.skeleton is None else trained.skeleton.name
            raise ValueError(f"official.weights: {name}: gives {keypoints}, as none of the data sets has")
        for benchmark in fitting:
            root = resolve(section.datasets[benchmark])
            options = {"device": device, "workers": workers, "batch_size": section.batch_size}
            rows.append(measure(name, weights, trained, benchmark, root, folder, **options))
    return rows


def _fits(trained: Trained, benchmark: Benchmark) -> bool:
    return (trained.skeleton or COCO).keypoint_names == benchmark.skeleton.keypoint_names


def measure(
    name: str,
    weights: OfficialWeights,
    trained: Trained,
    benchmark: str,
    root: Path,
    folder: Path,
    *,
    device: torch.device,
    workers: int,
    batch_size: int,
) -> Measured:
    """Return the score of weights on a benchmark, with flip test; see `measure_all`."""
    protocol = BENCHMARKS[benchmark]
    layout = find_layout(benchmark, protocol.split)
    annotations = find_annotations(layout, benchmark, root, protocol.split)
    people, boxes = _people(benchmark, root, annotations)
    file = folder / f"{slug(name)}-{benchmark}{'.h5' if benchmark == 'mpii' else '.json'}"
    state = {"weights": _state(resolve(weights.file)), "people": len(people), "boxes": str(boxes or "")}
    if not _is_done(file, state):
        found = find_poses(
            trained.model.to(device),
            people,
            input_size=trained.input_size,
            padding=trained.padding,
            udp=trained.udp,
            batch_size=batch_size,
            workers=workers,
        )
        _write(file, people, *found)
        write_json(_note(file), state)
    score = protocol.evaluate(annotations, file).metrics[protocol.score]
    images = next((root / images for images in layout.images if (root / images).is_dir()), root)
    command = f"python -m pctlib predict {weights.file} --annotations {annotations} --images {images}"
    command += "" if boxes is None else f" --detections {boxes}"
    command += "" if weights.dataset_index is None else f" --dataset-index {weights.dataset_index}"
    per_cent = score if benchmark == "mpii" else 100 * score
    return Measured(
        name, benchmark, "annotated" if boxes is None else "detected", len(people), per_cent, command
    )


def _people(benchmark: str, root: Path, annotations: Path) -> tuple[People, Path | None]:
    """Return the people whose boxes are predicted in, and the file of detections, if one is there."""
    protocol = BENCHMARKS[benchmark]
    places = [root / folder / name for name in DETECTIONS for folder in (".", "person_detection_results")]
    boxes = next((place for place in places if place.is_file()), None) if protocol.detected else None
    if boxes is None:
        return read_dataset(benchmark, root, protocol.split), None
    layout = find_layout(benchmark, protocol.split)
    images = next((root / images for images in layout.images if (root / images).is_dir()), None)
    return read_detections(boxes, annotations, images, skeleton=protocol.skeleton), boxes


def _write(file: Path, people: People, keypoints: np.ndarray, scores: np.ndarray) -> None:
    if file.suffix == ".json":
        write_json(file, coco_results(people, keypoints, scores)[0], indent=None)
        return

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w") as archive:
            archive["preds"] = keypoints

    write_atomic(file, write)


def _note(file: Path) -> Path:
    return file.with_name(f"{file.stem}-made-of.json")


def _state(weights: Path) -> list[float]:
    files = sorted(path for path in weights.rglob("*") if path.is_file()) if weights.is_dir() else [weights]
    return [value for file in files for value in (file.stat().st_size, file.stat().st_mtime)]


def _is_done(file: Path, state: dict[str, Any]) -> bool:
    return file.is_file() and _note(file).is_file() and read_json(_note(file)) == state
