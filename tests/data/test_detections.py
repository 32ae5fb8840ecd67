import json

import numpy as np
import pytest

from pctlib.data.detections import read_detections
from pctlib.skeletons import COCO, CROWDPOSE

BOX = {"image_id": 3, "category_id": 1, "bbox": [10.5, 20, 30, 40], "score": 0.9}


@pytest.fixture
def files(tmp_path):
    content = {
        "images": [{"id": 3, "file_name": "3.jpg", "height": 100, "width": 120}],
        "annotations": [{"id": 1}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}],
    }
    (tmp_path / "images.json").write_text(json.dumps(content))

    def write(*detections):
        (tmp_path / "found.json").write_text(json.dumps(detections))
        return tmp_path / "found.json", tmp_path / "images.json"

    return write


def test_boxes_become_people_without_keypoints(files):
    people = read_detections(*files(BOX, {**BOX, "score": 0.25}), "images", skeleton=CROWDPOSE)
    assert people.skeleton is CROWDPOSE
    assert [str(file) for file in people.image_files] == ["images/3.jpg"] * 2
    np.testing.assert_allclose(people.boxes_xywh[0], [10.5, 20, 30, 40])
    np.testing.assert_allclose(people.box_scores, [0.9, 0.25])
    np.testing.assert_allclose(people.areas, 0.53 * 1200)
    assert people.annotation_ids.tolist() == [1, 2]
    assert people.image_sizes.tolist() == [[100, 120]] * 2
    assert not people.labelled.any()
    assert people.select([1]).box_scores == np.float32(0.25)


def test_what_is_left_out_is_counted(files):
    low, bicycle, empty = {"score": 0.05}, {"category_id": 2}, {"bbox": [1, 2, 0, 3]}
    people = read_detections(
        *files(*({**BOX, **change} for change in ({}, low, bicycle, empty))), min_score=0.1
    )
    assert people.annotation_ids.tolist() == [1]
    assert people.excluded == {"other category": 1, "low score": 1, "empty box": 1}
    assert len(read_detections(*files(BOX, {**BOX, **low}))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 4}, "image_id 4 is not in section 'images'"),
        ({"score": float("nan")}, "field 'score' must be a finite number, got nan"),
        ({"score": None}, "field 'score' must be a finite number, got None"),
        ({"bbox": [1, 2, 3]}, "field 'bbox' needs 4 numbers, got 3"),
        ({"bbox": [1, 2, 3, float("nan")]}, r"field 'bbox\[3\]' must be a finite number, got nan"),
        ({"category_id": 9}, "category_id 9 is not in section 'categories'"),
    ],
)
def test_bad_detections_are_named(files, change, message):
    with pytest.raises(ValueError, match=rf"found\.json: detection \(index 1\): {message}"):
        read_detections(*files(BOX, {**BOX, **change}))


def test_other_files_are_refused(files, tmp_path):
    found, images = files(BOX)
    with pytest.raises(ValueError, match=r"images\.json: expected a list of detections"):
        read_detections(images, images)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_detections(tmp_path / "none.json", images)
    found.write_text('[{"image_id": 3, "sco')
    with pytest.raises(ValueError, match=r"found\.json, line 1, column .* truncated"):
        read_detections(found, images)


def test_local_sample(shared):
    root = shared / "data/fixtures/coco"
    people = read_detections(root / "test_coco_det_AP_H_56.json", root / "test_coco.json", root)
    assert (len(people), people.skeleton, len(set(people.image_ids))) == (118, COCO, 4)
    confident = read_detections(
        root / "test_coco_det_AP_H_56.json", root / "test_coco.json", root, min_score=0.9
    )
    assert 5 <= len(confident) <= 15
    assert confident.excluded["low score"] == 118 - len(confident)
    root = shared / "data/fixtures/crowdpose"
    people = read_detections(root / "test_crowdpose_det_AP_40.json", root / "test_crowdpose.json", root)
    assert len(people) == 6
