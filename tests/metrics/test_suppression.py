import numpy as np
import pytest

from pctlib.metrics.suppression import pose_similarity, rescore, suppress_duplicates, top_down_results

SIGMAS = (0.05, 0.1, 0.03)


def test_rescore_by_hand():
    scores = rescore(np.array([0.5, 1.0, 0.8]), np.array([[0.9, 0.1, 0.3], [0.2, 0.2, 0.1], [0.4, 0.6, 1.1]]))
    np.testing.assert_allclose(scores, [0.5 * 0.6, 0.0, 0.8 * 0.7])
    other = rescore(np.array([1.0]), np.array([[0.9, 0.1, 0.3]]), threshold=0.5)
    np.testing.assert_allclose(other, [0.9])


def test_similarity_uses_the_mean_area_and_keypoints_confident_in_both():
    pose = np.array([[0.0, 0.0, 0.9], [0.0, 0.0, 0.1], [0.0, 0.0, 0.9]])
    other = np.array([[[3.0, 4.0, 0.9], [3.0, 4.0, 0.9], [3.0, 4.0, 0.1]]])
    terms = np.exp(-25 / (2 * 500 * (2 * np.array(SIGMAS)) ** 2))
    areas = {"area": 400.0, "other_areas": np.array([600.0])}
    np.testing.assert_allclose(pose_similarity(pose, other, sigmas=SIGMAS, **areas), [terms.mean()])
    confident = pose_similarity(pose, other, sigmas=SIGMAS, min_confidence=0.2, **areas)
    np.testing.assert_allclose(confident, [terms[0]])
    assert pose_similarity(pose, other, sigmas=SIGMAS, min_confidence=0.95, **areas) == 0


def test_duplicates_go_and_the_best_stays(rng):
    poses = np.concatenate([rng.uniform(0, 500, (3, 3, 2)), np.ones((3, 3, 1))], axis=-1)
    poses = poses[[0, 1, 2, 1, 0]]
    poses[3, :, 0] += 0.1
    scores, areas = np.array([0.1, 0.5, 0.4, 0.9, 0.3]), np.full(5, 1e4)
    kept = suppress_duplicates(poses, scores, areas=areas, sigmas=SIGMAS)
    assert kept.tolist() == [3, 2, 4]
    every = suppress_duplicates(poses, scores, areas=areas, sigmas=SIGMAS, threshold=1.0)
    assert sorted(every.tolist()) == [0, 1, 2, 3, 4]


def test_nothing_to_suppress():
    kept = suppress_duplicates(np.zeros((0, 3, 3)), np.zeros(0), areas=np.zeros(0), sigmas=SIGMAS)
    assert kept.shape == (0,)


def test_top_down_results(rng):
    N = 30
    image_ids = np.array([7] * 4 + [3] * 26)
    poses = rng.uniform(0, 500, (N, 3, 2))
    poses[1] = poses[0]
    arguments = {
        "keypoint_scores": rng.uniform(0.3, 1, (N, 3)),
        "box_scores": rng.uniform(0.1, 1, N),
        "areas": np.full(N, 50.0),
        "sigmas": SIGMAS,
    }
    results, counts = top_down_results(image_ids, poses, **arguments)
    assert list(counts.values()) == [1, 6]
    assert [sum(r["image_id"] == image for r in results) for image in (3, 7)] == [20, 3]
    best = results[0]
    row = int(
        np.argmax(np.where(image_ids == 3, rescore(arguments["box_scores"], arguments["keypoint_scores"]), 0))
    )
    np.testing.assert_allclose(np.reshape(best["keypoints"], (3, 3))[:, :2], poses[row])
    np.testing.assert_allclose(np.reshape(best["keypoints"], (3, 3))[:, 2], arguments["keypoint_scores"][row])
    assert best["score"] == pytest.approx(
        arguments["box_scores"][row] * arguments["keypoint_scores"][row].mean()
    )
    few, counts = top_down_results(image_ids, poses, **arguments, max_per_image=2, nms_threshold=1.0)
    assert len(few) == 4
    assert list(counts.values()) == [0, 26]
    strict, _ = top_down_results(image_ids, poses, **arguments, confidence_threshold=2.0)
    assert {r["score"] for r in strict} == {0.0}


@pytest.mark.parametrize(("name", "confidence"), [("oks", None), ("oks_vis_thr_0.2", 0.2)])
def test_golden_similarity(golden, name, confidence):
    recorded = golden("metrics")
    i = {key: value.double().numpy() for key, value in recorded.inputs.items()}
    value = pose_similarity(
        i["nms/g"].reshape(17, 3),
        i["nms/d"].reshape(-1, 17, 3),
        area=float(i["nms/area_g"]),
        other_areas=i["nms/area_d"],
        sigmas=recorded.config["sigmas"],
        min_confidence=confidence,
    )
    np.testing.assert_allclose(value, recorded.outputs[f"nms/{name}"].numpy(), atol=1e-7)


@pytest.mark.parametrize("threshold", [0.9, 0.5])
def test_golden_suppression(golden, threshold):
    recorded = golden("metrics")
    i = {key: value.double().numpy() for key, value in recorded.inputs.items()}
    kept = suppress_duplicates(
        i["nms/set_keypoints"],
        i["nms/set_score"],
        areas=i["nms/set_area"],
        sigmas=recorded.config["sigmas"],
        threshold=threshold,
    )
    assert kept.tolist() == recorded.outputs[f"nms/keep_thr_{threshold}"].tolist()
