import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pctlib.data.coco import write_coco
from pctlib.data.datasets import LAYOUTS, read_dataset
from pctlib.data.people import People
from pctlib.skeletons import COCO, COCO_WHOLEBODY, CROWDPOSE, H36M, LSP, MPII


def coco_people(skeleton=COCO):
    K = skeleton.num_keypoints
    return People(
        skeleton=skeleton,
        image_files=[Path("000000000009.jpg"), Path("000000000025.jpg")],
        image_ids=np.array([9, 25]),
        annotation_ids=np.array([1, 2]),
        boxes_xywh=np.array([[1, 2, 30, 40], [3, 4, 50, 60]]),
        areas=np.array([600, 700]),
        keypoints_image=np.arange(2 * K * 2).reshape(2, K, 2) % 50,
        visible=np.full((2, K), 2),
        image_sizes=np.array([[100, 120], [100, 120]]),
    )


def write_wholebody(path):
    write_coco(coco_people(), path)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        for name, count in {"foot": 6, "face": 68, "lefthand": 21, "righthand": 21}.items():
            annotation[f"{name}_kpts"] = [5.0, 6.0, 2] * count
            annotation[f"{name}_valid"] = True
    path.write_text(json.dumps(content))


def write_mpii_json(path):
    person = {
        "image": "000000012.jpg",
        "center": [300, 250],
        "scale": 2,
        "joints": [[5, 6]] * 16,
        "joints_vis": [1] * 16,
    }
    path.write_text(json.dumps([person]))


def write_lsp(path):
    joints = np.random.default_rng(1).uniform(10, 100, (3, 14, 1002))
    joints[2] = 0
    scipy.io.savemat(path, {"joints": joints})


def write_lsp_extended(path):
    joints = np.random.default_rng(1).uniform(10, 100, (14, 3, 4))
    joints[:, 2] = 1
    scipy.io.savemat(path, {"joints": joints})


def write_h36m(path):
    names = np.array(["S9/S9_Eating.54138969/S9_Eating.54138969_000001.jpg"])
    part, S = np.ones((1, 17, 3)), np.ones((1, 17, 4))
    np.savez(path, imgname=names, center=np.ones((1, 2)), scale=np.ones(1), part=part, S=S)


CASES = {
    ("coco", "val"): (
        "annotations/person_keypoints_val2017.json",
        "val2017",
        COCO,
        2,
        lambda p: write_coco(coco_people(), p),
    ),
    ("coco-wholebody", "train"): (
        "annotations/coco_wholebody_train_v1.0.json",
        "images/train2017",
        COCO_WHOLEBODY,
        2,
        write_wholebody,
    ),
    ("crowdpose", "test"): (
        "json/crowdpose_test.json",
        "images",
        CROWDPOSE,
        2,
        lambda p: write_coco(coco_people(CROWDPOSE), p),
    ),
    ("ochuman", "val"): (
        "annotations/ochuman_coco_format_val_range_0.00_1.00.json",
        "images",
        COCO,
        2,
        lambda p: write_coco(coco_people(), p),
    ),
    ("mpii", "val"): ("annot/valid.json", "images", MPII, 1, write_mpii_json),
    ("lsp", "test"): ("joints.mat", "images", LSP, 2, write_lsp),
    ("lsp-extended", "train"): ("joints.mat", "images", LSP, 4, write_lsp_extended),
    ("own", "val"): (
        "annotations/val.json",
        "images/val",
        COCO,
        2,
        lambda p: write_coco(coco_people(), p),
    ),
    ("h36m", "test"): ("annotation_body3d/fps10/h36m_test.npz", "images", H36M, 1, write_h36m),
}


def test_every_data_set_has_a_case():
    assert {name for name, _ in CASES} == set(LAYOUTS)


def test_own_files_in_the_format_of_coco_need_no_year(tmp_path):
    (tmp_path / "annotations").mkdir()
    write_coco(coco_people(), tmp_path / "annotations" / "person_keypoints_train.json")
    (tmp_path / "train").mkdir()
    people = read_dataset("coco", tmp_path, "train")
    assert len(people) == 2
    assert all(file.parent == tmp_path / "train" for file in people.image_files)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_published_layout_is_read(tmp_path, case):
    name, split = case
    file, images, skeleton, count, write = CASES[case]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    write(tmp_path / file)
    if name != "h36m":  # whose poses are commonly used without images
        with pytest.raises(
            FileNotFoundError, match=f"images of {name}, split {split} are missing; .*{images}"
        ):
            read_dataset(name, tmp_path, split)
    (tmp_path / images).mkdir(parents=True)
    people = read_dataset(name, tmp_path, split)
    assert (len(people), people.skeleton) == (count, skeleton)
    assert all((tmp_path / images) in file.parents for file in people.image_files)
    poses = read_dataset(name, tmp_path, split, with_images=False)
    assert {str(file) for file in poses.image_files} == {"."}
    np.testing.assert_array_equal(poses.keypoints_image, people.keypoints_image)


def test_films_of_human36m_are_found_with_their_cameras(tmp_path):
    camera = {
        "R": np.eye(3),
        "T": np.zeros((3, 1)),
        "f": np.ones(2),
        "c": np.ones(2),
        "k": np.zeros(3),
        "p": np.zeros(2),
    }
    cameras = {
        (subject, view): {**camera, "w": 1000, "h": 1002}
        for subject in ("S9", "S11")
        for view in ("54138969", "55011271", "58860488", "60457274")
    }
    positions = {
        subject: {"Eating": np.random.default_rng(2).uniform(1, 2, (11, 32, 3))} for subject in ("S9", "S11")
    }
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array(positions, dtype=object))
    with pytest.raises(
        FileNotFoundError, match=r"the cameras of Human3\.6M are missing; expected .*cameras\.pkl or"
    ):
        read_dataset("h36m", tmp_path, "test")
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps(cameras))
    assert len(read_dataset("h36m", tmp_path, "test")) == 2 * 4 * 3  # frames 0, 5, 10


def test_release_of_mpii_serves_its_two_splits(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"split trainval are missing; expected .*u12_2.*u12_1\.mat or"
    ):
        read_dataset("mpii", tmp_path, "trainval")
    with pytest.raises(FileNotFoundError, match=r"expected .*annot/test\.json or .*u12_1\.mat"):
        read_dataset("mpii", tmp_path, "test")


def test_unknown_names_are_answered_with_the_known(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'posetrack'; known are coco, coco-wholebody, "):
        read_dataset("posetrack", tmp_path, "val")
    with pytest.raises(ValueError, match="ochuman has no split 'train'; it has val, test"):
        read_dataset("ochuman", tmp_path, "train")
    with pytest.raises(
        FileNotFoundError, match=r"no such folder: .*none \(expected the data set coco in it\)"
    ):
        read_dataset("coco", tmp_path / "none", "val")


def test_local_sample(shared):
    train = read_dataset("coco", shared / "data/coco-mini", "train")
    val = read_dataset("coco", shared / "data/coco-mini", "val")
    assert (len(train), len(set(train.image_ids))) == (86, 28)
    assert (len(val), len(set(val.image_ids)), val.excluded["crowd"]) == (35, 17, 1)
    assert len(read_dataset("lsp-extended", shared / "data/lsp", "train")) == 320
