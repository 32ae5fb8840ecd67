import json

import numpy as np
import pytest

from pctlib.metrics.coco import COCO_KEYS, coco_ap, evaluate_coco, evaluate_ochuman
from pctlib.skeletons import COCO, CROWDPOSE, MPII


def as_results(content):
    """Return the annotated persons as results."""
    return [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 0.9}
        for a in content["annotations"]
        if a["num_keypoints"] and not a.get("iscrowd")
    ]


def test_truth_against_itself_is_one(make_people):
    people = make_people()
    scores = coco_ap(people, people.keypoints_image, np.ones(len(people)))
    assert tuple(scores) == COCO_KEYS
    assert scores["AP"] == scores["AR"] == scores["APL"] == pytest.approx(1)
    assert scores["APM"] == -1  # no person of that size


def test_array_scores_equal_plain_pycocotools(make_people, plain_pycocotools, rng):
    visible = rng.integers(0, 3, (9, 17))
    visible[4] = 0
    people = make_people(9, visible=visible)
    keypoints = people.keypoints_image + rng.normal(0, 9, people.keypoints_image.shape)
    scores = rng.random(9)
    pairs = zip(people.image_ids, keypoints, people.visible, scores, strict=True)
    results = [
        {
            "image_id": int(image),
            "category_id": 1,
            "keypoints": np.c_[pose, np.ones(17)].reshape(-1).tolist(),
            "score": float(score),
        }
        for image, pose, _, score in pairs
    ]
    content = {
        "images": [{"id": int(image)} for image in np.unique(people.image_ids)],
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(people.image_ids[row]),
                "category_id": 1,
                "iscrowd": 0,
                "bbox": people.boxes_xywh[row].tolist(),
                "area": float(people.areas[row]),
                "num_keypoints": int((people.visible[row] > 0).sum()),
                "keypoints": np.c_[people.keypoints_image[row], people.visible[row]].reshape(-1).tolist(),
            }
            for row in range(9)
        ],
    }
    expected = plain_pycocotools(content, results, COCO.sigmas)
    assert 0 < expected[0] < 1
    np.testing.assert_allclose(list(coco_ap(people, keypoints, scores).values()), expected, atol=1e-6)


def test_keypoint_scores_are_averaged_above_the_threshold(make_people, rng):
    people = make_people()
    keypoints = people.keypoints_image + rng.normal(0, 12, people.keypoints_image.shape)
    each = rng.uniform(0, 1, (6, 17))
    mean = np.where(each > 0.2, each, 0).sum(1) / (each > 0.2).sum(1)
    assert coco_ap(people, keypoints, each) == coco_ap(people, keypoints, mean)


def test_sigmas_are_those_of_the_skeleton(make_people, rng):
    people = make_people(skeleton=CROWDPOSE)
    noise = rng.normal(0, 8, people.keypoints_image.shape)
    assert 0 < coco_ap(people, people.keypoints_image + noise, np.ones(6))["AP"] < 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda k, s: (k[:, :16], s), r"expected keypoints_image \[6, 17, 2\].*\(6, 16, 2\)"),
        (lambda k, s: (k, s[:5]), r"scores \[6\] or \[6, 17\].*\(5,\)"),
        (lambda k, s: (np.where(np.arange(6)[:, None, None] == 2, np.nan, k), s), "keypoints_image: row 2"),
        (lambda k, s: (k, np.where(np.arange(6) == 3, np.nan, s)), "scores: row 3"),
    ],
)
def test_bad_arrays_are_named(make_people, change, match):
    people = make_people()
    with pytest.raises(ValueError, match=match):
        coco_ap(people, *change(people.keypoints_image, np.ones(6)))


def test_skeleton_without_sigmas_is_refused(make_people):
    people = make_people(skeleton=MPII)
    with pytest.raises(ValueError, match="mpii has no OKS sigmas"):
        coco_ap(people, people.keypoints_image, np.ones(6))


