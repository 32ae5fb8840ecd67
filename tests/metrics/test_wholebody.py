import json

import numpy as np
import pytest

from pctlib.data.coco import read_coco_wholebody
from pctlib.metrics.wholebody import FIELDS, PARTS, evaluate_wholebody, part_ap, part_errors
from pctlib.skeletons import COCO_WHOLEBODY


@pytest.fixture
def wholebody_set(coco_set):
    """Return a function that makes a whole-body file and results from a set of 133 keypoints."""

    def make(**options):
        content, results = coco_set(K=133, **options)
        for entry in content["annotations"] + results:
            start = 0
            flat = entry["keypoints"]
            for name, count in FIELDS.items():
                entry[name] = flat[3 * start : 3 * (start + count)]
                start += count
        return content, results

    return make


def test_the_parts_cover_the_skeleton():
    names = COCO_WHOLEBODY.keypoint_names
    assert sum(FIELDS.values()) == len(names) == 133
    assert names[PARTS["foot"]][0] == "left_big_toe"
    assert all(name.startswith("face") for name in names[PARTS["face"]])
    assert all(name.startswith("left") for name in names[PARTS["lefthand"]])
    assert all(name.startswith("right") for name in names[PARTS["righthand"]])


def as_coco(entries, part, *, truth):
    """Return people with the keypoints of one part, for plain pycocotools."""
    out = []
    for entry in entries:
        flat = [v for name in FIELDS for v in entry[name]]
        pose = np.array(flat).reshape(133, 3)[PARTS[part]]
        body = np.array(entry["keypoints"]).reshape(17, 3)
        if truth:
            extra = {"num_keypoints": int((pose[:, 2] > 0).sum())}
        elif not (pose[:, 2] > 0).any():
            continue
        else:  # the area of the body, given as a box
            extra = {"bbox": [0, 0, *np.ptp(body[:, :2], axis=0).tolist()]}
            extra["score"] = entry["score"] if part == "body" else entry.get(f"{part}_score", entry["score"])
        kept = {k: v for k, v in entry.items() if not k.endswith("_kpts")}
        out.append({**kept, **extra, "keypoints": pose.reshape(-1).tolist()})
    return out


def test_each_part_equals_plain_pycocotools(wholebody_set, plain_pycocotools, save, rng):
    content, results = wholebody_set(noise=1.5)
    for person in content["annotations"]:
        for name in list(FIELDS)[1:]:
            if rng.random() < 0.3:  # nothing labelled in this part
                person[name] = (np.array(person[name]) * 0).tolist()
    for result in results:
        for name in FIELDS:
            if rng.random() < 0.2:  # no confidence in this part
                result[name] = (np.reshape(result[name], (-1, 3)) * [1, 1, 0]).reshape(-1).tolist()
        for part in PARTS:
            if rng.random() < 0.5:
                result[f"{part}_score"] = float(rng.random())
    evaluation = evaluate_wholebody(save(content), results)
    assert list(evaluation.rows) == ["body", "foot", "face", "lefthand", "righthand", "wholebody"]
    for part, scores in evaluation.rows.items():
        coco = {**content, "annotations": as_coco(content["annotations"], part, truth=True)}
        sigmas = COCO_WHOLEBODY.sigmas[PARTS[part]]
        expected = plain_pycocotools(coco, as_coco(results, part, truth=False), sigmas)
        assert expected[0] > 0
        np.testing.assert_allclose(list(scores.values()), expected, atol=1e-12)


def test_left_out_parts_are_counted(wholebody_set, save):
    content, results = wholebody_set()
    people = content["annotations"]
    for person in people:
        person["face_kpts"] = [0] * 204
    results[0]["foot_kpts"] = [0] * 18
    counts = evaluate_wholebody(save(content), results).counts
    crowd = sum(person["iscrowd"] for person in people)
    assert counts["persons scored for face"] == 0
    assert counts["persons without face keypoints ignored"] == len(people) - crowd
    assert counts["results without foot keypoints left out"] == 1
    assert counts["results without body keypoints left out"] == 0


