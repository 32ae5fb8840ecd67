import json

import numpy as np
import pytest
import scipy.io
from PIL import Image

from pctlib.data.check import check_dataset, detect


def person(number, image, **changes):
    entry = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 20, 30, 40],
        "area": 600,
        "keypoints": [float(v) for k in range(17) for v in (12 + k, 30, 2)],
    }
    return {**entry, **changes}


@pytest.fixture
def root(tmp_path):
    """Make a small COCO val split of six images and seven people."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    for number in range(1, 7):
        Image.fromarray(np.full((60, 80, 3), 30 * number, np.uint8)).save(tmp_path / f"val2017/{number}.jpg")
    write(tmp_path, [person(n, n) for n in range(1, 7)] + [person(9, 1, iscrowd=1)])
    return tmp_path


def write(root, people):
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 60, "width": 80} for n in range(1, 7)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }
    (root / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))


def check(root, *args, **options):
    findings = check_dataset(root, *args, progress=False, **options)
    return {
        kind: [f.text for f in findings if f.kind == kind] for kind in ("ok", "note", "missing", "broken")
    }


def test_whole_data_set(root):
    found = check(root)
    assert found["missing"] == found["broken"] == []
    assert found["ok"][0].endswith("is checked as coco")
    assert found["ok"][1].startswith("val: 6 people in 6 images, 17 keypoints, 102 labelled")
    assert found["ok"][1].endswith("left out: 1 crowd")
    assert found["ok"][2].startswith("val: all 6 images are in ")
    assert found["ok"][3] == "val: 6 images can be read (all 6)"
    assert len(found["note"]) == 1
    assert found["note"][0].startswith("train: not there; expected ")


def test_missing_images_are_counted_and_some_named(root):
    for number in (2, 3, 4, 5):
        (root / f"val2017/{number}.jpg").unlink()
    (text,) = check(root)["missing"]
    assert text.startswith("val: 4 of 6 images are not in ")
    assert text.count(".jpg") == 3
    assert text.endswith(" ...")
    (root / "val2017/1.jpg").unlink()
    (root / "val2017/6.jpg").unlink()
    (root / "val2017").rmdir()
    (text,) = check(root)["missing"]
    assert text.startswith("val: no folder of images; expected ")


def test_broken_images_are_found_in_the_sample_or_by_all(root):
    content = (root / "val2017/4.jpg").read_bytes()
    (root / "val2017/4.jpg").write_bytes(content[: len(content) // 2])
    (root / "val2017/5.jpg").write_bytes(b"")
    found = check(root, all_images=True, sample=1)
    assert "val: 4 images can be read (all 6)" in found["ok"]
    (text,) = found["broken"]
    assert text.startswith("val: 2 images cannot be read: ")
    assert "4.jpg" in text
    samples = [check(root, sample=3, seed=seed) for seed in range(4)]
    assert all("a sample of 3 of 6" in found["ok"][3] for found in samples)
    assert len({found["ok"][3] for found in samples}) > 1  # another seed, another sample


def test_images_of_another_size_are_found(root):
    Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(root / "val2017/3.jpg")
    (text,) = check(root)["broken"]
    assert text.startswith("val: 1 images have another size than the annotations say: ")
    assert "3.jpg" in text


@pytest.mark.parametrize("tag", [6, 8])
def test_photographs_annotated_as_viewers_turn_them_are_named_with_the_cause(root, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    for number in (2, 3):
        Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(root / f"val2017/{number}.jpg", exif=exif)
    found = check(root)
    assert f"its EXIF orientation is {tag}" in found["broken"][0]
    assert "exchanged" not in found["broken"][0]
    assert any("2 images carry an EXIF orientation; as in COCO" in text for text in found["note"])


def test_turned_photographs_that_fit_are_noted(root):
    """Annotated as stored, or square: nothing else could tell."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(root / "val2017/3.jpg", exif=exif)
    found = check(root)
    assert found["broken"] == []
    assert any("1 images carry an EXIF orientation" in text for text in found["note"])


def test_exchanged_sizes_of_images_are_named(root):
    for number in (2, 3):
        Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(root / f"val2017/{number}.jpg")
    assert "width and height look exchanged, as in CrowdPose" in check(root)["broken"][0]


def test_annotation_faults(root):
    write(root, [person(1, 1), person(2, 2, bbox=[1, 2, 0, 0]), person(3, 3, bbox=[100, 2, 5, 5])])
    found = check(root)
    assert "2 annotations have an invalid box or area; the first: " in found["broken"][0]
    assert "annotation 2 (index 1)" in found["broken"][0]
    assert found["ok"][1].startswith("val: 1 people")
    outside = [v for k in range(17) for v in (100.0 if k < 2 else 12, 30, 2)]
    write(root, [person(1, 1), person(2, 2, keypoints=outside)])
    assert "val: 2 labelled keypoints of 1 people lie outside their image" in check(root)["note"]
    (root / "annotations/person_keypoints_val2017.json").write_text('{"images": [{"id')
    (text,) = check(root)["broken"]
    assert text.startswith("val: the annotations cannot be read: ")
    assert "truncated" in text


def test_asked_data_set_that_is_not_there(root):
    found = check(root, "ochuman")
    assert [text.split(":")[0] for text in found["missing"]] == ["val", "test"]
    with pytest.raises(ValueError, match="unknown data set 'nope'"):
        check_dataset(root, "nope")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_dataset(root / "none")


def test_unknown_folder_says_what_it_holds(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    (text,) = check(tmp_path)["missing"]
    assert "holds holiday.jpg: no annotation file of coco, " in text


@pytest.mark.parametrize(("shape", "name"), [((3, 14, 5), "lsp"), ((14, 3, 5), "lsp-extended")])
def test_the_leeds_sets_are_told_apart(tmp_path, shape, name):
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": np.zeros(shape)})
    assert detect(tmp_path) == [name]


def test_local_sample(shared):
    for folder, name, splits in [("coco-mini", "coco", 2), ("lsp", "lsp-extended", 1)]:
        assert detect(shared / "data" / folder) == [name]
        found = check(shared / "data" / folder, sample=8)
        assert found["missing"] == found["broken"] == []
        assert sum("images can be read" in text for text in found["ok"]) == splits


def test_what_the_folder_has_instead_is_named(root):
    (root / "val2017/2.jpg").rename(root / "val2017/2.jpeg")
    (text,) = check(root)["missing"]
    assert text.endswith("val2017/2.jpg; there is 2.jpeg")


def test_the_category_can_be_chosen(root):
    file = root / "annotations/person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 1, "name": "adult"}, {"id": 2, "name": "child"}]
    for place, entry in enumerate(content["annotations"]):
        entry["category_id"] = 1 + place % 2
    file.write_text(json.dumps(content))
    (text,) = check(root)["broken"]
    assert "several categories could be meant: ['adult', 'child']; choose one" in text
    assert "left out: 4 of other categories" in check(root, category="child")["ok"][1]
