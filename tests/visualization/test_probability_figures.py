import numpy as np
import pytest

from pctlib.visualization.probabilities import bin_probabilities, token_probabilities, true_ranks

CHANCES = np.array([[0.1, 0.2, 0.7, 0.0], [0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])


def test_the_rank_of_the_true_entry_counts_the_more_probable_ones():
    assert true_ranks(CHANCES, np.array([2, 3, 1])).tolist() == [0, 3, 0]
    assert true_ranks(CHANCES, np.array([0, 1, 3])).tolist() == [2, 1, 0]


def test_entries_are_ordered_and_the_true_one_is_ringed_if_shown():
    figure = token_probabilities(CHANCES, np.array([0, 3, 1]), first=3)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array()[0], [0.7, 0.2, 0.1])
    assert axes.images[0].get_array().shape == (3, 3)
    assert axes.lines[0].get_xydata().tolist() == [[2, 0], [0, 2]]  # that of token 1 has rank 3
    assert token_probabilities(CHANCES, np.array([0, 3, 1])).axes[0].images[0].get_array().shape == (3, 4)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 4], [0, -1, 2]])
def test_labels_that_are_no_entries_are_refused(labels):
    with pytest.raises(ValueError, match="labels: expected 3 entries below 4"):
        token_probabilities(CHANCES, np.array(labels))


def test_bins_stand_at_their_pixels():
    methods = {"label": (np.eye(6)[4], np.eye(4)[1]), "student": (np.full(6, 1 / 6), np.full(4, 1 / 4))}
    figure = bin_probabilities(methods, truth=(2.0, 0.5), bins_per_pixel=2.0)
    along_x, along_y = figure.axes
    assert along_x.lines[0].get_xdata().tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert along_x.lines[0].get_ydata().argmax() == 4
    assert along_y.lines[0].get_xydata()[1].tolist() == [0.5, 1.0]
    assert [axes.lines[2].get_xdata()[0] for axes in figure.axes] == [2.0, 0.5]  # dashed: the truth
    assert [text.get_text() for text in figure.legends[0].texts] == ["label", "student"]
    with pytest.raises(ValueError, match="methods: expected at least one"):
        bin_probabilities({}, truth=(0, 0), bins_per_pixel=1.0)
