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


def test_whole_numbers_may_be_written_as_pandas_does(save):
    data = content()
    for person in data["annotations"]:
        person.update(id=float(person["id"]), image_id=float(person["image_id"]))
    truth = ground_truth(read_annotations(save(data)), fields=FIELDS)
    assert truth.person_image_ids.tolist() == [6, 6, 5]
    assert truth.annotation_ids.dtype == np.int64
    assert truth.annotation_ids.tolist() == [70, 71, 72]


def test_people_without_a_count_are_ignored_if_nothing_is_labelled(save):
    data = content()
    for person in data["annotations"]:
        del person["num_keypoints"]
    assert ground_truth(read_annotations(save(data)), fields=FIELDS).ignored.tolist() == [False, True, True]


def test_results_become_arrays(save):
    file = read_annotations(save(content()))
    found, table = detections(save(results(), "r.json"), file, fields=FIELDS)
    assert table.entries == results()
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


def test_the_rules_for_persons_are_those_of_the_reader(save):
    """Other categories left out, a box alone ignored, an area missing taken from the box: each is counted."""
    data = content()
    data["categories"].append({"id": 2, "name": "car"})
    car = {"id": 80, "image_id": 5, "category_id": 2, "bbox": [1, 1, 2, 2]}
    boxed = {**data["annotations"][0], "id": 81, "num_keypoints": 3, "area": None}
    del boxed["keypoints"]
    data["annotations"] += [car, boxed]
    file = read_annotations(save(data))
    truth = ground_truth(file, fields=FIELDS)
    assert truth.annotation_ids.tolist() == [70, 71, 72, 81]
    assert truth.ignored.tolist() == [False, True, True, True]
    assert truth.areas[3] == pytest.approx(0.53 * 200)
    mixed = [*results(), {**results()[0], "category_id": 2}]
    found, table = detections(mixed, file, fields=FIELDS)
    assert len(table) == len(found.scores) == 2
    counts = count_inputs(truth, found)
    assert counts["annotations of other categories left out"] == 1
    assert counts["areas missing, 0.53 of the box taken"] == 1
    assert counts["results of other categories left out"] == 1
    with pytest.raises(
        ValueError, match=r"all 1 results are of other categories, such as category_id 2, pers"
    ):
        detections(mixed[2:], file, fields=FIELDS)


@pytest.mark.parametrize("box", [[1, 2, 0, 5], [500, 2, 10, 5], [-20, 2, 10, 5]])
def test_persons_whose_box_is_empty_or_outside_the_image_can_be_left_out(save, box):
    data = content()
    for image in data["images"]:
        image |= {"width": 100, "height": 80}
    data["annotations"][0]["bbox"] = box
    truth = ground_truth(read_annotations(save(data)), fields=FIELDS)
    assert truth.annotation_ids.tolist() == [70, 71, 72]
    truth = ground_truth(read_annotations(save(data)), fields=FIELDS, skip_invalid=True)
    assert truth.annotation_ids.tolist() == [71, 72]
    assert truth.notes == (("persons with an invalid box or area left out", 1),)


def test_images_of_results_may_be_given_by_their_file_names(save):
    """As AlphaPose writes them."""
    data = content()
    data["images"] = [{"id": 5, "file_name": "val/a.jpg"}, {"id": 6, "file_name": "val\\b.jpg"}]
    file = read_annotations(save(data))
    for names in (("b.jpg", "val/a.jpg"), ("b", "/home/me/a.jpg"), ("C:\\b.jpg", "a")):
        named = [{**entry, "image_id": name} for entry, name in zip(results(), names, strict=True)]
        found, _ = detections(named, file, fields=FIELDS)
        assert found.image_ids.tolist() == [6, 5]
    assert found.notes == (("results whose image is given by its file name", 2),)
    with pytest.raises(
        ValueError, match=r"result \(index 0\): image_id 'c.jpg' is no id, and no image in the"
    ):
        detections([{**results()[0], "image_id": "c.jpg"}], file, fields=FIELDS)
    data["images"].append({"id": 7, "file_name": "train/a.jpg"})
    with pytest.raises(ValueError, match=r"image_id 'a.jpg' is the file name of 2 images"):
        detections([{**results()[0], "image_id": "a.jpg"}], read_annotations(save(data)), fields=FIELDS)


def test_results_by_whole_floats_and_nested_keypoints(save):
    file = read_annotations(save(content()))
    plain, _ = detections(results(), file, fields=FIELDS)
    odd = [
        {
            **entry,
            "image_id": 6.0,
            "category_id": 1.0,
            "keypoints": np.reshape(entry["keypoints"], (2, 3)).tolist(),
        }
        for entry in results()
    ]
    found, _ = detections(odd, file, fields=FIELDS)
    np.testing.assert_array_equal(found.keypoints, plain.keypoints)
    assert found.image_ids.tolist() == [6, 6]
    with pytest.raises(ValueError, match=r"field 'category_id' must be a whole number, got '1' \(a text"):
        detections([{**results()[0], "category_id": "1"}], file, fields=FIELDS)