def test_files_equal_plain_pycocotools(coco_set, plain_pycocotools, save):
    content, results = coco_set(noise=8.0)
    evaluation = evaluate_coco(save(content), save(results, "results.json"))
    expected = plain_pycocotools(content, results, COCO.sigmas)
    np.testing.assert_allclose(list(evaluation.metrics.values()), expected, atol=1e-12)


def test_boxes_in_results_give_their_area(coco_set, plain_pycocotools, save):
    content, results = coco_set(noise=5.0, images=20)
    boxed = [{**r, "bbox": [0, 0, 40 + 10 * (i % 8), 50]} for i, r in enumerate(results)]
    expected = plain_pycocotools(content, boxed, COCO.sigmas)
    assert not np.allclose(expected, plain_pycocotools(content, results, COCO.sigmas))
    np.testing.assert_allclose(list(evaluate_coco(save(content), boxed).metrics.values()), expected)


def test_what_does_not_count_is_counted(coco_set, save):
    content, results = coco_set()
    counts = evaluate_coco(save(content), results).counts
    people = content["annotations"]
    crowd = sum(a["iscrowd"] for a in people)
    empty = sum(a["num_keypoints"] == 0 and not a["iscrowd"] for a in people)
    assert counts["crowd regions ignored"] == crowd
    assert counts["persons without keypoints ignored"] == empty
    assert counts["annotated persons scored"] == len(people) - crowd - empty
    assert counts["results"] == len(results)
    first = sum(r["image_id"] == 10 for r in results)
    assert counts["results beyond the best 20 of their image left out"] == first - 20
    assert counts["images without a result"] == 8 - len({r["image_id"] for r in results})


def test_the_skeleton_gives_the_number_of_keypoints(coco_set, save):
    content, results = coco_set(K=14)
    with pytest.raises(ValueError, match="field 'keypoints' needs 51 numbers, got 42"):
        evaluate_coco(save(content), results)
    assert evaluate_coco(save(content), results, skeleton=CROWDPOSE, protocol="mine").protocol == "mine"


def test_ochuman_is_scored_as_coco(coco_set, save):
    content, results = coco_set()
    path = save(content)
    evaluation = evaluate_ochuman(path, results)
    assert evaluation.metrics == evaluate_coco(path, results).metrics
    assert evaluation.protocol == "OCHuman keypoints"


@pytest.mark.parametrize(
    "file",
    [
        "coco-mini/annotations/person_keypoints_train2017.json",
        "coco-mini/annotations/person_keypoints_val2017.json",
        "coco-poses/person_keypoints_trainsplit.json",
        "fixtures/coco/test_coco.json",
    ],
)
def test_real_truth_against_itself_is_one(shared, file):
    path = shared / "data" / file
    evaluation = evaluate_coco(path, as_results(json.loads(path.read_text())))
    assert all(value in (-1, pytest.approx(1, abs=1e-3)) for value in evaluation.metrics.values())
    assert evaluation.metrics["AP"] == pytest.approx(1, abs=5e-4)


def test_real_ochuman_truth_against_itself_is_one(shared):
    path = shared / "data/fixtures/ochuman/test_ochuman.json"
    assert evaluate_ochuman(path, as_results(json.loads(path.read_text()))).metrics["AP"] == pytest.approx(1)


def test_real_files_equal_plain_pycocotools(shared, plain_pycocotools, rng):
    path = shared / "data/coco-poses/person_keypoints_trainsplit.json"
    content = json.loads(path.read_text())
    results = as_results(content)
    for result in results:
        pose = np.reshape(result["keypoints"], (17, 3)).astype(float)
        pose[:, :2] += rng.normal(0, 6, (17, 2))
        result |= {"keypoints": pose.reshape(-1).tolist(), "score": float(rng.random())}
    expected = plain_pycocotools(content, results, COCO.sigmas)
    np.testing.assert_allclose(list(evaluate_coco(path, results).metrics.values()), expected, atol=1e-12)


def test_people_are_not_changed(make_people):
    people = make_people()
    before = people.keypoints_image.copy()
    coco_ap(people, people.keypoints_image + 3, np.ones(6))
    np.testing.assert_array_equal(people.keypoints_image, before)
