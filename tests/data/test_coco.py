import json
from pathlib import Path

import numpy as np
import pycocotools.coco
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pctlib.data.coco import read_coco, read_coco_wholebody, write_coco
from pctlib.data.people import People
from pctlib.skeletons import COCO, COCO_WHOLEBODY, CROWDPOSE, LSP

TOY = LSP  # any skeleton can be read; 14 keypoints are fewer than 17


def annotation(number, *, image_id=7, labelled=3, **changes):
    keypoints = [[2.0 * k + number, 3.0 * k, (k % 2) + 1] if k < labelled else [0, 0, 0] for k in range(14)]
    entry = {
        **{"id": number, "image_id": image_id, "category_id": 3, "iscrowd": 0, "area": 55.5},
        **{
            "bbox": [4, 5, 20, 30],
            "keypoints": [v for triple in keypoints for v in triple],
            "num_keypoints": labelled,
        },
    }
    return {**entry, **changes}


def content():
    return {
        "images": [
            {"id": 7, "file_name": "seven.jpg", "height": 48, "width": 64},
            {"id": 2, "file_name": "b/two.png", "height": 100, "width": 90},
        ],
        "annotations": [annotation(11), annotation(12, image_id=2, labelled=5), annotation(13)],
        "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "person"}],
    }


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def read(tmp_path, value, **options):
    return read_coco(write(tmp_path / "toy.json", value), **{"skeleton": TOY, **options})


def test_every_field_arrives(tmp_path):
    people = read(tmp_path, content(), image_dir=tmp_path)
    assert people.image_files == [tmp_path / "seven.jpg", tmp_path / "b/two.png", tmp_path / "seven.jpg"]
    assert people.image_ids.tolist() == [7, 2, 7]
    assert people.annotation_ids.tolist() == [11, 12, 13]
    assert people.image_sizes.tolist() == [[48, 64], [100, 90], [48, 64]]
    assert people.boxes_xywh[0].tolist() == [4, 5, 20, 30]
    assert people.areas.tolist() == [55.5] * 3
    assert people.keypoints_image[1, 4].tolist() == [20, 12]
    assert people.visible[1].tolist() == [1, 2, 1, 2, 1] + [0] * 9
    assert people.source.endswith("toy.json")
    assert people.excluded == {"crowd": 0, "too few keypoints": 0}


def test_without_image_dir_there_are_no_files(tmp_path):
    assert read(tmp_path, content()).image_files == [Path()] * 3
    with pytest.raises(FileNotFoundError, match="no such folder of images: .*gone"):
        read(tmp_path, content(), image_dir=tmp_path / "gone")


def test_crowds_and_unlabelled_persons_are_left_out_and_counted(tmp_path):
    value = content()
    value["annotations"] += [annotation(20, iscrowd=1, bbox=[0, 0, 0, 0]), annotation(21, labelled=0)]
    value["annotations"] += [annotation(22, category_id=1, keypoints=[]), annotation(23, labelled=2)]
    people = read(tmp_path, value, min_keypoints=3)
    assert people.annotation_ids.tolist() == [11, 12, 13]
    assert people.excluded == {"of other categories": 1, "crowd": 1, "too few keypoints": 2}
    assert read(tmp_path, value).excluded["too few keypoints"] == 1
    assert len(read(tmp_path, value, min_keypoints=0)) == 5


def test_one_category_needs_no_section(tmp_path):
    value = content()
    del value["categories"]
    people = read(tmp_path, value)
    assert (len(people), people.category_id) == (3, 3)


def test_the_only_category_with_this_number_of_keypoints_is_taken(tmp_path):
    """By what the annotations hold, else by what the section describes; the others are counted."""
    value = content()
    value["categories"] = [{"id": 1, "name": "car"}, {"id": 3, "name": "player"}, {"id": 4, "name": "dog"}]
    value["annotations"] += [annotation(20, category_id=1, keypoints=[]), annotation(21, category_id=1)]
    value["annotations"][-1].pop("keypoints")
    value["annotations"].append(annotation(22, category_id=4, keypoints=[1, 1, 2] * 20))
    people = read(tmp_path, value)
    assert people.annotation_ids.tolist() == [11, 12, 13]
    assert people.excluded["of other categories"] == 3
    value["annotations"].append(annotation(23, category_id=4))
    value["annotations"].append(annotation(24, category_id=4))
    with pytest.raises(ValueError, match=r"several categories could be meant: \['dog', 'player'\]"):
        read(tmp_path, value)
    assert read(tmp_path, value, category="player").annotation_ids.tolist() == [11, 12, 13]


