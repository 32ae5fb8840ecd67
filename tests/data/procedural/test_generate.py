import importlib
import json

import numpy as np
import pycocotools.coco
import pytest
from PIL import Image
from typer.testing import CliRunner

from pctlib.commands import app
from pctlib.data.procedural import Occlusion, generate, load_3d, read_procedural
from pctlib.skeletons import COCO, H36M

OPTIONS = {"split": "val", "count": 5, "seed": 4, "image_size": 64, "progress": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    generate(root, **OPTIONS)
    return root


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_pycocotools_reads_it(data, capsys):
    coco = pycocotools.coco.COCO(str(data / "annotations" / "person_keypoints_val.json"))
    assert len(coco.getImgIds()) == 5
    assert coco.loadCats(1)[0]["keypoints"] == list(COCO.keypoint_names)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        flags = annotation["keypoints"][2::3]
        assert len(flags) == 17
        assert annotation["num_keypoints"] == sum(flag > 0 for flag in flags)
        assert annotation["iscrowd"] == 0
        assert annotation["area"] > 0
    name = coco.loadImgs(1)[0]["file_name"]
    assert name == "000000000001.jpg"
    assert Image.open(data / "val" / name).size == (64, 64)


def test_wholebody_fields(data):
    annotation = json.loads((data / "annotations" / "coco_wholebody_val.json").read_text())["annotations"][0]
    lengths = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    assert {name: len(annotation[name]) // 3 for name in lengths} == lengths
    for part in ("face", "lefthand", "righthand"):
        assert isinstance(annotation[f"{part}_valid"], bool)
        assert len(annotation[f"{part}_box"]) == 4
    assert isinstance(annotation["foot_valid"], bool)


def test_people_and_3d_agree(data):
    people, whole = read_procedural(data, "val"), read_procedural(data, "val", whole_body=True)
    truth = load_3d(data, "val")
    assert people.visible.shape[1:] == (17,)
    assert whole.visible.shape[1:] == (133,)
    np.testing.assert_allclose(whole.keypoints_image[:, :17], people.keypoints_image[: len(whole)], atol=1e-3)
    assert people.keypoints_3d.shape[1:] == (17, 3)
    assert ((people.occlusion >= 0) & (people.occlusion <= 1)).all()
    assert truth["pose"].shape[1:] == (55, 3)
    assert truth["is_main"].sum() == 5
    assert all(path.is_file() for path in people.image_files)


def test_the_same_bytes_with_every_number_of_workers_and_after_a_stop(data, tmp_path, monkeypatch):
    module = importlib.import_module("pctlib.data.procedural.generate")
    monkeypatch.setattr(module, "_CHUNK", 2)
    generate(tmp_path, **OPTIONS)
    expected = {name: content for name, content in files(data).items() if "_parts" not in name}
    assert {name: content for name, content in files(tmp_path).items() if "_parts" not in name} == expected
    (tmp_path / "val" / "000000000004.jpg").unlink()
    (tmp_path / "annotations" / ".val_parts" / "000000004_000000005.json").unlink()
    (tmp_path / "annotations" / "person_keypoints_val.json").unlink()
    kept = (tmp_path / "val" / "000000000001.jpg").stat().st_mtime_ns
    generate(tmp_path, **OPTIONS)
    assert {name: content for name, content in files(tmp_path).items() if "_parts" not in name} == expected
    assert (tmp_path / "val" / "000000000001.jpg").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_the_same_bytes_from_two_processes(data, tmp_path, monkeypatch):
    module = importlib.import_module("pctlib.data.procedural.generate")
    monkeypatch.setattr(module, "_CHUNK", 2)  # three tasks for two processes
    generate(tmp_path, **OPTIONS, workers=2)
    expected = {name: content for name, content in files(data).items() if "_parts" not in name}
    assert {name: content for name, content in files(tmp_path).items() if "_parts" not in name} == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "seed was 4, now 5"),
        ({"image_size": 96}, "image_size was 64, now 96"),
        ({"occlusion": 0.5}, "occlusion was"),
        ({"occlusion": Occlusion("object", 0.25)}, "occlusion was"),
        ({"crowd": 0.0}, "crowd was 0.4, now 0.0"),
        ({"count": 0}, "count >= 1"),
        ({"workers": 0}, "workers >= 1"),
        ({"split": "a/b"}, "plain split name"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        generate(data, **{**OPTIONS, **change})


def test_a_missing_body_model_leaves_nothing_behind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.npz"):
        generate(tmp_path, **OPTIONS, body_model=tmp_path / "nope.npz")
    assert list(tmp_path.iterdir()) == []


def test_3d_of_another_set_is_refused(data, tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val").symlink_to(data / "val")
    for path in (data / "annotations").glob("*.json"):
        (tmp_path / "annotations" / path.name).write_bytes(path.read_bytes())
    np.savez(tmp_path / "annotations" / "person_3d_val.npz", annotation_ids=np.array([1]))
    with pytest.raises(ValueError, match=r"person_3d_val\.npz lacks"):
        read_procedural(tmp_path, "val")


def test_command(tmp_path):
    arguments = [
        "people",
        "--out",
        str(tmp_path),
        "--count",
        "1",
        "--image-size",
        "64",
        "--occlusion",
        "object",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "train" / "000000000001.jpg").exists()
    settings = json.loads((tmp_path / "procedural_train.json").read_text())
    assert settings["occlusion"] == {"kind": "object", "level": 0.25}


def test_3d_joints_appear_at_the_keypoints_of_the_same_name(data):
    people = read_procedural(data, "val")
    shared_joints = [(COCO.index(n), H36M.index(n)) for n in COCO.keypoint_names if n in H36M.keypoint_names]
    assert len(shared_joints) == 12
    for here, there in shared_joints:
        seen = people.visible[:, here] > 0
        np.testing.assert_allclose(
            people.joints_image[seen, there], people.keypoints_image[seen, here], atol=0.02
        )
    assert len(people.actions) == len(people)