def test_a_part_score_that_is_no_number_is_named(wholebody_set, save):
    content, results = wholebody_set()
    results[3]["face_score"] = float("nan")
    with pytest.raises(ValueError, match=r"result \(index 3\): field 'face_score' must .* nan"):
        evaluate_wholebody(save(content), results)


def test_a_part_of_wrong_length_is_named(wholebody_set, save):
    content, results = wholebody_set()
    results[2]["lefthand_kpts"] = [0] * 60
    with pytest.raises(ValueError, match=r"result \(index 2\): field 'lefthand_kpts' needs 63 .* 60"):
        evaluate_wholebody(save(content), results)


@pytest.mark.parametrize("file", ["test_coco_wholebody.json", "test_keypoint_partition_metric.json"])
def test_real_truth_against_itself_is_one(shared, file):
    path = shared / "data/fixtures/coco" / file
    people = [a for a in json.loads(path.read_text())["annotations"] if a["num_keypoints"]]
    results = [{k: p[k] for k in ("image_id", *FIELDS) if k in p} | {"score": 1.0} for p in people]
    evaluation = evaluate_wholebody(path, results)
    assert [scores["AP"] for scores in evaluation.rows.values()] == pytest.approx([1] * 6)


def test_ap_of_arrays_is_that_of_files(wholebody_set, save, rng):
    content, _ = wholebody_set()
    for person in content["annotations"]:
        person["iscrowd"] = 0
        person["num_keypoints"] = max(1, person["num_keypoints"])
    content["annotations"][0]["foot_kpts"] = [0] * 18
    path = save(content)
    people = read_coco_wholebody(path)
    keypoints = people.keypoints_image + rng.normal(0, 1.5, people.keypoints_image.shape)
    scores = rng.random(len(people))
    results = [
        {"image_id": int(image), "score": score, "keypoints": np.c_[pose, np.ones(133)].reshape(-1).tolist()}
        for image, pose, score in zip(people.image_ids, keypoints, scores, strict=True)
    ]
    content["annotations"] = [p for p in content["annotations"] if p["id"] in people.annotation_ids]
    expected = {part: row["AP"] for part, row in evaluate_wholebody(save(content), results).rows.items()}
    found = part_ap(people, keypoints, scores)
    hand = found.pop("hand")
    assert found == pytest.approx(expected)
    assert 0 < found["body"] < 1
    assert hand == pytest.approx((found["lefthand"] + found["righthand"]) / 2)


def test_errors_of_parts_by_hand(make_people):
    visible = np.full((3, 133), 2)
    visible[:, PARTS["face"]] = 0
    visible[0, PARTS["lefthand"]] = 0
    people = make_people(3, COCO_WHOLEBODY, visible=visible, side=200.0)
    keypoints = people.keypoints_image.copy()
    keypoints[:, PARTS["foot"], 0] += 8  # 4 % of the longer side
    keypoints[:, PARTS["righthand"], 1] -= 12  # 6 %
    found = part_errors(people, keypoints)
    assert found["body"] == pytest.approx({"NME": 0, "PCK": 1}, abs=1e-6)
    assert found["foot"] == pytest.approx({"NME": 0.04, "PCK": 1}, abs=1e-6)
    assert found["hand"] == pytest.approx({"NME": 0.06 * 3 / 5, "PCK": 2 / 5}, abs=1e-6)
    assert np.isnan(list(found["face"].values())).all()
    assert part_errors(people, keypoints, threshold=0.07)["hand"]["PCK"] == 1
    all_of_them = 3 * (17 + 6) + 2 * 21 + 3 * 21
    assert found["wholebody"]["NME"] == pytest.approx((3 * 6 * 0.04 + 3 * 21 * 0.06) / all_of_them)


def test_other_skeletons_are_one_part(make_people):
    people = make_people(3)
    truth = people.keypoints_image
    assert part_ap(people, truth, np.ones(3)) == pytest.approx({"body": 1})
    assert list(part_errors(people, truth)) == ["body"]
    assert part_errors(people, truth[:, ::-1])["body"]["NME"] > 0