def broken(change):
    data = copy.deepcopy(content())
    change(data)
    return data


AT_1 = r"a\.json: annotation 71 \(index 1\): "


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.pop("images"), "a.json: section 'images' is missing"),
        (
            lambda d: d.update(annotations={}),
            "section 'annotations' must be a list of objects, got dict",
        ),
        (lambda d: d["annotations"][2].update(id=70), r"two annotations have the id 70 \(index 0 and 2\)"),
        (lambda d: d["annotations"][1].update(id="x"), r"x \(index 1\): field 'id' must be a whole .*'x'"),
        (lambda d: d["annotations"][1].update(id=2**64), r"\(index 1\): field 'id' must fit 64 bits"),
        (lambda d: d["images"][1].update(id=5), r"two images have the id 5 \(index 0 and 1\)"),
        (lambda d: d["images"][1].update(id="5"), r"image 5 \(index 1\): field 'id' must be a whole .*'5'"),
        (
            lambda d: d["annotations"][1].update(image_id=9),
            AT_1 + "image_id 9 is not in section 'images'",
        ),
        (lambda d: d["annotations"][1].pop("image_id"), AT_1 + "field 'image_id' is missing"),
        (
            lambda d: d["annotations"].__setitem__(1, 7),
            r"annotation \(index 1\): expected an object, got",
        ),
        (lambda d: d["annotations"][1].update(category_id=[1]), AT_1 + r"field 'category_id' must .* \[1\]"),
        (
            lambda d: d["annotations"][1].update(num_keypoints="2"),
            AT_1 + "field 'num_keypoints' .* '2' ",
        ),
        (lambda d: d["annotations"][1].update(iscrowd="0"), AT_1 + "field 'iscrowd' must be a whole .* '0'"),
        (lambda d: d["annotations"][1].update(iscrowd=0.5), AT_1 + "field 'iscrowd' must be a whole .* 0.5"),
        (lambda d: d["annotations"][1].update(category_id=3), AT_1 + "category_id 3 is not in section"),
        (lambda d: d["annotations"][1].update(keypoints=[1] * 51), AT_1 + "field 'keypoints' needs 6 .* 51"),
        (
            lambda d: d["annotations"][1].update(keypoints=[[1]] * 6),
            AT_1 + r"field 'keypoints\[0\]' .*\[1\]",
        ),
        (lambda d: d["annotations"][1].update(keypoints=["1"] * 6), AT_1 + r"field 'keypoints\[0\]' .* '1'"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 3]), AT_1 + "field 'bbox' needs 4 numbers, got 3"),
        (lambda d: d["annotations"][1].update(bbox=7), AT_1 + "field 'bbox' needs 4 numbers, got 7"),
        (lambda d: d["annotations"][1].update(area=float("nan")), AT_1 + "field 'area' must be .* got nan"),
        (lambda d: d["annotations"][1].update(area="big"), AT_1 + "field 'area' must be a finite .* 'big'"),
        (lambda d: d["annotations"][1].update(area="90"), AT_1 + "field 'area' must be a finite .* '90'"),
    ],
)
def test_bad_annotations_are_named(save, change, match):
    path = save(broken(change), "a.json")
    with pytest.raises(ValueError, match=match):
        ground_truth(read_annotations(path), fields=FIELDS)


RESULT_1 = r"r\.json: result \(index 1\): "


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r[1].update(image_id=99), RESULT_1 + "image_id 99 is not in section 'images' of 2"),
        (lambda r: r[1].update(image_id="6"), RESULT_1 + "field 'image_id' must be a whole number, got '6'"),
        (lambda r: r[1].pop("image_id"), RESULT_1 + "field 'image_id' is missing"),
        (lambda r: r[1].update(category_id=2), RESULT_1 + "category_id is 2, expected 1 as annotated"),
        (lambda r: r[1].pop("keypoints"), RESULT_1 + "field 'keypoints' is missing"),
        (lambda r: r[1].update(keypoints=[0] * 51), RESULT_1 + "field 'keypoints' needs 6 numbers, got 51"),
        (
            lambda r: r[1]["keypoints"].__setitem__(3, float("inf")),
            RESULT_1 + r"field 'keypoints\[3\]' .*inf",
        ),
        (lambda r: r[1]["keypoints"].__setitem__(3, None), RESULT_1 + r"field 'keypoints\[3\]' .* None"),
        (lambda r: r[1].update(score=float("nan")), RESULT_1 + "field 'score' must be a finite .* nan"),
        (lambda r: r[1].pop("score"), RESULT_1 + "field 'score' is missing"),
        (lambda r: r[1].update(score=[0.5]), RESULT_1 + r"field 'score' must be a finite .* \[0.5\]"),
        (lambda r: r[1].update(image_id=2**80), RESULT_1 + "field 'image_id' must fit 64 bits"),
        (lambda r: r[0].update(bbox=[1, 2, 3, 4]), RESULT_1 + "field 'bbox' is missing"),
        (lambda r: r.append(5), r"result \(index 2\): expected an object, got"),
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
