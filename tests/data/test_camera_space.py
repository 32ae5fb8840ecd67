import numpy as np
import pytest

from pctlib.data.camera_space import Lenses, bone_length, place, root_depth_from_bones, to_camera
from pctlib.data.cameras import Camera, read_h36m_cameras
from pctlib.data.h36m import read_h36m

LIMBS = ((0, 1), (1, 2), (2, 3))


def lenses(N, distortion=(0, 0, 0, 0, 0)):
    return Lenses(
        np.tile([1145.0, 1144], (N, 1)),
        np.tile([512.0, 515], (N, 1)),
        np.tile(np.float64(distortion), (N, 1)),
    )


def at_depth(depth, points):
    return points + np.array([0, 0, depth])


@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), (-0.2, 0.24, -0.002, -0.0009, -0.0014)])
def test_projection_and_back(rng, distortion):
    points = at_depth(5000, rng.normal(0, 500, (6, 4, 3)))
    lens = lenses(6, distortion)
    pixels, root = lens.project(points), points[:, 0, 2]
    back = to_camera(pixels, points[..., 2] - root[:, None], lens, root_depth=root)
    np.testing.assert_allclose(back, points, atol=1e-3)
    relative = points - points[:, :1]
    np.testing.assert_allclose(place(relative, pixels[:, 0], lens, root_depth=root), points, atol=1e-3)


def test_projection_is_that_of_the_camera_of_human36m(rng):
    distortion = (-0.2, 0.24, -0.002, -0.0009, -0.0014)
    lens = lenses(2, distortion)
    camera = Camera(
        np.eye(3), np.zeros(3), lens.focal[0], lens.center[0], np.array(distortion[:3]),
        np.array(distortion[3:]), (1000, 1000),
    )  # fmt: skip
    points = at_depth(5000, rng.normal(0, 500, (2, 4, 3)))
    np.testing.assert_allclose(lens.project(points), camera.project(points), atol=1e-9)


def test_root_depth_by_hand():
    """A bone of 500 mm across the line of sight at 4 m spans 125 px under a focal length of 1000."""
    lens = Lenses(np.full((1, 2), 1000.0), np.zeros((1, 2)), np.zeros((1, 5)))
    pixels = np.array([[[0.0, 0], [125, 0]]])
    depth = root_depth_from_bones(pixels, np.zeros((1, 2)), lens, limbs=((0, 1),), mean_length=500)
    np.testing.assert_allclose(depth, 4000, rtol=1e-6)


def test_root_depth_of_people_of_average_size_is_the_true_one(rng):
    points = at_depth(6000, rng.normal(0, 400, (20, 4, 3)))
    lens, root = lenses(20), points[:, 0, 2]
    for row in range(20):
        one = lens.select(np.array([row]))
        length = bone_length(points[row : row + 1], LIMBS)[0]
        depth = root_depth_from_bones(
            one.project(points[row : row + 1]),
            points[row : row + 1, :, 2] - root[row],
            one,
            limbs=LIMBS,
            mean_length=length,
        )
        np.testing.assert_allclose(depth, root[row], rtol=1e-6)


def test_what_lies_behind_the_camera_is_named():
    lens = lenses(2)
    with pytest.raises(ValueError, match="row 1: points must lie in front of the camera, got depth -5 mm"):
        lens.project(np.array([[[0, 0, 10.0]], [[0, 0, -5]]]))
    with pytest.raises(ValueError, match="row 0: a joint lies behind the camera, at depth -100 mm"):
        to_camera(np.zeros((2, 1, 2)), np.array([[-600.0], [0]]), lens, root_depth=np.array([500.0, 500]))
    with pytest.raises(ValueError, match="expected pixels"):
        to_camera(np.zeros((2, 3, 2)), np.zeros((2, 2)), lens, root_depth=np.zeros(2))


def test_fixture_frames_appear_where_their_pixels_are(shared):
    """The projected 3D joints of Human3.6M are its 2D joints: units, camera and lens agree."""
    folder = shared / "data" / "fixtures" / "h36m"
    people = read_h36m(folder / "test_h36m_body3d.npz", folder, cameras=folder / "cameras.pkl")
    assert np.abs(people.joints_image - people.keypoints_image).max() < 0.1
    assert len(read_h36m_cameras(folder / "cameras.pkl")) > 0
