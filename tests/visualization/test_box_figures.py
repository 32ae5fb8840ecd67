import numpy as np
import pytest

from pctlib.visualization.boxes import boxes_over_crop

CROP = np.full((40, 60, 3), 90, np.uint8)
TRUE = np.array([[1, 2, 11, 12], [20, 5, 40, 25]])


def test_boxes_are_outlined_and_each_part_is_cut_out_by_the_first():
    figure = boxes_over_crop(CROP, {"true": TRUE, "found": TRUE + 3}, parts=("hand", "face"))
    crop, hand, face = figure.axes
    outlines = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in crop.patches]
    assert outlines == [(1, 2, 10, 10), (20, 5, 20, 20), (4, 5, 10, 10), (23, 8, 20, 20)]
    assert [text.get_text() for text in figure.legends[0].texts] == ["true", "found"]
    assert [axes.get_title("left") for axes in figure.axes] == ["", "hand", "face"]
    assert (hand.get_xlim(), hand.get_ylim()) == ((1, 11), (12, 2))
    assert (face.get_xlim(), face.get_ylim()) == ((20, 40), (25, 5))
    assert crop.get_xlim() == (-0.5, 59.5)


def test_figure_refuses():
    with pytest.raises(ValueError, match=r"boxes: expected \[2, 4\] of at least one name, got {}"):
        boxes_over_crop(CROP, {}, parts=("hand", "face"))
    with pytest.raises(ValueError, match=r"expected \[1, 4\] .*'true': \(2, 4\)"):
        boxes_over_crop(CROP, {"true": TRUE}, parts=("hand",))
