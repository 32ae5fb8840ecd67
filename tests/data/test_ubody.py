"""UBody, scene by scene."""

import json

import pytest

from pctlib.data.ubody import read_ubody
from pctlib.skeletons import COCO_WHOLEBODY


def write_scene(root, name, *, image_id=1, area=900):
    person = {
        "id": 1,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 20, 30, 40],
        "area": area,
        "keypoints": [float(v) for k in range(17) for v in (20 + k, 30, 2)],
        "foot_kpts": [0.0] * 18,
        "face_kpts": [0.0] * 204,
        "lefthand_kpts": [25.0, 35.0, 0.7] * 21,
        "righthand_kpts": [0.0] * 63,
    }
    content = {
        "images": [{"id": image_id, "file_name": f"video/{name}.png", "height": 100, "width": 120}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person"}],
    }
    (root / "images" / name).mkdir(parents=True)
    folder = root / "annotations" / name
    folder.mkdir(parents=True)
    (folder / "keypoint_annotation.json").write_text(json.dumps(content))


def test_scenes_are_read_together_though_their_ids_repeat(tmp_path):
    for name in ("Speech", "Fitness"):
        write_scene(tmp_path, name)
    people = read_ubody(tmp_path)
    assert people.skeleton == COCO_WHOLEBODY
    names = [tmp_path / "images" / scene / "video" / f"{scene}.png" for scene in ("Fitness", "Speech")]
    assert people.image_files == names
    assert len(set(people.image_ids.tolist())) == len(set(people.annotation_ids.tolist())) == 2
    assert (people.visible[0] > 0).sum() == 17 + 21


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotations/<scene>/keypoint_annotation\.json"):
        read_ubody(tmp_path)
    write_scene(tmp_path, "Movie", area=0)
    with pytest.raises(ValueError, match="area must be above 0"):
        read_ubody(tmp_path)
    write_scene(tmp_path, "Speech")
    people = read_ubody(tmp_path, skip_invalid=True)
    assert (len(people), people.excluded["invalid box or area"]) == (1, 1)
    (tmp_path / "images" / "Speech").rmdir()
    with pytest.raises(FileNotFoundError, match="no such folder of images"):
        read_ubody(tmp_path, skip_invalid=True)