def test_category_chooses_the_annotations(tmp_path):
    value = content()
    value["annotations"][1]["category_id"] = 1
    assert read(tmp_path, value, category="dog").annotation_ids.tolist() == [12]


def test_boxes_are_clipped_to_their_image(tmp_path):
    value = content()
    value["annotations"] = [annotation(1, bbox=[-5, -6, 100, 20]), annotation(2, bbox=[60, 40, 20, 20])]
    assert read(tmp_path, value).boxes_xywh.tolist() == [[0, 0, 63, 14], [60, 40, 3, 7]]
    for image in value["images"]:
        del image["height"]
    people = read(tmp_path, value)
    assert people.boxes_xywh[0].tolist() == [-5, -6, 100, 20]
    assert people.image_sizes[0].tolist() == [0, 64]


def test_missing_area_is_taken_from_the_box(tmp_path):
    value = content()
    del value["annotations"][0]["area"]
    value["annotations"][2]["area"] = None
    people = read(tmp_path, value)
    assert people.areas.tolist() == pytest.approx([20 * 30 * 0.53, 55.5, 20 * 30 * 0.53])
    assert people.notes["areas missing, 0.53 of the box taken"] == 2


@pytest.mark.parametrize("alone", [{}, {"keypoints": []}, {"keypoints": None}])
def test_persons_with_a_box_alone_are_left_out_and_counted(tmp_path, alone):
    value = content()
    del value["annotations"][1]["keypoints"]
    value["annotations"][1] |= alone
    people = read(tmp_path, value)
    assert people.annotation_ids.tolist() == [11, 13]
    assert people.excluded["with a box alone, no keypoints"] == 1
    everyone = read(tmp_path, value, min_keypoints=0)
    assert everyone.annotation_ids.tolist() == [11, 12, 13]
    assert not everyone.labelled[1].any()
    for entry in value["annotations"]:
        entry["keypoints"] = []
    with pytest.raises(ValueError, match=r"none of 3 annotations has keypoints, only boxes; .*instances_"):
        read(tmp_path, value)


def test_keypoints_may_be_lists_of_three(tmp_path):
    value, plain = content(), read(tmp_path, content())
    for entry in value["annotations"][:2]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (14, 3)).tolist()
    nested = read(tmp_path, value)
    np.testing.assert_array_equal(nested.keypoints_image, plain.keypoints_image)
    np.testing.assert_array_equal(nested.visible, plain.visible)


def test_sizes_that_are_not_given_are_read_from_the_images(tmp_path):
    value = content()
    value["images"][0] |= {"height": None, "width": None}
    del value["images"][1]["width"]
    Image.new("RGB", (64, 48)).save(tmp_path / "seven.jpg")
    people = read(tmp_path, value, image_dir=tmp_path)
    assert people.image_sizes.tolist() == [[48, 64], [100, 0], [48, 64]]  # the second image is not there
    assert read(tmp_path, value).image_sizes.tolist() == [[0, 0], [100, 0], [0, 0]]


def test_exchanged_sizes_are_named(tmp_path):
    value = content()
    value["annotations"][0]["bbox"] = [50, 5, 10, 20]
    value["images"][0] |= {"height": 64, "width": 48}
    with pytest.raises(
        ValueError, match=r"no extent inside its image of \[64, 48\].*look exchanged \(as in Crowd"
    ):
        read(tmp_path, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["images"][1].update(id="2"), r"image 2 \(index 1\): field 'id' .*'2' \(a text; take"),
        (lambda v: v["annotations"][1].update(image_id="2"), r"field 'image_id' .* got '2' \(a text; take"),
        (lambda v: v["images"][1].update(id=2**70), r"\(index 1\): field 'id' must fit 64 bits"),
        (lambda v: v["annotations"][1].update(id=-(2**64)), r"\(index 1\): field 'id' must fit 64 bits"),
        (
            lambda v: v["images"][1].update(width=2**40),
            r"height and width must be sizes in pixels, got \[100, 1",
        ),
        (
            lambda v: v["annotations"][1].update(bbox=[1, 2, 3, 10**400]),
            r"'bbox\[3\]' must be a finite number",
        ),
    ],
)
def test_odd_ids_and_sizes_are_named(tmp_path, change, message):
    value = content()
    change(value)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, value)


