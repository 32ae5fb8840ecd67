import copy

import numpy as np
import pytest

from pctlib.metrics.results import (
    count_inputs,
    detections,
    ground_truth,
    read_annotations,
    read_results,
)

FIELDS = {"keypoints": 2}
PARTS = {"keypoints": 2, "foot_kpts": 1}


def content():
    """Return a small annotation file of two-keypoint people."""
    person = {"category_id": 1, "iscrowd": 0, "bbox": [1, 2, 10, 20], "area": 90.0, "num_keypoints": 2}
    return {
        "images": [{"id": 5}, {"id": 6}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {**person, "id": 70, "image_id": 6, "keypoints": [1, 2, 2, 3, 4, 1]},
            {**person, "id": 71, "image_id": 6, "keypoints": [0, 0, 0, 0, 0, 0], "num_keypoints": 0},
            {**person, "id": 72, "image_id": 5, "keypoints": [0, 0, 0, 8, 9, 2], "iscrowd": 1},
        ],
    }


def results():
    pose = {"category_id": 1, "image_id": 6}
    return [
        {**pose, "keypoints": [1, 2, 0.5, 4, 6, 0.7], "score": 0.9},
        {**pose, "keypoints": [0, 0, 0.1, 1, 1, 0.2], "score": 0.3},
    ]


def test_annotations_become_arrays(save):
    truth = ground_truth(read_annotations(save(content())), fields=FIELDS)
    assert truth.image_ids.tolist() == [5, 6]
    assert truth.person_image_ids.tolist() == [6, 6, 5]
    assert truth.annotation_ids.tolist() == [70, 71, 72]
    np.testing.assert_array_equal(truth.keypoints[0], [[1, 2], [3, 4]])
    assert truth.visible[0].tolist() == [2, 1]
    assert truth.areas.tolist() == [90, 90, 90]
    assert truth.crowd.tolist() == [False, False, True]
    assert truth.ignored.tolist() == [False, True, True]
    boxes = ground_truth(read_annotations(save(content())), fields=FIELDS, box_fill=0.5)
    assert boxes.areas.tolist() == [100, 100, 100]


def test_people_without_a_count_are_ignored_if_nothing_is_labelled(save):
    data = content()
    for person in data["annotations"]:
        del person["num_keypoints"]
    assert ground_truth(read_annotations(save(data)), fields=FIELDS).ignored.tolist() == [False, True, True]


def test_results_become_arrays(save):
    file = read_annotations(save(content()))
    found, entries = detections(save(results(), "r.json"), file, fields=FIELDS)
    assert entries == results()
    assert found.image_ids.tolist() == [6, 6]
    assert found.confidences.tolist() == [[0.5, 0.7], [0.1, 0.2]]
    assert found.scores.tolist() == [0.9, 0.3]
    assert found.areas.tolist() == [12, 1]  # of the keypoints
    boxed = [{**r, "bbox": [0, 0, 5, 7]} for r in results()]
    assert detections(boxed, file, fields=FIELDS)[0].areas.tolist() == [35, 35]
    counts = count_inputs(ground_truth(file, fields=FIELDS), found)
    assert list(counts.values()) == [2, 1, 1, 1, 1, 2, 0]


def test_keypoints_in_parts_or_together(save):
    data = content()
    for person in data["annotations"]:
        person["foot_kpts"] = [7, 8, 1]
    apart = ground_truth(read_annotations(save(data)), fields=PARTS)
    for person in data["annotations"]:
        person["keypoints"] = person["keypoints"] + person.pop("foot_kpts")
    together = ground_truth(read_annotations(save(data)), fields=PARTS)
    np.testing.assert_array_equal(apart.keypoints, together.keypoints)
    assert apart.keypoints.shape == (3, 3, 2)


def test_no_results_and_no_annotations(save):
    file = read_annotations(save({**content(), "annotations": []}))
    assert ground_truth(file, fields=PARTS).keypoints.shape == (0, 3, 2)
    assert detections([], file, fields=PARTS)[0].keypoints.shape == (0, 3, 2)


