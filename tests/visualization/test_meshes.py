"""Meshes on paper and in JupyterLab: what is drawn where, and that every control changes the picture."""

import numpy as np
import pytest

from pctlib.visualization.mesh_explorer import MeshExplorer
from pctlib.visualization.meshes import COLUMNS, MeshRow, draw_mesh, mesh_gallery, png, view

# a tetrahedron whose faces are counter-clockwise from outside, x right, y down, z away
POINTS = np.array([[0.0, -100, 0], [-100, 100, -80], [100, 100, -80], [0, 60, 120]])
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
RED = np.array([1.0, 0, 0])


def row(found=POINTS, image=None):
    image = np.full((60, 80, 3), 200, np.uint8) if image is None else image
    pixels = view(found, axes=(0, 1, 2), reach=150, side=60)
    return MeshRow(image, pixels, found, POINTS, "median error\n12 mm")


def test_a_mesh_covers_its_silhouette_and_leaves_the_rest():
    pixels = view(POINTS, axes=(0, 1, 2), reach=200, side=100)
    drawn = draw_mesh(pixels, FACES, RED, size=(100, 100))
    shown = (drawn != 255).any(-1)
    assert shown[60, 50]
    assert not shown[5, 5]
    assert (drawn[shown][:, 1:] == 0).all()  # red, darker or lighter
    assert 0.08 < shown.mean() < 0.2  # a triangle of 50 x 50 pixels: an eighth
    over = draw_mesh(pixels, FACES, RED, size=(100, 100), background=np.full((100, 100, 3), 7, np.uint8))
    assert (over[~shown] == 7).all()
    away = draw_mesh(pixels + np.array([500, 0, 0]), FACES, RED, size=(100, 100))
    assert (away == 255).all()


def test_vertices_may_have_colours_of_their_own():
    pixels = view(POINTS, axes=(0, 1, 2), reach=200, side=100)
    colors = np.array([[0.0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]])
    drawn = draw_mesh(pixels, FACES, colors, size=(100, 100))
    assert drawn[60, 50, 0] > drawn[60, 50, 1]
    assert drawn[60, 50, 2] > 0


def test_views_turn_the_axes():
    points = np.array([[10.0, 20, 30]])
    np.testing.assert_allclose(view(points, axes=(0, 1, 2), reach=50, side=100), [[60, 70, 100.03]])
    np.testing.assert_allclose(view(points, axes=(-3, 1, 0), reach=50, side=100), [[20, 70, 100.01]])
    np.testing.assert_allclose(view(points, axes=(0, 2, -2), reach=50, side=100), [[60, 80, 99.98]])


def test_gallery_has_a_row_a_person_and_a_scale():
    figure = mesh_gallery([row(), row(POINTS * 1.3)], FACES)
    assert len(figure.axes) == 2 * len(COLUMNS) + 1
    assert figure.axes[0].get_title(loc="left") == "median error\n12 mm"
    np.testing.assert_allclose(row(POINTS + np.array([3, 4, 0])).distances, 5)
    with pytest.raises(ValueError, match="at least one person"):
        mesh_gallery([], FACES)


def test_png_is_a_picture():
    assert png(np.zeros((4, 5, 3), np.uint8))[1:4] == b"PNG"


def test_explorer_draws_anew_at_every_choice():
    found = np.stack([POINTS + np.array([30, 0, 0]), POINTS * 0.7])
    truth = np.stack([POINTS, POINTS])
    explorer = MeshExplorer({"OSX": found}, truth, FACES, ["one", "two"])
    assert explorer.words.value.endswith("30 mm")
    seen = {explorer.picture.value}
    for control, value in (("yaw", 60), ("pitch", 30), ("person", 1), ("colors", True), ("method", "truth")):
        getattr(explorer, control).value = value
        assert explorer.picture.value not in seen, control
        seen.add(explorer.picture.value)
    assert explorer.words.value.endswith(": 0 mm")
    with pytest.raises(ValueError, match="as many names"):
        MeshExplorer({"OSX": found}, truth, FACES, ["one"])
    with pytest.raises(ValueError, match="expected some"):
        MeshExplorer({}, truth, FACES, ["one", "two"])