def test_whole_floats_are_ids(tmp_path):
    value = content()
    value["images"][0]["id"] = 7.0
    value["annotations"][0] |= {"id": 11.0, "image_id": 7.0}
    people = read(tmp_path, value)
    assert people.image_ids.tolist() == [7, 2, 7]
    assert people.annotation_ids.tolist() == [11, 12, 13]


def test_results_are_to_carry_the_category_of_the_file(tmp_path):
    for number in (0, 9):
        value = content()
        value["categories"] = [{"id": number, "name": "person"}]
        for entry in value["annotations"]:
            entry["category_id"] = number
        assert read(tmp_path, value).category_id == number


def entry(position=1, **changes):
    def change(value):
        value["annotations"][position].update(changes)

    return change


def without(section, field=None):
    def change(value):
        if field is None:
            del value[section]
        else:
            del value[section][1][field]

    return change


HERE = r"toy\.json: annotation 12 \(index 1\): "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            without("images"),
            r"toy\.json: section 'images' is missing; there are \['annotations', 'categories'\]",
        ),
        (without("annotations"), r"section 'annotations' is missing"),
        (lambda v: v.update(annotations=[]), r"toy\.json: section 'annotations' is empty"),
        (lambda v: v.update(images={}), r"section 'images' must be a list of objects, got dict"),
        (entry(keypoints=[1, 2, 2] * 13), HERE + "field 'keypoints' needs 42 numbers, got 39"),
        (entry(keypoints="1 2 2"), HERE + "field 'keypoints' needs 42 numbers, got '1 2 2'"),
        (entry(keypoints=[[1, 2]] * 14), HERE + "field 'keypoints' needs 42 numbers, got 14 lists of 2"),
        (entry(keypoints=[[1, 2, 2]] * 13), HERE + "field 'keypoints' needs 42 numbers, got 39"),
        (entry(keypoints=["1"] * 42), HERE + r"field 'keypoints\[0\]' must be a finite number, got '1'"),
        (entry(keypoints=["a"] * 42), HERE + r"field 'keypoints\[0\]' must be a finite number, got 'a'"),
        (
            entry(keypoints=[float("nan"), 1, 2] * 14),
            HERE + r"field 'keypoints\[0\]' must be a .* nan",
        ),
        (
            entry(keypoints=[1, 1, 2] * 13 + [1, 1, 3]),
            HERE + r"visibility of keypoint 13 \(head_top\) .*got 3",
        ),
        (entry(bbox=[1, float("nan"), 5, 5]), HERE + r"field 'bbox\[1\]' must be a finite number, got nan"),
        (entry(bbox=[1, 2, 5]), HERE + "field 'bbox' needs 4 numbers, got 3"),
        (
            entry(bbox=[1, 2, 0, 5]),
            HERE + r"bbox \[1, 2, 0, 5\] has no extent inside its image; .*skip_broken: true",
        ),
        (entry(bbox=[1, 2, 4, -5]), HERE + r"bbox \[1, 2, 4, -5\] has no extent"),
        (entry(bbox=[200, 2, 4, 5]), HERE + r"bbox \[200, 2, 4, 5\] has no extent inside its image"),
        (entry(area=0), HERE + "area must be above 0, got 0"),
        (entry(area=float("nan")), HERE + "field 'area' must be a finite number, got nan"),
        (entry(area="big"), HERE + "field 'area' must be a finite number, got 'big'"),
        (entry(category_id=9), HERE + "category_id 9 is not in section 'categories'"),
        (entry(image_id=99), HERE + "image_id 99 is not in section 'images' of 2 images"),
        (entry(image_id=[2]), HERE + "field 'image_id' must be a whole number"),
        (entry(id=11), r"toy\.json: two annotations have the id 11 \(index 0 and 1\)"),
        (entry(id="x"), r"annotation x \(index 1\): field 'id' must be a whole number, got 'x'"),
        (without("annotations", "bbox"), HERE + "field 'bbox' is missing"),
        (without("annotations", "id"), r"annotation \(index 1\): field 'id' is missing"),
        (lambda v: v["images"][1].update(id=7), r"two images have the id 7 \(index 0 and 1\)"),
        (
            lambda v: v["images"][1].update(id=[1]),
            r"image \[1\] \(index 1\): field 'id' must be a whole",
        ),
        (
            lambda v: v["images"][1].update(height="x"),
            r"\(index 1\): field 'height' must be a whole number, got 'x'",
        ),
        (without("images", "id"), r"toy\.json: image \(index 1\): field 'id' is missing"),
        (without("images", "file_name"), HERE + "its image has no file_name, got None"),
        (
            lambda v: v["annotations"].__setitem__(1, 5),
            r"annotation \(index 1\): expected an object",
        ),
        (lambda v: v["categories"].pop(), r"annotation 11 \(index 0\): category_id 3 is not in section 'cat"),
        (
            lambda v: v["categories"].__setitem__(1, {"id": 3, "name": "cat"}) or v["annotations"].clear(),
            r"there is no category 'person', and none has 14 keypoints; there are \['cat', 'dog'\]",
        ),
        (
            lambda v: v.pop("categories") and v["annotations"][1].update(category_id=5),
            r"toy\.json: section 'categories' is missing, and annotations are of category_id \[3, 5\]",
        ),
        (
            lambda v: v["categories"].append({"id": 8, "name": "person"}),
            r"several categories could be meant: \['person', 'person'\]; choose one .*--category",
        ),
    ],
)
def test_bad_entry_is_named(tmp_path, change, message):
    value = content()
    change(value)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, value, image_dir=tmp_path)


