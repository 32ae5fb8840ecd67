import pickle

import numpy as np
import pytest

from pctlib.data.cameras import Camera, read_h36m_cameras

TURN = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])  # a rotation that permutes the axes


def camera(**changes):
    values = {
        "rotation": TURN,
        "position": np.array([100.0, 200.0, 300.0]),
        "focal": np.array([1000.0, 1100.0]),
        "center": np.array([500.0, 510.0]),
        "radial": np.zeros(3),
        "tangential": np.zeros(2),
        "image_size": (1002, 1000),
    }
    return Camera(**{**values, **changes})


def parameters():
    return {
        "R": TURN.T,  # stored camera -> world
        "T": np.array([[0.1], [0.2], [0.3]]),
        "f": np.array([[1000.0], [1100.0]]),
        "c": np.array([[500.0], [510.0]]),
        "k": np.array([[-0.2], [0.3], [0.01]]),
        "p": np.array([[0.001], [-0.002]]),
        "w": 1000,
        "h": 1002,
        "name": "camera1",
    }


def test_world_and_camera_are_inverse(rng):
    points = rng.normal(size=(4, 5, 3))
    np.testing.assert_allclose(camera().camera_to_world(camera().world_to_camera(points)), points, atol=1e-10)
    np.testing.assert_allclose(camera().world_to_camera(np.array([101.0, 200, 300])), TURN[:, 0])


def test_projection_by_hand():
    point = np.array([[200.0, -400.0, 2000.0]])  # (0.1, -0.2) at depth 1
    np.testing.assert_allclose(camera().project(point), [[600, 290]])
    square = 0.05
    radial = camera(radial=np.array([0.2, 0.3, 0.5]))
    factor = 1 + 0.2 * square + 0.3 * square**2 + 0.5 * square**3
    np.testing.assert_allclose(radial.project(point), [[500 + 100 * factor, 510 - 220 * factor]])
    # p = (p0, p1): factor p0 y + p1 x, plus (p1, p0) r^2
    tangential = camera(tangential=np.array([0.01, 0.02]))
    factor = 1 + 0.01 * -0.2 + 0.02 * 0.1
    x, y = 0.1 * factor + 0.02 * square, -0.2 * factor + 0.01 * square
    np.testing.assert_allclose(tangential.project(point), [[500 + 1000 * x, 510 + 1100 * y]])


def test_points_behind_the_camera_are_refused():
    with pytest.raises(ValueError, match="in front of the camera, got depth -1 mm"):
        camera().project(np.array([[0.0, 0, 5], [0, 0, -1]]))


def test_file(tmp_path):
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "1"): parameters()}))
    found = read_h36m_cameras(tmp_path / "cameras.pkl")["S1", "1"]
    np.testing.assert_array_equal(found.rotation, TURN)
    np.testing.assert_allclose(found.position, [100, 200, 300])  # metres to millimetres
    np.testing.assert_array_equal(found.radial, [-0.2, 0.3, 0.01])
    assert found.image_size == (1002, 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"R": None}, "parameter R is missing"),
        ({"k": np.zeros(2)}, "parameter k needs 3 numbers, got 2"),
        ({"R": np.ones((3, 3))}, "R is not a rotation"),
    ],
)
def test_bad_file_names_camera_and_parameter(tmp_path, change, message):
    values = {name: value for name, value in {**parameters(), **change}.items() if value is not None}
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "1"): values}))
    with pytest.raises(ValueError, match=rf"cameras\.pkl, camera \('S1', '1'\): {message}"):
        read_h36m_cameras(tmp_path / "cameras.pkl")
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match="expected a dict of cameras, got list"):
        read_h36m_cameras(tmp_path / "cameras.pkl")


def test_published_cameras(shared):
    cameras = read_h36m_cameras(shared / "data/fixtures/h36m/cameras.pkl")
    assert len(cameras) == 44
    for found in cameras.values():
        assert np.linalg.det(found.rotation) == pytest.approx(1, abs=1e-6)
        # The scene's centre, a metre above the floor, is in front of every camera and inside its image.
        center = found.project(found.world_to_camera(np.array([[0.0, 0, 1000]])))[0]
        assert (np.abs(center - 500) < 300).all()
