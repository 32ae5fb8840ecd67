import json

import numpy as np
import pytest

from pctlib.data.crowdpose import read_crowdpose
from pctlib.skeletons import CROWDPOSE


def person(**changes):
    keypoints = [0.0] * 36 + [50, 20, 2, 52, 40, 1]  # head and neck only
    entry = {
        "id": 7,
        "image_id": 3,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 20, 30, 40],
        "num_keypoints": 0,  # head and neck are not counted
        "keypoints": keypoints,
    }
    return {**entry, **changes}


def write(path, *people, **image):
    content = {
        "images": [{"id": 3, "file_name": "3.jpg", "height": 100, "width": 120, "crowdIndex": 0.25, **image}],
        "annotations": list(people),
        "categories": [{"id": 1, "name": "person", "keypoints": list(CROWDPOSE.keypoint_names)}],
    }
    path.write_text(json.dumps(content))
    return path


def test_num_keypoints_is_not_looked_at(tmp_path):
    nobody = person(id=8, keypoints=[0] * 42, num_keypoints=5)
    people = read_crowdpose(write(tmp_path / "a.json", person(), nobody), tmp_path)
    assert people.skeleton is CROWDPOSE
    assert people.annotation_ids.tolist() == [7]
    assert people.visible[0, CROWDPOSE.index("head_top")] == 2
    assert people.visible[0, CROWDPOSE.index("neck")] == 1
    np.testing.assert_allclose(people.areas, [0.53 * 30 * 40])
    assert people.excluded["too few keypoints"] == 1


def test_empty_boxes_are_refused_or_counted(tmp_path):
    path = write(tmp_path / "a.json", person(), person(id=8, bbox=[10, 20, 0, 40]))
    with pytest.raises(ValueError, match=r"a\.json: annotation 8 \(index 1\): bbox"):
        read_crowdpose(path)
    assert read_crowdpose(path, skip_invalid=True).excluded["invalid box or area"] == 1


def test_local_sample(shared):
    root = shared / "data/fixtures/crowdpose"
    people = read_crowdpose(root / "test_crowdpose.json", root)
    assert (len(people), people.excluded["too few keypoints"]) == (4, 1)
    counts = {
        a["id"]: a["num_keypoints"]
        for a in json.loads((root / "test_crowdpose.json").read_text())["annotations"]
    }
    labelled = people.labelled.sum(1)
    assert (labelled >= [counts[i] for i in people.annotation_ids]).all()
    assert (labelled > [counts[i] for i in people.annotation_ids]).any()
    inside = (people.keypoints_image >= 0) & (people.keypoints_image < people.image_sizes[:, None, ::-1])
    assert inside.all(-1)[people.labelled].all()
    both = people.labelled[:, [12, 13]].all(1)
    assert (
        people.keypoints_image[both, 12, 1] < people.keypoints_image[both, 13, 1]
    ).all()  # heads above necks
