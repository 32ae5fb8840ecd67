import numpy as np
import pytest
from matplotlib.colors import to_hex

from pctlib.skeletons import SKELETONS
from pctlib.visualization import draw_skeleton
from pctlib.visualization.style import new_figure

POSE = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 5.0], [9.0, 9.0]])


def draw(skeleton, keypoints=POSE, **options):
    _, (axes,) = new_figure(size=(2, 2))
    draw_skeleton(axes, keypoints, skeleton=skeleton, **options)
    return axes


def dots(axes):
    """Return (face, edge) colours by position of the dots drawn."""
    drawn = {}
    for group in axes.collections:
        places = group.get_offsets()
        faces, edges = group.get_facecolors(), group.get_edgecolors()  # one for all, or one a dot
        for index, place in enumerate(places):
            face, edge = (colors[min(index, len(colors) - 1)] for colors in (faces, edges))
            drawn[tuple(place)] = (to_hex(face), to_hex(edge))
    return drawn


def test_limbs_have_their_colours_and_ends(skeleton):
    lines = draw(skeleton).lines
    assert [line.get_color() for line in lines] == ["#0000ff", "#ff8800"]
    np.testing.assert_array_equal(lines[1].get_xydata(), POSE[[1, 2]])


def test_hidden_joints_are_hollow_and_unlabelled_ones_missing(skeleton):
    axes = draw(skeleton, visible=np.array([1, 2, 0, 2]))
    assert len(axes.lines) == 1  # the other limb has an unlabelled end
    assert axes.lines[0].is_dashed()
    drawn = dots(axes)
    assert set(drawn) == {(0, 0), (1, 2), (9, 9)}
    assert drawn[0, 0][0] == "#ffffff"
    assert drawn[1, 2] == ("#ff8800", "#ffffff")
    assert not draw(skeleton).lines[0].is_dashed()


def test_color_and_scale_change_the_drawing(skeleton):
    assert [line.get_color() for line in draw(skeleton, color="#123456").lines] == ["#123456"] * 2
    thin, thick = (draw(skeleton, scale=scale).lines[0].get_linewidth() for scale in (1.0, 2.0))
    assert thick == 2 * thin


def test_wrong_shapes_are_named(skeleton):
    with pytest.raises(ValueError, match=r"skeleton row: expected keypoints \[4, 2\] .* got \[3, 2\]"):
        draw(skeleton, POSE[:3])
    with pytest.raises(ValueError, match=r"visible \[4\], got \[4, 2\] and \[5\]"):
        draw(skeleton, visible=np.ones(5))


@pytest.mark.parametrize("name", SKELETONS)
def test_every_skeleton_can_be_drawn(name, rng):
    skeleton = SKELETONS[name]
    axes = draw(skeleton, rng.uniform(size=(skeleton.num_keypoints, 2)))
    assert len(axes.lines) == len(skeleton.limbs)
    assert len(dots(axes)) == skeleton.num_keypoints
