import json

import h5py
import numpy as np
import pytest
import scipy.io

from pctlib.data.mpii import read_mpii
from pctlib.skeletons import MPII

RNG = np.random.default_rng(16)
JOINTS = RNG.uniform(100, 500, (16, 2)).round(2)


def write_json(path, **changes):
    person = {
        "image": "000000012.jpg",
        "center": [300.0, 250.0],
        "scale": 2.0,
        "joints": JOINTS.tolist(),
        "joints_vis": [1] * 15 + [0],
    }
    people = [person, {**person, "image": "000000013.jpg", **changes}]
    path.write_text(json.dumps(people))
    return path


def write_hdf5(path, **changes):
    fields = {
        "imgname": np.array([b"000000012.jpg"]),
        "center": np.array([[300.0, 280.0]]),
        "scale": np.array([2.5]),
        "part": np.where(np.arange(16)[:, None] == 15, 0.0, JOINTS)[None],
        "visible": np.array([[0.0] + [1.0] * 14 + [0.0]]),
        "normalize": np.array([42.5]),
    }
    with h5py.File(path, "w") as file:
        for name, value in {**fields, **changes}.items():
            if value is not None:
                file[name] = value
    return path


def struct(**fields):
    return fields


def write_release(path):
    """Write a release: two people and two that are left out, a test image, an image without people."""
    points = [struct(id=k, x=JOINTS[k, 0], y=JOINTS[k, 1], is_visible=1) for k in range(15)]
    points[0]["is_visible"] = 0
    for k in (8, 9):
        points[k]["is_visible"] = np.zeros((0, 0))  # as the release has it for the head
    box = struct(x1=1, y1=2, x2=31, y2=42)
    objpos = struct(x=300, y=250)
    person = struct(**box, annopoints=struct(point=points), scale=2.0, objpos=objpos)
    second = struct(**box, annopoints=struct(point=points[3:4]), scale=1.0, objpos=struct(x=10, y=20))
    without_joints = struct(**box, annopoints=np.zeros((0, 0)), scale=2.0, objpos=objpos)
    without_scale = struct(**box, annopoints=struct(point=points), scale=np.zeros((0, 0)), objpos=objpos)
    hidden_truth = struct(scale=3.0, objpos=objpos)
    annolist = [
        struct(image=struct(name="000000012.jpg"), annorect=[person, second, without_joints, without_scale]),
        struct(image=struct(name="000000014.jpg"), annorect=hidden_truth),
        struct(image=struct(name="000000015.jpg"), annorect=np.zeros((0, 0))),
    ]

    def cells(value):  # lists of dicts become Matlab struct arrays
        if isinstance(value, dict):
            return {key: cells(item) for key, item in value.items()}
        if isinstance(value, list):
            names = list(dict.fromkeys(key for item in value for key in item))
            out = np.empty((1, len(value)), dtype=[(name, object) for name in names])
            for i, item in enumerate(value):
                for name in names:
                    out[0, i][name] = cells(item.get(name, np.zeros((0, 0))))
            return out
        return value

    release = struct(annolist=cells(annolist), img_train=np.array([1, 0, 1]), version="12")
    scipy.io.savemat(path, {"RELEASE": release})
    return path


def test_json_counts_from_one_and_marks_annotated_joints_only(tmp_path):
    people = read_mpii(write_json(tmp_path / "valid.json"), tmp_path / "images")
    assert people.skeleton is MPII
    assert people.image_files[0] == tmp_path / "images" / "000000012.jpg"
    assert people.image_ids.tolist() == [12, 13]
    assert people.visible[0].tolist() == [2] * 15 + [0]
    np.testing.assert_allclose(people.keypoints_image[0, :15], JOINTS[:15] - 1, rtol=1e-6)
    assert (people.keypoints_image[0, 15] == 0).all()
    # centre (300, 250 + 15 * 2) from 1 is (299, 279) from 0; side 200 * 2
    np.testing.assert_allclose(people.boxes_xywh[0], [299 - 200, 279 - 200, 400, 400])
    np.testing.assert_allclose(people.areas[0], 0.53 * 400 * 400)


def test_hdf5_is_the_same_person_and_knows_hidden_joints(tmp_path):
    people = read_mpii(write_hdf5(tmp_path / "valid.h5"), "images")
    from_json = read_mpii(write_json(tmp_path / "valid.json"), "images")
    np.testing.assert_allclose(people.boxes_xywh[0], from_json.boxes_xywh[0])
    np.testing.assert_allclose(people.keypoints_image[0], from_json.keypoints_image[0])
    assert people.visible[0].tolist() == [1] + [2] * 14 + [0]


