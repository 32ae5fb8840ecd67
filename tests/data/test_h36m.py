import json
import pickle

import numpy as np
import pytest

from pctlib.data.cameras import read_h36m_cameras
from pctlib.data.datasets import read_dataset
from pctlib.data.h36m import SUBJECTS, h36m_actions, read_h36m, read_h36m_videopose
from pctlib.skeletons import H36M

RNG = np.random.default_rng(36)
IDS = ("54138969", "55011271", "58860488", "60457274")
KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]


def flat(path, **changes):
    arrays = {
        "imgname": np.array(
            ["S1/S1_Walking_1.54138969/S1_Walking_1.54138969_000006.jpg", "S5_Eating.55011271_000001.jpg"]
        ),
        "center": np.array([[400.0, 300], [410, 310]]),
        "scale": np.array([2.0, 1.5]),
        "part": np.concatenate([RNG.uniform(300, 500, (2, 17, 2)), np.ones((2, 17, 1))], axis=2),
        "S": np.concatenate([RNG.normal(size=(2, 17, 3)), np.ones((2, 17, 1))], axis=2),
    }
    arrays["part"][0, 3] = 9, 9, 0
    np.savez(path, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})
    return arrays


def test_flat_file(tmp_path):
    arrays = flat(tmp_path / "h36m_train.npz")
    people = read_h36m(tmp_path / "h36m_train.npz", tmp_path)
    assert people.skeleton is H36M
    assert people.image_files[0] == tmp_path / str(arrays["imgname"][0])
    np.testing.assert_allclose(people.boxes_xywh[1], [410 - 150, 310 - 150, 300, 300])
    np.testing.assert_allclose(people.keypoints_3d, 1000 * arrays["S"][..., :3], rtol=1e-5)
    assert people.visible[0].tolist() == [2, 2, 2, 0] + [2] * 13
    assert (people.keypoints_image[0, 3] == 0).all()
    assert h36m_actions(people) == ["Walking", "Eating"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": np.zeros((2, 24, 3))}, r"array part needs shape \(2, 17, 3\), got \(2, 24, 3\)"),
        ({"S": None}, "array S is missing"),
        ({"scale": np.zeros(3)}, r"array scale needs shape \(2,\), got \(3,\)"),
    ],
)
def test_bad_flat_file_is_named(tmp_path, changes, message):
    flat(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=rf"a\.npz: {message}"):
        read_h36m(tmp_path / "a.npz", tmp_path)


def test_other_names_have_no_action(tmp_path):
    flat(tmp_path / "a.npz", imgname=np.array(["a.jpg", "b.jpg"]))
    with pytest.raises(ValueError, match=r"row 0, a\.jpg is not named S1_Action"):
        h36m_actions(read_h36m(tmp_path / "a.npz", ""))


