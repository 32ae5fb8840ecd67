import itertools

import numpy as np
import pytest

from pctlib.data.procedural.camera import Camera, draw_camera, look_at
from pctlib.data.procedural.mesh import silhouette
from pctlib.data.procedural.occluders import Occlusion, draw_object, person_offset
from pctlib.data.procedural.rasterizer import barycentric, merge, owners_of, rasterize


def camera(size=(60, 80), focal=50.0, at=(0.0, 0.0, 2.0)):
    position = np.array(at)
    return Camera(look_at(position, np.zeros(3), roll=0.0), position, focal, (39.5, 29.5), size)


def test_projection_by_hand():
    # the camera is 2 m in front and looks back along -z: the world's x is to the right, y is up
    np.testing.assert_allclose(camera().project(np.array([0.4, 0.2, 0.0])), (39.5 + 10, 29.5 - 5, 2.0))
    np.testing.assert_allclose(camera().to_camera(np.array([0.0, 0.0, 1.5])), (0, 0, 0.5), atol=1e-12)
    moved = camera().shifted(np.array([3.0, -2.0])).project(np.array([0.4, 0.2, 0.0]))
    np.testing.assert_allclose(moved, (52.5, 22.5, 2.0))


def test_roll_turns_the_picture():
    turned = look_at(np.array([0, 0, 2.0]), np.zeros(3), roll=np.pi / 2)
    np.testing.assert_allclose(turned @ (1, 0, 0), (0, -1, 0), atol=1e-12)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)


def test_drawn_cameras_see_the_whole_body():
    vertices = np.random.default_rng(0).normal(size=(50, 3)) * (0.3, 0.6, 0.2) + (0, 0.9, 0)
    positions = []
    for seed in range(40):
        drawn = draw_camera(np.random.default_rng(seed), vertices, image_size=(96, 128))
        x, y, depth = drawn.project(vertices).T
        assert x.min() >= -0.5 - 1e-6
        assert x.max() <= 127.5 + 1e-6
        assert y.min() >= -0.5 - 1e-6
        assert y.max() <= 95.5 + 1e-6
        assert depth.min() > 0
        positions.append(drawn.position)
    directions = np.array(positions) - vertices.mean(0)
    azimuths = np.arctan2(directions[:, 0], directions[:, 2])
    assert len(np.unique((azimuths // (np.pi / 2)).astype(int))) == 4  # from every side


def square(depth, half=2.0, center=(5.0, 4.0)):
    """Two front faces at an inverse depth; cells 3..7 x 2..6."""
    corners = np.array([(-half, -half), (-half, half), (half, half), (half, -half)]) + center
    points = np.concatenate([corners, np.full((4, 1), depth)], 1).astype(np.float32)
    return points, np.array([(0, 1, 2), (0, 2, 3)], np.int32)


def test_rasterised_square():
    depth, numbers = np.zeros((9, 11), np.float32), np.full((9, 11), -1, np.int32)
    points, faces = square(0.5)
    rasterize(points, faces, 7, depth, numbers)
    assert (depth[2:7, 3:8] == 0.5).all()
    assert (depth > 0).sum() == 25
    assert set(np.unique(numbers)) == {-1, 7, 8}
    rasterize(points, faces[:, ::-1].copy(), 20, depth, numbers)  # back faces are not drawn
    assert numbers.max() == 8
    rasterize(square(0.25)[0], faces, 30, depth, numbers)  # farther: hidden
    assert numbers.max() == 8
    rasterize(square(1.0, half=1.0)[0], faces, 40, depth, numbers)  # nearer
    assert (numbers[3:6, 4:7] >= 40).all()
    assert (numbers >= 40).sum() == 9
    behind = points.copy()
    behind[:, 2] = 0
    rasterize(behind, faces, 90, depth, numbers)
    assert numbers.max() < 90


def test_merge_keeps_what_is_nearer_and_reports_the_extent():
    near, faces = np.zeros((9, 11), np.float32), np.full((9, 11), -1, np.int32)
    rasterize(*square(0.5), 3, near, faces)
    scene = np.zeros((9, 11), np.float32)
    scene[:, 6:] = 0.9
    numbers = np.full((9, 11), -1, np.int32)
    assert merge(near, faces, scene, numbers).tolist() == [25, 3, 7, 2, 6]
    assert (numbers >= 0).sum() == 15  # columns 3, 4, 5
    buffer, cells = owners_of(numbers, np.array([0, 0, 0, 1, 1], np.int16), 2)
    assert cells.tolist() == [0, 15]
    assert set(np.unique(buffer)) == {-1, 1}


def test_barycentric_weights_are_perspective_correct():
    points = np.array([(0, 0, 1.0), (0, 8, 0.25), (8, 0, 1.0)], np.float32)
    weights = barycentric(points, np.array([(0, 1, 2)], np.int32), 0, 0.0, 4.0)
    # halfway on the screen between depths 1 and 4 is the depth 1.6, a fifth of the way
    np.testing.assert_allclose(weights, (0.8, 0.2, 0), atol=1e-6)


def disc():
    y, x = np.mgrid[:64, :64]
    return np.argwhere((x - 30) ** 2 + (y - 34) ** 2 < 20**2)[:, ::-1].astype(float)


@pytest.mark.parametrize("seed", range(6))
def test_object_hides_the_share_that_was_asked_for(seed):
    body = disc()
    inside = body.astype(int)
    covered = []
    for level in (0.1, 0.3, 0.6, 0.9):
        thing = draw_object(np.random.default_rng(seed), body, level=level, depth=1.5, to_world=np.eye(3))
        cells = silhouette(thing, origin=(0, 0), size=(64, 64), scale=1.0)
        covered.append(cells[inside[:, 1], inside[:, 0]])
        assert covered[-1].mean() == pytest.approx(level, abs=0.05)
    for less, more in itertools.pairwise(covered):
        assert (more | ~less).mean() > 0.995  # what was hidden stays hidden


@pytest.mark.parametrize("side", [-1, 1])
def test_person_comes_in_from_a_side(side):
    body, front = np.zeros((8, 40), bool), np.zeros((8, 40), bool)
    body[:, 15:25], front[:, 15:25] = True, True
    assert person_offset(front, body, level=0.3, side=side) == (7 * side, pytest.approx(0.3))
    assert person_offset(front, body, level=1.0, side=side) == (0, 1.0)
    front[4:] = False
    assert person_offset(front, body, level=0.9, side=side)[1] == 0.5  # as much as it can


def test_occlusion_is_checked_and_resolved():
    with pytest.raises(ValueError, match="kind should be one of"):
        Occlusion("fog", 0.2)
    with pytest.raises(ValueError, match=r"within 0..1, got 1.2"):
        Occlusion("object", 1.2)
    drawn = [Occlusion("mixed", 0.3).resolve(np.random.default_rng(i)) for i in range(60)]
    assert {occlusion.kind for occlusion in drawn} == {"none", "object", "person", "truncation"}
    assert max(occlusion.level for occlusion in drawn) <= 0.6
    assert Occlusion("object", 0.4).resolve(np.random.default_rng(0)) == Occlusion("object", 0.4)
    assert Occlusion("none", 0.4).resolve(np.random.default_rng(0)).level == 0
