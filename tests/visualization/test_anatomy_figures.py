"""Figures of token anatomy: what is drawn is what was measured."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from pctlib.metrics.substructures import Locality, entry_overlap, similar_order
from pctlib.visualization import anatomy, token_usage
from pctlib.visualization.drawn_values import drawn_values

PARTS = {"hands": (0, 2), "rest": (1, 3)}
INFLUENCE = np.array([[9.0, 0, 8, 1], [0, 5, 0, 6], [8, 1, 9, 0]])  # tokens 0 and 2 alike
POSE = np.array([[0.0, 0], [2, 1], [4, 0], [2, 6]])
FOUND = Locality(
    part=["hands", "rest", "none"],
    share=np.array([0.7, 0.9, np.nan]),
    low=np.array([0.4, 0.5, np.nan]),
    chance=np.array([0.5, 0.6, np.nan]),
    high=np.array([0.8, 0.7, np.nan]),
    p_value=np.array([0.3, 0.01, np.nan]),
    mean_share=0.8,
    mean_chance=0.55,
    mean_p_value=0.02,
)


def discs(axes):
    return [c for c in axes.collections if isinstance(c, PathCollection)]


def test_influence_map_orders_rows_by_likeness_and_columns_by_part(skeleton):
    figure = anatomy.influence_map(INFLUENCE, parts=PARTS, skeleton=skeleton, unit="mm")
    branches, cells, bar = figure.axes
    order = [int(label.get_text()) for label in cells.get_yticklabels()]
    assert order == similar_order(INFLUENCE)[0].tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    np.testing.assert_array_equal(cells.images[0].get_array(), INFLUENCE[order][:, [0, 2, 1, 3]])
    assert [label.get_text() for label in cells.get_xticklabels()] == [
        "left hand", "right hand", "neck", "star"
    ]  # fmt: skip
    assert [text.get_text() for text in cells.texts] == ["hands", "rest"]
    assert bar.get_ylabel() == "mean movement (mm)"
    assert len(branches.collections) > 0
    values = drawn_values(figure)
    row = values[(values["x"] == "neck") & (values["y"] == "1")]
    assert row["value"].tolist() == [5.0]


def test_influence_map_of_one_token_and_of_a_whole_body(skeleton):
    assert len(anatomy.influence_map(INFLUENCE[:1], parts=PARTS, skeleton=skeleton, unit="px").axes) == 3
    with pytest.raises(ValueError, match="expected 4 joints, got 3"):
        anatomy.influence_map(INFLUENCE[:, :3], parts=PARTS, skeleton=skeleton, unit="px")


def test_bodies_have_discs_as_large_as_the_joints_share(skeleton):
    figure = anatomy.influence_bodies(INFLUENCE, POSE, found=FOUND, skeleton=skeleton, columns=2)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["0: hands 70 %", "1: rest 90 %", "2: none", ""]
    (first,), (second,) = discs(figure.axes[0]), discs(figure.axes[1])
    np.testing.assert_allclose(first.get_sizes() / first.get_sizes().sum(), INFLUENCE[0] / 18)
    np.testing.assert_array_equal(second.get_offsets(), POSE)
    colors = [to_hex(group.get_facecolor()[0]) for group in (first, second)]
    assert colors == [anatomy.OTHER, anatomy.FOUND]
    assert figure.axes[0].yaxis_inverted()


def test_locality_shows_share_chance_and_level():
    (axes,) = anatomy.locality_by_token(FOUND).axes
    order = [label.get_text() for label in axes.get_yticklabels()]
    assert order == ["2: none", "0: hands", "1: rest"]  # from below
    np.testing.assert_allclose([bar.get_x() for bar in axes.patches][1:], [40, 50])
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches][1:], [40, 20])
    filled, hollow = axes.lines
    np.testing.assert_allclose(filled.get_xydata(), [[90, 2]])
    np.testing.assert_allclose(hollow.get_xydata()[1], [70, 1])
    assert hollow.get_markerfacecolor() == "white"


def test_joint_pairs_group_both_axes(skeleton):
    matrix = np.arange(16.0).reshape(4, 4) / 16
    cells, bar = anatomy.joint_pairs(matrix, parts=PARTS, skeleton=skeleton).axes
    np.testing.assert_array_equal(cells.images[0].get_array(), matrix[np.ix_([0, 2, 1, 3], [0, 2, 1, 3])])
    assert cells.images[0].get_clim() == (-1, 1)
    assert bar.get_ylabel() == "moved together"


def test_walks_show_all_joints_then_the_titled_poses(skeleton):
    moved = POSE + np.array([[[1.0, 0]], [[0, 2]], [[3, 3]]])
    rows = [("token 5\nlargest", moved, ["a", "b"]), ("token 1\nleast", moved[:1], ["c"])]
    figure = anatomy.walk_gallery(POSE, rows, skeleton=skeleton)
    assert [axes.get_title("left") for axes in figure.axes] == ["3 entries", "a", "b", "1 entry", "c", ""]
    assert [text.get_text() for text in figure.axes[3].texts] == ["token 1\nleast"]
    cloud = discs(figure.axes[0])[-1]
    np.testing.assert_array_equal(cloud.get_offsets(), moved.reshape(-1, 2))
    *_, ways = [c for c in figure.axes[2].collections if isinstance(c, LineCollection)]
    np.testing.assert_array_equal(ways.get_segments(), np.stack([POSE, moved[1]], axis=1))
    limits = {(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}
    assert len(limits) == 1  # poses of one figure are compared at one scale
    x, y = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert x[0] < 0
    assert x[1] > 7
    assert y[0] > 9  # y points down


def test_walks_refuse_what_does_not_fit_and_draw_tokens_without_entries(skeleton):
    with pytest.raises(ValueError, match="row 'x': 2 titles for 1 poses"):
        anatomy.walk_gallery(POSE, [("x", POSE[None], ["a", "b"])], skeleton=skeleton)
    with pytest.raises(ValueError, match="at least one token"):
        anatomy.walk_gallery(POSE, [], skeleton=skeleton)
    figure = anatomy.walk_gallery(POSE, [("x", np.zeros((0, 4, 2)), [])], skeleton=skeleton)
    assert figure.axes[0].get_title("left") == "0 entries"


USAGE = np.array([[4, 4, 0, 0, 0], [8, 0, 0, 0, 0], [0, 2, 3, 3, 0]])


def test_usage_by_token_has_entries_and_perplexity():
    (axes,) = token_usage.usage_by_token(USAGE).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "0", "1"]
    used, perplexity = (line.get_ydata() for line in axes.lines)
    assert used.tolist() == [3, 2, 1]
    np.testing.assert_allclose(perplexity[1:], [2, 1])


def test_usage_by_entry_counts_every_entry():
    often, shared = token_usage.usage_by_entry(USAGE).axes
    assert sum(bar.get_height() for bar in often.patches) == 5
    heights = [bar.get_height() for bar in shared.patches]
    assert heights == [1, 2, 2, 0]  # one entry unused, two used by one token, two by two


def test_overlap_of_pairs():
    cells = token_usage.usage_overlap(USAGE).axes[0]
    order = [int(label.get_text()) for label in cells.get_xticklabels()]
    expected = 100 * entry_overlap(USAGE)[np.ix_(order, order)]
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(np.ma.filled(cells.images[0].get_array(), np.nan), expected)


def test_a_codebook_of_which_one_entry_is_used_can_be_drawn():
    dead = np.array([[3, 0, 0], [3, 0, 0]])
    for draw in (token_usage.usage_by_token, token_usage.usage_by_entry, token_usage.usage_overlap):
        assert len(draw(dead).axes) > 0
