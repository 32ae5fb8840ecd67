import numpy as np
import pytest

from pctlib.visualization.masking import ROWS, masked_gallery


def pictures(count, value, size=(12, 9)):
    return [np.full((*size, 3), value + i, np.uint8) for i in range(count)]


def test_a_row_a_kind_and_a_column_a_person():
    figure = masked_gallery(pictures(4, 10), pictures(4, 50), pictures(4, 90), titles=list("abcd"))
    assert len(figure.axes) == 12
    shown = [axes.images[0].get_array()[0, 0, 0] for axes in figure.axes]
    assert shown == [10, 11, 12, 13, 50, 51, 52, 53, 90, 91, 92, 93]
    assert [axes.get_title("left") for axes in figure.axes[:5]] == ["a", "b", "c", "d", ""]
    assert [axes.texts[0].get_text() for axes in figure.axes[::4]] == list(ROWS)


def test_gallery_refuses():
    with pytest.raises(ValueError, match=r"equal lengths above 0, got \[1, 2, 2, 2\]"):
        masked_gallery(pictures(2, 0), pictures(2, 0), pictures(2, 0), titles=["a"])
    with pytest.raises(ValueError, match=r"got \[0, 0, 0, 0\]"):
        masked_gallery([], [], [], titles=[])