def test_truncated_or_other_files_are_named(tmp_path):
    file = write(tmp_path / "toy.json", content())
    file.write_text(file.read_text()[:300])
    with pytest.raises(ValueError, match=r"toy\.json, line 1, column \d+: not valid JSON"):
        read_coco(file)
    file.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"toy\.json: a COCO file is an object with sections, got a list"):
        read_coco(file)
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        read_coco(tmp_path / "gone.json")


def test_invalid_entries_can_be_skipped_and_are_counted(tmp_path):
    value = content()
    value["annotations"][1]["bbox"] = [1, 2, 0, 5]
    value["annotations"].append(annotation(14, area=-1))
    people = read(tmp_path, value, skip_invalid=True)
    assert people.annotation_ids.tolist() == [11, 13]
    assert people.excluded["invalid box or area"] == 2


def wholebody_annotation():
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    start, entry = 0, annotation(5)
    for name, count in parts.items():
        confidence = 2 if name in ("keypoints", "foot_kpts") else 0.25
        entry[name] = [v for k in range(start, start + count) for v in (k, 1000 - k, confidence)]
        start += count
    return entry


def test_wholebody_puts_its_five_fields_in_order(tmp_path):
    entry = wholebody_annotation()
    entry["face_kpts"][2] = 0.0
    value = {**content(), "annotations": [entry]}
    people = read_coco_wholebody(write(tmp_path / "toy.json", value))
    assert people.skeleton is COCO_WHOLEBODY
    assert people.keypoints_image[0, :, 0].tolist() == list(range(133))
    assert people.visible[0].tolist() == [2] * 23 + [0] + [2] * 109
    del entry["face_kpts"]
    with pytest.raises(ValueError, match=r"annotation 5 \(index 0\): field 'face_kpts' is missing"):
        read_coco_wholebody(write(tmp_path / "toy.json", value))


def test_wholebody_reads_133_keypoints_in_one_field_too(tmp_path):
    entry = wholebody_annotation()
    names = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
    apart = read_coco_wholebody(write(tmp_path / "a.json", {**content(), "annotations": [entry]}))
    entry = {**entry, "keypoints": [v for name in names for v in entry[name]]}
    file = write(tmp_path / "b.json", {**content(), "annotations": [entry]})
    together = read_coco(file, skeleton=COCO_WHOLEBODY)
    np.testing.assert_array_equal(together.keypoints_image, apart.keypoints_image)
    np.testing.assert_array_equal(together.visible, apart.visible)


