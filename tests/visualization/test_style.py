import matplotlib as mpl
import numpy as np
import pytest

from pctlib.visualization.style import PALETTE, STYLE, colors, new_figure, show_image, use_style


def test_use_style_sets_every_value():
    with mpl.rc_context():
        use_style()
        assert {key: mpl.rcParams[key] for key in ("savefig.facecolor", "svg.hashsalt")} == {
            "savefig.facecolor": STYLE["savefig.facecolor"],
            "svg.hashsalt": STYLE["svg.hashsalt"],
        }
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(PALETTE)


def test_new_figure_counts_axes_row_by_row():
    figure, axes = new_figure(2, 3, size=(4, 5))
    assert len(axes) == 6
    assert tuple(figure.get_size_inches()) == (5, 4)
    assert [place.get_subplotspec().num1 for place in axes] == list(range(6))


def test_colors_follow_the_palette_and_end_with_it():
    assert colors(["a", "b"]) == {"a": PALETTE[0], "b": PALETTE[1]}
    with pytest.raises(ValueError, match="at most 6 series fit a figure, got 7"):
        colors(list("abcdefg"))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 5, 3)), np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8)]
)
def test_show_image_wants_rgb_bytes(image):
    _, (axes,) = new_figure(size=(1, 1))
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
        show_image(axes, image)
