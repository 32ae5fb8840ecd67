import json

import pytest

from pctlib.data.ochuman import read_ochuman
from pctlib.skeletons import COCO


def write(path, **second):
    person = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 20, 30, 40],
        "area": 600,
        "num_keypoints": 17,
        "keypoints": [float(v) for k in range(17) for v in (20 + k, 30, 2)],
    }
    content = {
        "images": [{"id": 1, "file_name": "000001.jpg", "height": 100, "width": 120}],
        "annotations": [person, {**person, "id": 2, **second}],
        "categories": [{"id": 1, "name": "person"}],
    }
    path.write_text(json.dumps(content))
    return path


def test_people_without_keypoints_are_counted(tmp_path):
    people = read_ochuman(write(tmp_path / "a.json", keypoints=[0] * 51, num_keypoints=0), tmp_path)
    assert people.skeleton is COCO
    assert (len(people), people.excluded["too few keypoints"]) == (1, 1)
    assert people.areas.tolist() == [600]
    assert people.image_files == [tmp_path / "000001.jpg"]
    path = write(tmp_path / "a.json", area=0)
    with pytest.raises(ValueError, match=r"annotation 2 \(index 1\): area must be above 0"):
        read_ochuman(path)
    assert read_ochuman(path, skip_invalid=True).excluded["invalid box or area"] == 1


def test_the_format_of_its_own_is_refused(tmp_path):
    (tmp_path / "ochuman.json").write_text('{"images": [{"annotations": []}], "keypoint_names": []}')
    with pytest.raises(ValueError, match=r"ochuman\.json: section 'annotations' is missing"):
        read_ochuman(tmp_path / "ochuman.json")


def test_local_sample(shared):
    root = shared / "data/fixtures/ochuman"
    people = read_ochuman(root / "test_ochuman.json", root)
    assert (len(people), len(set(people.image_ids))) == (5, 3)
    assert all(file.is_file() for file in people.image_files)
    inside = (people.keypoints_image >= 0) & (people.keypoints_image < people.image_sizes[:, None, ::-1])
    assert inside.all(-1)[people.labelled].all()
    low, high = (
        people.boxes_xywh[:, None, :2],
        people.boxes_xywh[:, None, :2] + people.boxes_xywh[:, None, 2:],
    )
    in_box = ((people.keypoints_image >= low - 5) & (people.keypoints_image <= high + 5)).all(-1)
    assert in_box[people.labelled].mean() > 0.97