@pytest.fixture
def films(tmp_path):
    """Write a tiny release: both test subjects, two actions of S9, four cameras that look along +y."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera -> world
    cameras = {}
    for view, camera in enumerate(IDS):
        for subject in sum(SUBJECTS.values(), ()):
            cameras[subject, camera] = {
                "R": turn,
                "T": np.array([[view / 10], [-5.0], [1.0]]),
                "f": np.array([[1000.0], [1000]]),
                "c": np.array([[500.0], [501]]),
                "k": np.array([[-0.2], [0.2], [0]]),
                "p": np.array([[0.001], [0.002]]),
                "w": 1000,
                "h": 1002,
            }
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps(cameras))
    positions = {
        "S9": {"Walking 1": pose(5), "Eating": pose(3)},
        "S11": {"Eating": pose(2)},
        "S1": {"Eating": pose(1)},
    }
    save(tmp_path / "data_3d_h36m.npz", "positions_3d", positions)
    return tmp_path, positions


def pose(frames):
    return RNG.normal(0, 0.3, (frames, 32, 3)).astype(np.float32) + np.float32([0, 0, 1])


def save(path, name, value):
    np.savez_compressed(path, **{name: np.array(value, dtype=object)})


def read(root, **options):
    return read_h36m_videopose(
        root / "data_3d_h36m.npz", root / "cameras.pkl", **{"split": "test", **options}
    )


def test_films_become_one_row_a_frame_and_camera(films):
    root, positions = films
    people = read(root, images_dir="images")
    assert len(people) == 4 * (5 + 3 + 2)
    assert str(people.image_files[0]) == "images/S9/S9_Eating.54138969/S9_Eating.54138969_000001.jpg"
    row = 4 * 3 + 5  # S9, Walking 1, second camera, first frame
    assert people.image_files[row].name == "S9_Walking_1.55011271_000001.jpg"
    assert h36m_actions(people) == ["Eating"] * 12 + ["Walking"] * 20 + ["Eating"] * 8
    camera = read_h36m_cameras(root / "cameras.pkl")["S9", IDS[1]]
    world = 1000.0 * positions["S9"]["Walking 1"][0, KEPT]
    np.testing.assert_allclose(people.keypoints_3d[row], camera.world_to_camera(world), rtol=1e-4, atol=1e-2)
    # x right, y down, z forward: the camera stands at (0.1, -5, 1) m and looks along +y
    expected = np.stack([world[:, 0] - 100, 1000 - world[:, 2], world[:, 1] + 5000], axis=1)
    np.testing.assert_allclose(people.keypoints_3d[row], expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(
        people.keypoints_image[row], camera.project(camera.world_to_camera(world)), rtol=1e-4
    )
    low, high = people.keypoints_image[row].min(0), people.keypoints_image[row].max(0)
    side = 1.2 * (high - low).max()
    np.testing.assert_allclose(people.boxes_xywh[row], [*((low + high - side) / 2), side, side], rtol=1e-4)
    assert people.image_sizes[row].tolist() == [1002, 1000]


def test_split_frame_step_and_given_pixels_change_the_rows(films):
    root, _ = films
    with pytest.raises(ValueError, match=r"subject S5 is missing, the file has S9, S11, S1"):
        read(root, split="train")
    people = read(root, frame_step=2)
    assert len(people) == 4 * (3 + 2 + 1)
    assert [file.stem[-6:] for file in people.image_files[8:11]] == ["000001", "000003", "000005"]
    pixels = {
        "S9": {"Walking 1": [np.full((6, 17, 2), view) + np.arange(34).reshape(17, 2) for view in range(4)]},
        "S11": {"Eating": [np.arange(2 * 34).reshape(2, 17, 2)] * 4},
    }
    save(root / "2d.npz", "positions_2d", pixels)
    people = read(root, positions_2d=root / "2d.npz")
    assert (len(people), people.excluded) == (28, {"no 2D joints": 12})
    np.testing.assert_array_equal(people.keypoints_image[5], pixels["S9"]["Walking 1"][1][0])


def test_bad_films_are_named(films):
    root, positions = films
    save(root / "2d.npz", "positions_2d", {"S9": {"Eating": [np.zeros((2, 17, 2))] * 4}})
    with pytest.raises(ValueError, match=r"S9, Eating, camera 54138969 need .*, got \(2, 17, 2\)"):
        read(root, positions_2d=root / "2d.npz")
    wrong = [({"split": "val"}, "'train' or 'test', got 'val'"), ({"frame_step": 0}, "1 or more")]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            read(root, **options)
    save(root / "data_3d_h36m.npz", "positions_3d", {**positions, "S9": {"Eating": pose(2)[:, :17]}})
    with pytest.raises(ValueError, match=r"S9, Eating needs shape \(T, 32, 3\), got \(2, 17, 3\)"):
        read(root)
    cameras = pickle.loads((root / "cameras.pkl").read_bytes())
    (root / "cameras.pkl").write_bytes(pickle.dumps({("S1", IDS[0]): cameras["S1", IDS[0]]}))
    save(root / "data_3d_h36m.npz", "positions_3d", positions)
    with pytest.raises(ValueError, match="have none for S9, 54138969"):
        read(root)


def test_local_sample(shared):
    root = shared / "data/fixtures/h36m"
    people = read_h36m(root / "test_h36m_body3d.npz", root)
    assert h36m_actions(people) == ["Directions", "SittingDown", "Greeting", "WalkDog"]
    assert all(file.is_file() for file in people.image_files)
    cameras = read_h36m_cameras(root / "cameras.pkl")
    world = [a["keypoints_3d"] for a in json.loads((root / "h36m_coco.json").read_text())["annotations"]]
    for row, file in enumerate(people.image_files):
        subject, camera_id = file.name.split("_")[0], file.parent.name.split(".")[1]
        camera = cameras[subject, camera_id]
        np.testing.assert_allclose(
            camera.project(people.keypoints_3d[row].astype(float)), people.keypoints_image[row], atol=1e-3
        )
        meant = 1000 * np.reshape(world[row], (17, 4))[:, :3]
        np.testing.assert_allclose(camera.world_to_camera(meant), people.keypoints_3d[row], atol=1e-2)
        # Joints 1-3 are the right leg: seen by the person, right is where the cross product of up and left
        # says.
        hips = meant[H36M.index("left_hip")] - meant[H36M.index("right_hip")]
        toward = np.cross(hips, meant[H36M.index("thorax")] - meant[0])  # where the chest faces
        knees = meant[[H36M.index("left_knee"), H36M.index("right_knee")]].mean(0)
        ankles = meant[[H36M.index("left_ankle"), H36M.index("right_ankle")]].mean(0)
        bend = knees - (meant[0] + ankles) / 2
        assert bend @ toward > 0, file  # knees bend forward


def test_actions_and_cameras_come_from_the_names(films):
    root, _ = films
    people = read(root)
    assert sorted(set(people.actions.tolist())) == ["Eating", "Walking"]
    np.testing.assert_allclose(people.joints_image, people.keypoints_image, atol=1e-2)
    flat(root / "a.npz")
    table = read_h36m(root / "a.npz", "", cameras=root / "cameras.pkl")
    np.testing.assert_allclose(table.focal, 1000)
    np.testing.assert_allclose(table.distortion[0], [-0.2, 0.2, 0, 0.001, 0.002], rtol=1e-6)


def test_a_missing_camera_is_named(films):
    root, _ = films
    flat(root / "a.npz", imgname=np.array(["S1_Walking.54138969_000001.jpg", "S5_Eating.99_000001.jpg"]))
    with pytest.raises(ValueError, match=r"cameras\.pkl: there is no camera for row 1, S5_Eating\.99_000001"):
        read_h36m(root / "a.npz", "", cameras=root / "cameras.pkl")


def test_millimetres_in_a_file_of_metres_are_named(tmp_path):
    joints = np.concatenate([1000 * RNG.normal(size=(2, 17, 3)), np.ones((2, 17, 1))], axis=2)
    flat(tmp_path / "a.npz", S=joints)
    with pytest.raises(ValueError, match=r"a\.npz: .* seems to be in millimetres taken for metres"):
        read_h36m(tmp_path / "a.npz", "")


def test_the_flat_layout_takes_the_cameras_that_lie_beside_it(films):
    folder, _ = films
    place = folder / "annotation_body3d" / "fps10"
    place.mkdir(parents=True)
    (folder / "images").mkdir()
    names = np.array(
        [f"S9/S9_Walking_1.{IDS[0]}/S9_Walking_1.{IDS[0]}_000006.jpg", f"S9_Eating.{IDS[1]}_1.jpg"]
    )
    flat(place / "h36m_test.npz", imgname=names, S=np.ones((2, 17, 4)) * np.array([1, 1, 4, 1]))
    assert read_dataset("h36m", folder, "test").lenses is None
    (place.parent / "cameras.pkl").write_bytes((folder / "cameras.pkl").read_bytes())
    people = read_dataset("h36m", folder, "test")
    np.testing.assert_array_equal(people.focal, np.full((2, 2), 1000))
    assert people.joints_image.shape == (2, 17, 2)
