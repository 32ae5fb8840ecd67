"""Evaluation of COCO-size predictions beside plain pycocotools, on files made to size."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import Row, cpu_seconds, peak_mb
from pctlib.data.coco import read_coco
from pctlib.metrics.coco import coco_ap, evaluate_coco
from pctlib.skeletons import COCO

IMAGES, PEOPLE = 6000, 11000
_NOTE = "plain pycocotools 2 on the same files"
_PERSON = {"id": 1, "name": "person", "keypoints": list(COCO.keypoint_names)}
_OURS = """
from pctlib.metrics.coco import evaluate_coco
# measured
evaluate_coco({truth!r}, {found!r})
"""
_PLAIN = """
import contextlib, io
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
# measured
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO({truth!r})
    evaluation = COCOeval(truth, truth.loadRes({found!r}), "keypoints")
    evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
"""


def benchmark(images: int = IMAGES, people: int = PEOPLE) -> list[Row]:
    """Return the rows of the metrics: evaluation from files and from arrays."""
    with tempfile.TemporaryDirectory() as folder:
        truth, found = make_files(Path(folder), images, people)
        paths = {"truth": str(truth), "found": str(found)}
        ours, plain = evaluate_coco(truth, found).metrics, _plain(truth, found)
        if not np.allclose(list(ours.values()), plain, atol=1e-9):
            raise ValueError(f"evaluate_coco gives {ours}, pycocotools {plain}")
        reference = cpu_seconds(lambda: _plain(truth, found), repeats=2)
        size = f"{images} images, {people} people"
        files = Row(
            f"COCO AP from files, {size}",
            cpu_seconds(lambda: evaluate_coco(truth, found)),
            reference,
            peak_mb(_OURS.format(**paths)),
            peak_mb(_PLAIN.format(**paths)),
            _NOTE,
        )
        listed = [entry["keypoints"] for entry in json.loads(found.read_text())]
        poses = np.array(listed).reshape(people, -1, 3)  # results and persons stand in the same order
        arrays = (read_coco(truth, folder), poses[..., :2], poses[..., 2])
        in_memory = Row(
            f"COCO AP from arrays, {size}",
            cpu_seconds(lambda: coco_ap(*arrays)),
            reference,
            note=f"{_NOTE}, reading included",
        )
    return [files, in_memory]


def make_files(folder: Path, images: int, people: int) -> tuple[Path, Path]:
    """Write annotations and one result a person, a few pixels off, as COCO files."""
    rng = np.random.default_rng(0)
    K = COCO.num_keypoints
    annotations, results = [], []
    for person in range(people):
        side = float(np.exp(rng.uniform(np.log(30), np.log(400))))
        corner = rng.uniform(0, 300, 2)
        xy = (corner + rng.uniform(0, side, (K, 2))).round(2)
        visible = rng.choice(3, K, p=[0.3, 0.1, 0.6])
        guess = xy + rng.normal(0, 0.03 * side, (K, 2))
        place = {"image_id": int(rng.integers(images)) + 1, "category_id": 1}
        shape = {"bbox": [*corner.round(2).tolist(), side, side], "area": 0.6 * side**2, "iscrowd": 0}
        count = {"id": person + 1, "num_keypoints": int((visible > 0).sum())}
        annotations.append({**place, **shape, **count, "keypoints": _triplets(xy, visible)})
        found = _triplets(guess, rng.random(K).round(3))
        results.append({**place, "score": float(rng.random()), "keypoints": found})
    listed = [
        {"id": i + 1, "file_name": f"{i + 1:012}.jpg", "height": 720, "width": 720} for i in range(images)
    ]
    content = {"images": listed, "annotations": annotations, "categories": [_PERSON]}
    paths = folder / "truth.json", folder / "results.json"
    for path, value in zip(paths, (content, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def _triplets(xy: np.ndarray, third: np.ndarray) -> list[float]:
    return np.concatenate([xy, third[:, None]], axis=1).reshape(-1).tolist()


def _plain(truth: Path, found: Path) -> np.ndarray:
    """Return the ten numbers of pycocotools as it comes."""
    from pycocotools import coco
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        annotated = coco.COCO(str(truth))
        evaluation = COCOeval(annotated, annotated.loadRes(str(found)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats
