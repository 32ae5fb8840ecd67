import json

import numpy as np
import pytest

from pctlib.metrics.crowdpose import evaluate_crowdpose
from pctlib.skeletons import CROWDPOSE


@pytest.fixture
def crowd_set(coco_set, rng):
    """Return a CrowdPose-like file, results for it, and the same file with areas for plain pycocotools."""
    content, results = coco_set(K=14, images=24, noise=7.0)
    for image in content["images"]:
        image["crowdIndex"] = float(rng.choice([0.05, 0.1, 0.15, 0.2, 0.5, 0.8, 0.9]))
    with_areas = json.loads(json.dumps(content))
    for person, plain in zip(content["annotations"], with_areas["annotations"], strict=True):
        del person["area"]
        plain["area"] = person["bbox"][2] * person["bbox"][3] * 0.53
    return content, results, with_areas


NAMES = ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP easy", "AP medium", "AP hard"]


@pytest.mark.parametrize("boundaries", [None, (0.1, 0.8)])
def test_equals_plain_pycocotools_with_box_areas(crowd_set, plain_pycocotools, save, boundaries):
    content, results, with_areas = crowd_set
    options = {} if boundaries is None else {"boundaries": boundaries}
    evaluation = evaluate_crowdpose(save(content), results, **options)
    scores = plain_pycocotools(with_areas, results, CROWDPOSE.sigmas)
    expected = [*scores[:3], *scores[5:8]]
    first, second = boundaries or (0.2, 0.8)
    for low, high in [(-1, first), (first, second), (second, 2)]:
        images = [i for i in with_areas["images"] if low <= i["crowdIndex"] < high]
        ids = {i["id"] for i in images}
        people = [a for a in with_areas["annotations"] if a["image_id"] in ids]
        part = {**with_areas, "images": images, "annotations": people}
        found = [r for r in results if r["image_id"] in ids]
        expected.append(plain_pycocotools(part, found, CROWDPOSE.sigmas)[0])
    assert list(evaluation.metrics) == NAMES
    assert expected[0] > 0
    np.testing.assert_allclose(list(evaluation.metrics.values()), expected, atol=1e-12)


def test_images_of_each_level_are_counted(crowd_set, save):
    content, results, _ = crowd_set
    counts = evaluate_crowdpose(save(content), results).counts
    assert counts["easy images"] == sum(i["crowdIndex"] < 0.2 for i in content["images"])
    assert counts["hard images"] == sum(i["crowdIndex"] >= 0.8 for i in content["images"])
    assert sum(counts[f"{level} images"] for level in ("easy", "medium", "hard")) == 24


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, r"crowdIndex must be in 0\.\.1, got 1.5"),
        (None, "field 'crowdIndex' must be a finite number, got None"),
    ],
)
def test_a_wrong_crowd_index_is_named(crowd_set, save, value, message):
    content, results, _ = crowd_set
    content["images"][4]["crowdIndex"] = value
    with pytest.raises(ValueError, match=r"image 14 \(index 4\): " + message):
        evaluate_crowdpose(save(content), results)
    del content["images"][4]["crowdIndex"]
    with pytest.raises(ValueError, match=r"image 14 \(index 4\): field 'crowdIndex' is missing"):
        evaluate_crowdpose(save(content), results)


def test_falling_boundaries_are_refused(crowd_set, save):
    content, results, _ = crowd_set
    with pytest.raises(ValueError, match="two rising numbers"):
        evaluate_crowdpose(save(content), results, boundaries=(0.8, 0.1))


def test_coco_results_are_refused(crowd_set, save):
    content, results, _ = crowd_set
    results[0]["keypoints"] = [0.0] * 51
    with pytest.raises(ValueError, match=r"result \(index 0\): field 'keypoints' needs 42 numbers, got 51"):
        evaluate_crowdpose(save(content), results)


def test_real_truth_against_itself_is_one(shared):
    path = shared / "data/fixtures/crowdpose/test_crowdpose.json"
    people = [a for a in json.loads(path.read_text())["annotations"] if a["num_keypoints"]]
    results = [{"image_id": p["image_id"], "keypoints": p["keypoints"], "score": 1.0} for p in people]
    assert evaluate_crowdpose(path, results).metrics["AP"] == pytest.approx(1)
