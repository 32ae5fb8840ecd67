"""Own keypoints in the COCO format, from the file of a tool to a predictor."""

import json

import numpy as np
import pytest
from PIL import Image

from pctlib.data.datasets import read_dataset, splits_there
from pctlib.data.own import draft_keypoints, own_skeleton, read_own, skeleton_of_category
from pctlib.inference.predictor import Predictor
from pctlib.profiles.profile import load_profile
from pctlib.skeleton_files import read_skeleton
from pctlib.skeletons import COCO
from pctlib.study.people import load_splits
from pctlib.study.stages.heatmap import train_heatmap

NAMES = ["nose", "left_ear", "right_ear", "tail_root", "tail_tip"]
CAT = {
    "id": 3,
    "name": "cat",
    "supercategory": "animal",
    "keypoints": NAMES,
    "skeleton": [[1, 2], [1, 3], [4, 5]],
}


def write_cats(root, file, folder, *, count=10, categories=(CAT,), seed=0):
    """Write pictures with one cat each, and their annotations; the first category has no keypoints."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(
            root / folder / f"{number}.jpg"
        )
        images.append({"id": number, "file_name": f"{number}.jpg", "height": 96, "width": 96})
        points = [[*rng.uniform(20, 70, 2).round(1).tolist(), 2] for _ in NAMES]
        entry = {"id": number, "image_id": number, "category_id": 3, "bbox": [10, 10, 70, 70], "iscrowd": 0}
        annotations.append(
            {
                **entry,
                "area": 3000,
                "keypoints": [value for point in points for value in point],
                "num_keypoints": 5,
            }
        )
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 0, "name": "animals"}, *categories]
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(content))
    return root / file


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/train.json", "images/train"),
        ("annotations/person_keypoints_default.json", "images"),  # CVAT
        ("train/_annotations.coco.json", "train"),  # Roboflow
        ("result.json", "images"),  # Label Studio
        ("annotations.json", "."),  # labelme2coco
    ],
)
def test_exports_of_tools_are_found(tmp_path, file, folder):
    write_cats(tmp_path, file, folder)
    assert splits_there("own", tmp_path) == ["train"]
    people = read_dataset("own", tmp_path, "train")
    assert (len(people), people.skeleton.keypoint_names) == (10, tuple(NAMES))
    assert all(image.is_file() for image in people.image_files)
    splits = load_splits("own", load_profile("smoke"), root=str(tmp_path))
    assert (len(splits.train), len(splits.val)) == (8, 2)


def test_the_category_tells_names_limbs_pairs_and_sigmas(tmp_path):
    skeleton = own_skeleton(write_cats(tmp_path, "train.json", "images"))
    assert (skeleton.name, skeleton.limbs) == ("cat", ((0, 1), (0, 2), (3, 4)))
    assert skeleton.flip_pairs == ((1, 2),)
    assert skeleton.sigmas[:3] == (COCO.sigmas[0], COCO.sigmas[3], COCO.sigmas[4])
    assert skeleton.sigmas[3] == pytest.approx(np.mean(COCO.sigmas), abs=1e-3)
    from_zero = skeleton_of_category({**CAT, "skeleton": [[0, 1], [3, 4]]}, "a.json")
    assert from_zero.limbs == ((0, 1), (3, 4))
    person = {"name": "human", "keypoints": list(COCO.keypoint_names), "skeleton": []}
    assert skeleton_of_category(person, "a.json") is COCO


def test_a_file_beside_corrects_it(tmp_path):
    file = write_cats(tmp_path, "annotations/train.json", "images/train")
    draft = draft_keypoints(file)
    assert draft == tmp_path / "annotations/keypoints.yml"
    assert draft_keypoints(file) is None
    assert read_skeleton(draft) == own_skeleton(file)
    text = draft.read_text()
    assert "left_ear, right_ear" in text.replace("\n", " ")
    start = text.index("\nlimb_colors:") + 1  # not in the comment
    text = (
        text[:start]
        + 'limb_colors: ["#112233", "#445566", "#FF0000"]\n'
        + text[text.index("sigmas:", start) :]
    )
    draft.write_text(text.replace("name: cat", "name: lion"))
    people = read_own(file, tmp_path / "images/train")
    assert people.skeleton.name == "lion"
    assert people.skeleton.limb_colors == ("#112233", "#445566", "#ff0000")
    draft.write_text("keypoints: [a, b]")
    with pytest.raises(ValueError, match=r"keypoints\.yml: 2 keypoints, the category in .* has 5"):
        own_skeleton(file)


def test_what_cannot_be_told_is_asked_for(tmp_path):
    bare = write_cats(tmp_path / "a", "train.json", "images", categories=[{"id": 3, "name": "cat"}])
    with pytest.raises(ValueError, match=r"does not name its keypoints; write them to keypoints\.yml"):
        own_skeleton(bare)
    dog = {**CAT, "id": 4, "name": "dog", "keypoints": ["snout"], "skeleton": []}
    two = write_cats(tmp_path / "b", "train.json", "images", categories=[CAT, dog])
    with pytest.raises(
        ValueError, match="expected one category with keypoints, the file has 'animals', 'cat'"
    ):
        own_skeleton(two)
    assert own_skeleton(two, category="dog").keypoint_names == ("snout",)
    with pytest.raises(ValueError, match="expected category 'cow', the file has"):
        own_skeleton(two, category="cow")
    person = {**dog, "id": 5, "name": "Person", "keypoints": ["nose", "chin"]}
    beside = write_cats(tmp_path / "d", "train.json", "images", categories=[CAT, person, dog])
    assert own_skeleton(beside).keypoint_names == ("nose", "chin"), "the rule of read_coco"
    far = write_cats(tmp_path / "c", "train.json", "images", categories=[{**CAT, "skeleton": [[1, 9]]}])
    with pytest.raises(
        ValueError, match=r"train\.json: category 'cat': limbs\[0\]: expected a name or 0\.\.4"
    ):
        own_skeleton(far)
    assert len(read_own(two, category="cat")) == 10


def test_a_network_learns_own_keypoints_and_predicts_them(tmp_path):
    write_cats(tmp_path, "annotations/train.json", "images/train", count=12)
    write_cats(tmp_path, "annotations/val.json", "images/val", count=4, seed=1)
    profile = load_profile("smoke")
    splits = load_splits("own", profile, root=str(tmp_path))
    train_heatmap(profile, splits, seed=0, out_dir=tmp_path / "run", progress=False)
    people = Predictor(tmp_path / "run")(tmp_path / "images/val/0.jpg", boxes=[[10, 10, 80, 80]])
    assert people.skeleton == splits.train.skeleton
    assert people.keypoints.shape == (1, 5, 2)
    people.draw(tmp_path / "cat.png")
