"""People and COCO files made for the tests of the metrics."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import coco
from pycocotools.cocoeval import COCOeval

from pctlib.data.people import People
from pctlib.skeletons import COCO


@pytest.fixture
def make_people(rng):
    """Return a function that makes N people of a skeleton in a few images, all labelled unless told."""

    def make(N=6, skeleton=COCO, *, visible=None, images=3, side=200.0):
        K = skeleton.num_keypoints
        corner = rng.uniform(0, 300, (N, 1, 2))
        keypoints = corner + rng.uniform(0, side, (N, K, 2))
        return People(
            skeleton=skeleton,
            image_files=[Path()] * N,
            image_ids=np.arange(N) % images + 1,
            annotation_ids=np.arange(N),
            boxes_xywh=np.concatenate([corner[:, 0], np.full((N, 2), [side, side / 2])], axis=1),
            areas=np.full(N, side**2 / 3),
            keypoints_image=keypoints,
            visible=np.full((N, K), 2) if visible is None else visible,
            image_sizes=np.full((N, 2), 512),
        )

    return make


@pytest.fixture
def coco_set(rng):
    """Return a function that makes a COCO dictionary and results near its persons, special cases too."""

    def make(images=8, K=17, noise=6.0, repeats=2):
        annotations, results = [], []
        for image_id in range(10, 10 + images):
            for _ in range(rng.integers(0, 4)):
                visible = rng.integers(0, 3, K) * (rng.random() > 0.15)
                x0, y0 = rng.uniform(0, 200, 2)
                side = rng.choice([20.0, 60.0, 150.0])
                xy = np.stack([x0 + rng.uniform(0, side, K), y0 + rng.uniform(0, side, K)], axis=1)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": 1,
                        "iscrowd": int(rng.random() < 0.1),
                        "bbox": [x0, y0, side, side],
                        "area": 0.6 * side**2,
                        "num_keypoints": int((visible > 0).sum()),
                        "keypoints": triplets(xy, visible),
                    }
                )
                for _ in range(repeats):
                    guess = xy + rng.normal(0, noise * side / 100, (K, 2))
                    score = float(rng.integers(0, 8) / 8)  # with ties
                    results.append(entry(image_id, guess, score))
        for _ in range(25):  # more than COCO looks at, in the first image
            results.append(entry(10, rng.uniform(0, 300, (K, 2)), float(rng.random())))
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(10, 10 + images)],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        return content, results

    return make


def triplets(xy, third):
    """Return x, y and a third number of each keypoint in one list."""
    return [float(v) for v in np.concatenate([xy, np.asarray(third)[:, None]], axis=1).reshape(-1)]


def entry(image_id, xy, score, **more):
    """Return one entry of a results file."""
    confidences = np.full(len(xy), 0.7)
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": triplets(xy, confidences),
        "score": score,
        **more,
    }


@pytest.fixture
def plain_pycocotools(tmp_path):
    """Return a function that gives the ten numbers of an unchanged pycocotools."""

    def evaluate(content, results, sigmas):
        path = tmp_path / "plain.json"
        path.write_text(json.dumps(content))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco.COCO(str(path))
            evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), "keypoints")
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation.stats

    return evaluate


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a value as JSON and returns its path."""

    def write(value, name="annotations.json"):
        path = tmp_path / name
        path.write_text(json.dumps(value))
        return path

    return write
