import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pctlib.metrics.matching import (
    COCO_KEYS,
    Detections,
    GroundTruth,
    KeypointEvaluation,
    extent_areas,
    oks,
)

K = 5
SIGMAS = (0.05, 0.1, 0.025, 0.08, 0.03)
BOX = np.array([[10.0, 20.0, 40.0, 80.0]])


def one(keypoints, truth, visible, *, area=400.0, sigmas=SIGMAS):
    return oks(keypoints, truth, visible, areas=np.array([area]), boxes_xywh=BOX, sigmas=sigmas)


def test_oks_by_hand():
    truth = np.zeros((1, K, 2))
    keypoints = truth + np.array([3.0, 4.0])  # 5 px off
    visible = np.array([[2, 1, 0, 0, 0]])
    expected = (np.exp(-25 / (2 * 400 * 0.1**2)) + np.exp(-25 / (2 * 400 * 0.2**2))) / 2
    np.testing.assert_allclose(one(keypoints, truth, visible), [expected])


def test_person_without_labels_is_compared_with_its_box_doubled():
    visible = np.zeros((1, K), int)
    inside = np.tile([[[-30.0, -60.0]]], (1, K, 1))  # corner minus size: the border of the enlarged box
    np.testing.assert_allclose(one(inside, inside * 0, visible), [1.0])
    outside = inside - [6.0, 8.0]
    expected = np.exp(-100 / (2 * 400 * (2 * np.array(SIGMAS)) ** 2)).mean()
    np.testing.assert_allclose(one(outside, inside * 0, visible), [expected])


def test_unlabelled_keypoints_do_not_count(rng):
    truth, keypoints = rng.uniform(0, 50, (2, 1, K, 2))
    visible = np.array([[1, 2, 0, 1, 0]])
    before = one(keypoints, truth, visible)
    keypoints[0, [2, 4]] = 1e6
    np.testing.assert_array_equal(one(keypoints, truth, visible), before)


@given(st.floats(0.1, 50), st.floats(-500, 500))
def test_oks_does_not_change_with_scale_and_shift(scale, shift):
    rng = np.random.default_rng(3)
    truth, keypoints = rng.uniform(0, 50, (2, 1, K, 2))
    visible = np.full((1, K), 2)
    moved = one(keypoints * scale + shift, truth * scale + shift, visible, area=400.0 * scale**2)
    np.testing.assert_allclose(moved, one(keypoints, truth, visible), rtol=1e-6)


def test_oks_falls_with_smaller_sigmas_and_areas(rng):
    truth = rng.uniform(0, 50, (1, K, 2))
    visible = np.full((1, K), 2)
    base = one(truth + 1, truth, visible)
    assert one(truth + 1, truth, visible, area=200.0) < base
    assert one(truth + 1, truth, visible, sigmas=np.array(SIGMAS) / 2) < base


def test_oks_refuses_another_number_of_keypoints():
    with pytest.raises(ValueError, match=r"\[\.\.\., 5, 2\]"):
        one(np.zeros((1, 4, 2)), np.zeros((1, 4, 2)), np.ones((1, 4)))


def test_extent_area():
    keypoints = np.array([[[1.0, 2.0], [4.0, 10.0], [2.0, 3.0]]])
    np.testing.assert_allclose(extent_areas(keypoints), [24.0])


def arrays(content, results):
    people = content["annotations"]
    pose = np.array([a["keypoints"] for a in people]).reshape(len(people), -1, 3)
    crowd = np.array([a["iscrowd"] for a in people], dtype=bool)
    truth = GroundTruth(
        image_ids=np.array([i["id"] for i in content["images"]]),
        person_image_ids=np.array([a["image_id"] for a in people]),
        keypoints=pose[..., :2],
        visible=pose[..., 2],
        areas=np.array([a["area"] for a in people]),
        boxes_xywh=np.array([a["bbox"] for a in people]),
        crowd=crowd,
        ignored=crowd | ~(pose[..., 2] > 0).any(axis=1),
        annotation_ids=np.array([a["id"] for a in people]),
    )
    found = np.array([r["keypoints"] for r in results]).reshape(len(results), -1, 3)
    detections = Detections(
        image_ids=np.array([r["image_id"] for r in results]),
        keypoints=found[..., :2],
        confidences=found[..., 2],
        scores=np.array([r["score"] for r in results]),
        areas=extent_areas(found[..., :2]),
    )
    return truth, detections


