"""Where the people of a study come from."""

import json
import os

import numpy as np
import pytest
from helpers.study_people import make_people

from pctlib.data.coco import write_coco
from pctlib.paths import project_root
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, COCO_WHOLEBODY
from pctlib.study.people import load_splits
from pctlib.study.people import make_people as make_procedural
from pctlib.study.pictures import gallery_rows, person_pictures
from pctlib.study.predictions import Predictions
from pctlib.workflow.sources import SOURCES, check_annotations, check_source

SMOKE = load_profile("smoke")


def write_split(root, split, count, seed):
    folder = root / f"{split}2017"
    people = make_people(folder, count, seed=seed)
    write_coco(people, root / "annotations" / f"person_keypoints_{split}2017.json", image_dir=folder)
    return people


def test_coco_has_its_own_splits(tmp_path):
    written = [write_split(tmp_path, "train", 6, 1), write_split(tmp_path, "val", 3, 2)]
    splits = load_splits("coco", SMOKE, root=str(tmp_path))
    assert (len(splits.train), len(splits.val)) == (6, 3)
    np.testing.assert_allclose(splits.val.boxes_xywh, written[1].boxes_xywh, atol=0.01)
    assert splits.counts()["training people"] == 6
    assert splits.summary().set_index("split")["people"].to_dict() == {"training": 6, "validation": 3}


def test_whole_bodies_where_the_set_has_them(tmp_path):
    for split, count in (("train", 6), ("val", 3)):
        write_split(tmp_path, split, count, 1)
    assert load_splits("coco", SMOKE, root=str(tmp_path), whole_body=True).train.skeleton == COCO
    file = tmp_path / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(file.read_text())
    for person in content["annotations"]:
        person |= {"foot_kpts": [1] * 18, "face_kpts": [0] * 204}
        person |= {"lefthand_kpts": [0] * 63, "righthand_kpts": [0] * 63}
    (file.parent / "coco_wholebody_val_v1.0.json").write_text(json.dumps(content))
    splits = load_splits("coco", SMOKE, root=str(tmp_path), whole_body=True)
    assert (splits.name, splits.train.skeleton) == ("coco-wholebody", COCO_WHOLEBODY)
    assert len(splits.train) + len(splits.val) == 3
    assert load_splits("coco", SMOKE, root=str(tmp_path)).val.skeleton == COCO


def test_annotations_without_a_box_are_an_error_or_left_out_by_the_profile(tmp_path):
    for split in ("train", "val"):
        write_split(tmp_path, split, 4, 1)
    file = tmp_path / "annotations" / "person_keypoints_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [10, 10, -5, 20]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has no extent inside its image; .*skip_broken: true"):
        load_splits("coco", SMOKE, root=str(tmp_path))
    splits = load_splits("coco", load_profile("smoke", skip_broken=True), root=str(tmp_path))
    assert len(splits.train) == len(content["annotations"]) - 1
    assert sum(splits.train.excluded.values()) == 1


def test_a_single_split_holds_out_a_fifth_of_its_images(tmp_path):
    write_split(tmp_path, "val", 10, 3)
    splits = load_splits("coco", SMOKE, root=str(tmp_path))
    assert (len(splits.train), len(splits.val)) == (8, 2)
    assert not set(splits.train.image_ids) & set(splits.val.image_ids)


def test_poses_of_several_files_are_read_together(tmp_path):
    write_split(tmp_path / "a", "val", 10, 4)
    write_split(tmp_path / "b", "val", 5, 5)
    files = [str(tmp_path / x / "annotations" / "person_keypoints_val2017.json") for x in "ab"]
    splits = load_splits("poses", SMOKE, root=os.pathsep.join(files))
    assert (len(splits.train), len(splits.val)) == (12, 3)


def test_procedural_people_are_made_once_and_keep_their_truth(tmp_path, monkeypatch):
    smoke_file = project_root() / "workflow" / "sizes" / "smoke.yml"
    (tmp_path / "workflow" / "sizes").mkdir(parents=True)
    monkeypatch.setenv("PCTLIB_ROOT", str(tmp_path))
    small = load_profile(smoke_file, people__train_images=3, people__val_images=2)
    splits = load_splits("procedural", small, progress=False)
    assert splits.train.keypoints_3d.shape == (len(splits.train), 17, 3)
    assert splits.train.occlusion.max() <= 1
    whole = load_splits("procedural", small, whole_body=True, progress=False)
    assert (splits.train.skeleton, whole.train.skeleton) == (COCO, COCO_WHOLEBODY)
    picture = splits.train.image_files[0]
    before = picture.stat().st_mtime_ns
    assert make_procedural(small, progress=False) in picture.parents
    assert picture.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("dataset", "root", "error", "message"),
    [
        ("cocoa", "", ValueError, "expected one of procedural, coco"),
        ("procedural", "somewhere", ValueError, "procedural people need none"),
        ("coco", "", ValueError, "needs the data set's folder"),
        ("coco", "nowhere", FileNotFoundError, "no such file or folder: nowhere"),
    ],
)
def test_bad_sources_are_named(dataset, root, error, message):
    with pytest.raises(error, match=message):
        check_source(dataset, root)


def test_data_without_annotations_are_refused_before_the_study_starts(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no annotations of coco; .*person_keypoints_train2017\.json"
    ):
        check_annotations("coco", str(tmp_path))
    (tmp_path / "annot").mkdir()
    (tmp_path / "annot" / "train.json").touch()
    check_annotations("mpii", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no annotations of crowdpose"):
        check_annotations("crowdpose", str(tmp_path))


def test_empty_folder_says_what_was_expected(tmp_path):
    for name in set(SOURCES) - {"procedural", "poses"}:
        with pytest.raises(FileNotFoundError, match="expected"):
            load_splits(name, SMOKE, root=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "folder", "count"), [("coco", "coco-mini", 121), ("lsp-extended", "lsp", 320)]
)
def test_real_data_sets_are_read(shared, name, folder, count):
    splits = load_splits(name, SMOKE, root=str(shared / "data" / folder))
    assert len(splits.train) + len(splits.val) == count


def test_pictures_show_the_crop_and_people_without_images_stand_on_grey(tmp_path):
    people = make_people(tmp_path, 4)
    pictures = person_pictures(people, [2, 0], size=80)
    assert [image.shape for image in pictures.images] == [(80, 80, 3)] * 2
    inside = pictures.keypoints[0][people.visible[2] > 0]
    assert ((inside > 0) & (inside < 80)).all()
    assert pictures.lengths[0] == pytest.approx(80 / 1.25, rel=1e-4)
    people.image_files = [type(people.image_files[0])()] * 4
    blank = person_pictures(people, [2], size=80)
    np.testing.assert_allclose(blank.keypoints[0], pictures.keypoints[0])
    assert blank.images[0].std() == 0


def test_gallery_places_predictions_in_the_crop(tmp_path):
    people = make_people(tmp_path, 4)
    truth = Predictions(people.keypoints_image, np.ones((4, 17), np.float32))
    (row,) = gallery_rows(people, [(1, "worst")], {"truth": truth}, size=64)
    np.testing.assert_allclose(row.predictions["truth"], row.truth, atol=1e-3)
    assert row.label == "worst"