@given(st.integers(1, 6), st.integers(0, 1000), st.sampled_from([COCO, CROWDPOSE]))
def test_written_and_read_again_is_the_same(tmp_path_factory, N, seed, skeleton):
    rng, K = np.random.default_rng(seed), skeleton.num_keypoints
    folder = tmp_path_factory.mktemp("coco")
    visible = rng.integers(0, 3, (N, K))
    visible[:, 0] = 2
    people = People(
        skeleton=skeleton,
        image_files=[folder / f"{i // 2}.jpg" for i in range(N)],
        image_ids=np.arange(N) // 2 + 3,
        annotation_ids=rng.permutation(100)[:N],
        boxes_xywh=rng.uniform(0, 30, (N, 4)).round(2) + 1,
        areas=rng.uniform(1, 500, N),
        keypoints_image=rng.uniform(-5, 99, (N, K, 2)),
        visible=visible,
        image_sizes=np.tile([[99, 88]], (N, 1)),
    )
    again = read_coco(write_coco(people, folder / "a.json", image_dir=folder), folder, skeleton=skeleton)
    assert again.image_files == people.image_files
    for name in ("image_ids", "annotation_ids", "visible", "image_sizes", "boxes_xywh"):
        np.testing.assert_array_equal(getattr(again, name), getattr(people, name))
    for name in ("areas", "keypoints_image"):
        np.testing.assert_allclose(getattr(again, name), getattr(people, name), atol=6e-5)


def test_file_names_are_relative_where_asked_for(tmp_path):
    people = read(tmp_path, content(), image_dir=tmp_path)

    def names(image_dir):
        written = json.loads(write_coco(people, tmp_path / "o.json", image_dir=image_dir).read_text())
        return [image["file_name"] for image in written["images"]]

    assert names(tmp_path) == ["b/two.png", "seven.jpg"]
    assert names(None) == [f"{tmp_path}/b/two.png", f"{tmp_path}/seven.jpg"]
    with pytest.raises(ValueError, match="seven.jpg"):
        write_coco(people, tmp_path / "o.json", image_dir=tmp_path / "b")


def test_written_file_is_what_pycocotools_reads(tmp_path):
    people = read(tmp_path, content())
    api = pycocotools.coco.COCO(write_coco(people, tmp_path / "o.json"))
    assert sorted(api.getAnnIds(7)) == [11, 13]
    assert api.loadCats(1)[0]["keypoints"] == list(TOY.keypoint_names)
    assert api.loadAnns(12)[0]["num_keypoints"] == 5


# --- real files


@pytest.mark.parametrize(
    ("file", "images", "count", "crowd"),
    [
        ("coco-mini/annotations/person_keypoints_train2017.json", "coco-mini/train2017", 86, 5),
        ("coco-mini/annotations/person_keypoints_val2017.json", "coco-mini/val2017", 35, 1),
        ("coco-poses/person_keypoints_trainsplit.json", None, 1087, 36),
    ],
)
def test_real_files(shared, file, images, count, crowd):
    people = read_coco(shared / "data" / file, None if images is None else shared / "data" / images)
    assert (len(people), people.excluded["crowd"]) == (count, crowd)
    assert images is None or all(path.is_file() for path in people.image_files)
    raw = json.loads((shared / "data" / file).read_text())["annotations"]
    by_id = {entry["id"]: entry for entry in raw}
    for row in range(0, len(people), 7):
        triples = np.array(by_id[int(people.annotation_ids[row])]["keypoints"]).reshape(-1, 3)
        np.testing.assert_array_equal(people.visible[row], triples[:, 2])
        np.testing.assert_allclose(people.keypoints_image[row], triples[:, :2])


def test_real_wholebody_and_other_sets(shared):
    fixtures = shared / "data/fixtures"
    apart = read_coco_wholebody(fixtures / "coco/test_coco_wholebody.json")
    together = read_coco(fixtures / "coco/test_keypoint_partition_metric.json", skeleton=COCO_WHOLEBODY)
    np.testing.assert_array_equal(apart.keypoints_image, together.keypoints_image)
    np.testing.assert_array_equal(apart.visible, together.visible)
    assert len(read_coco(fixtures / "crowdpose/test_crowdpose.json", skeleton=CROWDPOSE)) == 4
    assert len(read_coco(fixtures / "ochuman/test_ochuman.json")) == 5
