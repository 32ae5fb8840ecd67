import json

import numpy as np
import pytest

from pctlib.inference.boxes import Boxes, BoxFile, check_boxes


def test_arrays_and_boxes_are_taken():
    checked = check_boxes([[0, 0, 5, 5, 0.5]], (10, 10), "a.jpg")
    assert (checked.xyxy.tolist(), checked.scores.tolist()) == ([[0, 0, 5, 5]], [0.5])
    again = check_boxes(Boxes(*checked), (10, 10), "a.jpg")
    np.testing.assert_array_equal(again.xyxy, checked.xyxy)
    assert check_boxes([], (10, 10), "a.jpg").xyxy.shape == (0, 4)


COCO = {
    "images": [{"id": 3, "file_name": "sub/a.jpg"}, {"id": 4, "file_name": "b.jpg"}],
    "annotations": [
        {"image_id": 3, "bbox": [1, 2, 3, 4]},
        {"image_id": 3, "bbox": [0, 0, 1, 1], "iscrowd": 1},
        {"image_id": 4, "bbox": [5, 6, 7, 8], "score": 0.25},
    ],
}
NAMED = [{"file_name": "a.jpg", "bbox": [1, 2, 3, 4]}, {"image_id": 785, "bbox": [1, 1, 1, 1], "score": 0.5}]


def test_boxes_of_coco_files(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    boxes = BoxFile(tmp_path / "coco.json")
    assert boxes.of("data/sub/a.jpg").tolist() == [[1, 2, 4, 6, 1]]
    assert boxes.of(tmp_path / "b.jpg").tolist() == [[5, 6, 12, 14, 0.25]]
    with pytest.raises(ValueError, match=r"a\.jpg: .*coco\.json has no box for it; .*: sub/a.jpg, b.jpg"):
        boxes.of("a.jpg")
    (tmp_path / "list.json").write_text(json.dumps(NAMED))
    boxes = BoxFile(tmp_path / "list.json")
    assert boxes.of("x/y/a.jpg").tolist() == [[1, 2, 4, 6, 1]]
    assert boxes.of("val2017/000000000785.jpg").tolist() == [[1, 1, 2, 2, 0.5]]
    with pytest.raises(ValueError, match="785"):
        BoxFile(tmp_path / "list.json", min_score=0.6).of("000000000785.jpg")


def test_boxes_of_tables(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text("file,x,y,width,height\na.jpg,1,2,3,4\na.jpg,0,0,9,9\n")
    assert BoxFile(file).of("p/a.jpg").tolist() == [[1, 2, 4, 6, 1], [0, 0, 9, 9, 1]]
    file.write_text("score,file,x_min,y_min,x_max,y_max\n0.5,a.jpg,1,2,3,4\n,b.jpg,1,2,3,4\n")
    assert BoxFile(file).of("a.jpg").tolist() == [[1, 2, 3, 4, 0.5]]
    assert BoxFile(file).of("b.jpg").tolist() == [[1, 2, 3, 4, 1]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file,left\na,1\n", "expected the columns file, x_min.*got file, left"),
        ("a.csv", "", "got no row"),
        ("a.csv", "file,x,y,width,height\na,1,2,3,wide\n", r"a\.csv, line 2: expected numbers"),
        ("a.json", "3", "expected a list of detections, or a COCO file"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, 3]}]', "entry 0: expected 'bbox' of four numbers"),
        ("a.json", '[{"bbox": [1, 2, 3, 4]}]', "entry 0: expected 'file_name' or 'image_id'"),
        ("a.json", '[{"image_id": 1, "bbox": [1, 2, 3, "x"]}]', "entry 0: expected numbers"),
    ],
)
def test_files_that_hold_no_boxes_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        BoxFile(tmp_path / name)