@pytest.mark.parametrize("round_", range(6))
@pytest.mark.parametrize("noise", [0.0, 3.0, 8.0])
def test_equals_plain_pycocotools(coco_set, plain_pycocotools, rng, round_, noise):
    rng.bit_generator.advance(1000 * round_)
    content, results = coco_set(K=K, noise=noise)
    scores = KeypointEvaluation(*arrays(content, results), sigmas=SIGMAS).run()
    assert tuple(scores) == COCO_KEYS
    expected = plain_pycocotools(content, results, SIGMAS)
    assert expected[0] > 0
    np.testing.assert_allclose(list(scores.values()), expected, rtol=0, atol=1e-12)


def test_a_part_of_the_images_is_scored_alone(coco_set, plain_pycocotools):
    content, results = coco_set(K=K)
    part = np.array([11, 12, 15])
    evaluation = KeypointEvaluation(*arrays(content, results), sigmas=SIGMAS)
    for name in ("images", "annotations"):
        key = "id" if name == "images" else "image_id"
        content[name] = [item for item in content[name] if item[key] in part]
    results = [r for r in results if r["image_id"] in part]
    expected = plain_pycocotools(content, results, SIGMAS)
    np.testing.assert_allclose(list(evaluation.run(part).values()), expected, atol=1e-12)
    assert set(evaluation.run(np.array([], dtype=int)).values()) == {-1.0}


def test_annotation_with_id_zero_can_be_matched(coco_set):
    content, results = coco_set(K=K, noise=1.0)
    truth, detections = arrays(content, results)
    from_zero = dataclasses.replace(truth, annotation_ids=truth.annotation_ids - 1)
    run = [KeypointEvaluation(t, detections, sigmas=SIGMAS).run() for t in (truth, from_zero)]
    assert run[0] == run[1]


def test_no_detections_score_nothing(coco_set):
    truth, detections = arrays(*coco_set(K=K))
    none = Detections(*(getattr(detections, f.name)[:0] for f in dataclasses.fields(Detections)))
    scores = KeypointEvaluation(truth, none, sigmas=SIGMAS).run()
    assert scores["AP"] == scores["AR"] == 0


def test_prints_nothing(coco_set, capsys):
    KeypointEvaluation(*arrays(*coco_set(K=K)), sigmas=SIGMAS).run()
    assert capsys.readouterr().out == ""


def golden_arrays(recorded):
    i = {name: value.double().numpy() for name, value in recorded.inputs.items()}
    pose, crowd = i["coco/gt_keypoints"], i["coco/gt_iscrowd"] > 0
    images = i["coco/gt_image_id"].astype(int)
    truth = GroundTruth(
        image_ids=np.unique(images),
        person_image_ids=images,
        keypoints=pose[..., :2],
        visible=pose[..., 2],
        areas=i["coco/gt_area"],
        boxes_xywh=i["coco/gt_bbox_xywh"],
        crowd=crowd,
        ignored=crowd | ~(pose[..., 2] > 0).any(axis=1),
        annotation_ids=np.arange(len(pose)),
    )
    found = i["coco/dt_keypoints"]
    detections = Detections(
        image_ids=i["coco/dt_image_id"].astype(int),
        keypoints=found[..., :2],
        confidences=found[..., 2],
        scores=i["coco/dt_score"],
        areas=extent_areas(found[..., :2]),
    )
    return truth, detections


def test_golden_stats(golden):
    recorded = golden("metrics")
    scores = KeypointEvaluation(*golden_arrays(recorded), sigmas=recorded.config["sigmas"]).run()
    np.testing.assert_allclose(list(scores.values()), recorded.outputs["coco/stats"].numpy(), rtol=1e-6)


def test_golden_similarities(golden):
    recorded = golden("metrics")
    truth, detections = golden_arrays(recorded)
    for image, d, g, expected in recorded.outputs["coco/oks_image_dt_gt_value"].tolist():
        d = np.flatnonzero(detections.image_ids == image)[int(d)]
        g = np.flatnonzero(truth.person_image_ids == image)[int(g)]
        value = oks(
            detections.keypoints[d],
            truth.keypoints[g],
            truth.visible[g],
            areas=truth.areas[g],
            boxes_xywh=truth.boxes_xywh[g],
            sigmas=recorded.config["sigmas"],
        )
        assert value == pytest.approx(expected, abs=1e-6)