def test_release_is_the_same_person_too(tmp_path):
    path = write_release(tmp_path / "mpii_human_pose_v1_u12_1.mat")
    people = read_mpii(path, "images", split="trainval")
    from_json = read_mpii(write_json(tmp_path / "valid.json"), "images")
    assert people.image_ids.tolist() == [12, 12]
    np.testing.assert_allclose(people.boxes_xywh[0], from_json.boxes_xywh[0])
    np.testing.assert_allclose(people.keypoints_image[0], from_json.keypoints_image[0])
    assert people.visible[0].tolist() == [1] + [2] * 14 + [0]
    assert people.visible[1].tolist() == [0, 0, 0, 2] + [0] * 12  # a single point is squeezed, still read
    assert people.excluded == {"no centre or scale": 1, "no joints": 1}
    test = read_mpii(path, "images", split="test")
    assert (test.image_ids.tolist(), test.visible.sum(), test.boxes_xywh[0, 2]) == ([14], 0, 600)


def test_people_without_centre_are_counted(tmp_path):
    people = read_mpii(write_json(tmp_path / "valid.json", center=[-1.0, -1.0]), "images")
    assert (len(people), people.excluded) == (1, {"no centre or scale": 1})


def test_test_json_has_no_joints(tmp_path):
    (tmp_path / "test.json").write_text(
        json.dumps([{"image": "000000012.jpg", "center": [300, 250], "scale": 2.0}])
    )
    assert not read_mpii(tmp_path / "test.json", "images").labelled.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": [[1, 2]]}, r"person 1 needs joints .*, got \(1, 2\) and \(16,\)"),
        ({"joints_vis": [1]}, r"person 1 needs joints .*, got \(16, 2\) and \(1,\)"),
        ({"joints": [[1, 2], [3]]}, r"person 1 needs joints .*, got \(0,\) and \(16,\)"),
        ({"center": None}, r"person 1 needs image, .*got '.*', None and"),
        ({"scale": "x"}, "person 1 needs image, .* and 'x'"),
        ({"image": 5}, "person 1 needs image, .*got 5,"),
        ({"image": "a.jpg"}, "image name 'a.jpg' is not a number"),
    ],
)
def test_bad_json_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf"valid\.json: .*{message}"):
        read_mpii(write_json(tmp_path / "valid.json", **changes), "images")


def test_other_bad_input_is_named(tmp_path):
    (tmp_path / "a.json").write_text('[{"image": "1.jpg", "center": [1, 1]}]')
    with pytest.raises(ValueError, match=r"a\.json: person 0 has no field scale"):
        read_mpii(tmp_path / "a.json", "images")
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"a\.json: expected a list of persons"):
        read_mpii(tmp_path / "a.json", "images")
    with pytest.raises(ValueError, match=r"a\.h5: field part needs shape \(1, 16, 2\), got \(1, 17, 2\)"):
        read_mpii(write_hdf5(tmp_path / "a.h5", part=np.zeros((1, 17, 2))), "images")
    with pytest.raises(ValueError, match=r"b\.h5: field visible is missing"):
        read_mpii(write_hdf5(tmp_path / "b.h5", visible=None), "images")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"a\.txt: expected a file ending in \.mat, \.json, \.h5"):
        read_mpii(tmp_path / "a.txt", "images")
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        read_mpii(tmp_path / "none.h5", "images")


def test_split_belongs_to_the_release_only(tmp_path):
    with pytest.raises(ValueError, match=r"split is 'trainval' or 'test' for \.mat.*got 'test'"):
        read_mpii(write_hdf5(tmp_path / "valid.h5"), "images", split="test")
    path = write_release(tmp_path / "a.mat")
    for split in (None, "val"):
        with pytest.raises(ValueError, match="split"):
            read_mpii(path, "images", split=split)


def test_local_sample(shared):
    people = read_mpii(shared / "data/mpii-poses/valid.h5", "images")
    assert (len(people), len(np.unique(people.image_ids))) == (2000, 1847)
    sample = read_mpii(shared / "data/fixtures/mpii/test_mpii.json", shared / "data/fixtures/mpii")
    assert len(sample) == 5
    assert all(file.is_file() for file in sample.image_files)
    # The first five of the HDF5 are the five of the JSON; its joints are cut to whole pixels.
    np.testing.assert_allclose(people.boxes_xywh[:5], sample.boxes_xywh, atol=2e-4)
    np.testing.assert_array_equal(people.labelled[:5], sample.labelled)
    assert np.abs(people.keypoints_image[:5] - sample.keypoints_image).max() < 1
    assert (people.visible[:, [8, 9]] != 1).all()  # head and neck are never called hidden
    assert (people.visible == 1).sum() > 5000
    inside = (people.keypoints_image >= people.boxes_xywh[:, None, :2]) & (
        people.keypoints_image <= people.boxes_xywh[:, None, :2] + people.boxes_xywh[:, None, 2:]
    )
    assert inside.all(-1)[people.labelled].mean() > 0.95
