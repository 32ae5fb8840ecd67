import numpy as np
import pytest
from matplotlib.colors import to_hex

from pctlib.visualization.poses import GREY, reconstruction_gallery

POSE = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0], [8.0, 8.0]])


def draw(skeleton, **changes):
    options = {"visible": np.array([[2, 1, 2, 0]]), "titles": ["one"], "skeleton": skeleton} | changes
    return reconstruction_gallery(POSE[None], POSE[None] + 1, **options)


def dots(axes):
    """Return (filled, hollow) joints of the pose and of its reconstruction, in this order."""
    return [len(group.get_offsets()) for group in axes.collections]


def test_the_pose_is_grey_below_its_reconstruction(skeleton):
    [axes] = draw(skeleton).axes
    assert to_hex(axes.lines[0].get_color()) == GREY
    assert [to_hex(line.get_color()) for line in axes.lines[2:]] == list(skeleton.limb_colors)
    assert dots(axes) == [0, 3, 0, 3]  # hidden ones of flag 1 first; joints without a label are not drawn


def test_joints_that_were_not_given_are_hollow_and_their_limbs_dashed(skeleton):
    [axes] = draw(skeleton, hidden=np.array([[False, False, True, True]])).axes
    assert dots(axes) == [1, 2, 1, 2]  # the fourth is not labelled
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-", "--"]


def test_hidden_of_another_shape_is_refused(skeleton):
    with pytest.raises(ValueError, match=r"hidden: expected \[1, 4\], got \[4\]"):
        draw(skeleton, hidden=np.zeros(4, bool))