def broken(change):
    data = copy.deepcopy(content())
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda d: d.pop("images"),
            "a.json: expected a COCO annotation file, an object with a list 'images'",
        ),
        (lambda d: d.update(annotations={}), "with a list 'annotations'"),
        (lambda d: d["annotations"][2].update(id=70), "annotation 2: id 70 is already that of entry 0"),
        (lambda d: d["annotations"][1].update(id="x"), "annotation 1: id is 'x', expected a whole number"),
        (lambda d: d["images"][1].update(id=5), "image 1: id 5 is already that of entry 0"),
        (lambda d: d["annotations"][1].update(image_id=9), "annotation 1: image_id 9 is not among the 2"),
        (lambda d: d["annotations"][1].pop("image_id"), r"annotation 1 \(id 71\): has no field 'image_id'"),
        (lambda d: d["annotations"].__setitem__(1, 7), "annotation 1: expected an object, got int"),
        (lambda d: d["annotations"][1].update(category_id=[1]), r"annotation 1: category_id is \[1\], exp"),
        (lambda d: d["annotations"][1].update(num_keypoints=None), "annotation 1: num_keypoints is None"),
        (lambda d: d["annotations"][1].update(iscrowd="0"), "annotation 1: iscrowd is '0', expected a whole"),
        (lambda d: d["annotations"][1].update(category_id=3), r"one annotated category.*\[1, 3\]"),
        (lambda d: d["annotations"][2].pop("area"), r"annotation 2 \(id 72\): has no field 'area'"),
        (lambda d: d["annotations"][2].pop("keypoints"), r"annotation 2 \(id 72\): has no field 'keypoints'"),
        (lambda d: d["annotations"][0].update(keypoints=[1] * 51), "keypoints has 51 numbers, expected 6"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "bbox has 3 numbers, expected 4"),
        (lambda d: d["annotations"][0].update(bbox=7), "bbox has int numbers, expected 4"),
        (lambda d: d["annotations"][1].update(area=float("nan")), r"\(id 71\): area\[0\] is nan"),
        (lambda d: d["annotations"][1].update(area="big"), r"area\[0\] is 'big', expected a finite number"),
    ],
)
def test_bad_annotations_are_named(save, change, match):
    path = save(broken(change), "a.json")
    with pytest.raises(ValueError, match=match):
        ground_truth(read_annotations(path), fields=FIELDS)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda r: r[1].update(image_id=99),
            "r.json, result 1: image_id 99 is not among the 2 annotated images",
        ),
        (lambda r: r[1].update(image_id="6"), "result 1: image_id '6' is not among"),
        (lambda r: r[1].pop("image_id"), "result 1: has no field 'image_id'"),
        (lambda r: r[1].update(category_id=2), "result 1: category_id is 2, expected 1 as annotated"),
        (lambda r: r[1].pop("keypoints"), "result 1: has no field 'keypoints'"),
        (lambda r: r[1].update(keypoints=[0] * 51), "result 1: keypoints has 51 numbers, expected 6"),
        (lambda r: [x.update(keypoints=[0] * 9) for x in r], "result 0: keypoints has 9 numbers, expected 6"),
        (lambda r: r[0]["keypoints"].__setitem__(3, float("inf")), r"result 0: keypoints\[3\] is inf"),
        (lambda r: r[0]["keypoints"].__setitem__(3, None), r"result 0: keypoints\[3\] is None"),
        (lambda r: r[0].update(score=float("nan")), r"result 0: score\[0\] is nan, expected a finite number"),
        (lambda r: r[0].pop("score"), "result 0: has no field 'score'"),
        (lambda r: r[0].update(bbox=[1, 2, 3, 4]), "result 1: has no field 'bbox'"),
        (lambda r: r.append(5), "entry 2: expected an object, got int"),
    ],
)
def test_bad_results_are_named(save, change, match):
    entries = results()
    change(entries)
    file = read_annotations(save(content()))
    with pytest.raises(ValueError, match=match):
        detections(save(entries, "r.json"), file, fields=FIELDS)


def test_files_that_are_no_list_of_results(save, tmp_path):
    with pytest.raises(ValueError, match=r"r\.json: expected a list of results, got dict"):
        read_results(save(content(), "r.json"))
    whole = save(results(), "r.json").read_text()
    (tmp_path / "cut.json").write_text(whole[:50])
    with pytest.raises(ValueError, match=r"cut\.json, line 1.*truncated"):
        read_results(tmp_path / "cut.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_results(tmp_path / "none.json")
