from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pctlib.visualization import GalleryRow, contact_sheet, prediction_gallery, recovered_joints
from pctlib.visualization.galleries import one_person, truth_beside
from pctlib.visualization.style import MISSED, RECOVERED

TRUTH = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0], [8.0, 8.0]])


def row(offsets, *, methods=("A",), visible=(1, 1, 2, 1), length=10.0, label="worst"):
    image = np.full((12, 9, 3), 40, np.uint8)
    predictions = {method: TRUTH + np.array(offsets, float)[:, None] * [1, 0] for method in methods}
    return GalleryRow(image, TRUTH, np.array(visible), predictions, length, label)


def rings(axes):
    return [
        to_hex(group.get_edgecolor()[0])
        for group in axes.collections
        if group.get_zorder() == 6 and len(group.get_offsets())
    ]


def test_recovered_and_missed_are_told_apart_among_hidden_joints_only():
    good, bad = recovered_joints(row([1.0, 1.1, 9.0, 0.0]), "A", tolerance=0.1)
    assert good.tolist() == [0, 3]  # an error equal to the tolerance counts
    assert bad.tolist() == [1]
    good, bad = recovered_joints(row([1.0, 1.1, 9.0, 0.0], length=20.0), "A", tolerance=0.1)
    assert (good.tolist(), bad.tolist()) == ([0, 1, 3], [])


def test_gallery_has_a_column_a_method_and_rings_its_hidden_joints(skeleton):
    rows = [row([0, 5, 0, 0], methods=("A", "B")), row([0, 0, 0, 0], methods=("A", "B"), label="")]
    figure = prediction_gallery(rows, skeleton=skeleton, tolerance=0.1)
    titles = [axes.get_title("left") for axes in figure.axes[:4]]
    assert titles == ["Image", "Ground truth", "A", "B"]
    assert len(figure.axes) == 8
    assert rings(figure.axes[2]) == [RECOVERED, MISSED]
    assert rings(figure.axes[6]) == [RECOVERED]
    assert rings(figure.axes[1]) == []
    assert [text.get_text() for text in figure.axes[0].texts] == ["worst"]
    assert figure.axes[3].get_xlim() == (-0.5, 8.5)


@pytest.mark.parametrize(
    ("rows", "tolerance", "message"),
    [
        ([], 0.1, "at least one person"),
        (
            [row([0] * 4), row([0] * 4, methods=("B",))],
            0.1,
            r"rows\[1\]: expected the methods \['A'\], got \['B'\]",
        ),
        ([row([0] * 4)], 0.0, "tolerance: expected a share of the length above 0"),
    ],
)
def test_gallery_refuses(skeleton, rows, tolerance, message):
    with pytest.raises(ValueError, match=message):
        prediction_gallery(rows, skeleton=skeleton, tolerance=tolerance)


def test_contact_sheet_shows_every_image_once(skeleton):
    images = [np.full((height, 9, 3), 40, np.uint8) for height in (12, 8, 10)]
    options = {"skeleton": skeleton, "columns": 2, "titles": list("abc")}
    figure = contact_sheet(images, [TRUTH] * 3, [np.array([2, 1, 0, 2])] * 3, **options)
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]
    assert [axes.get_title("left") for axes in figure.axes] == ["a", "b", "c", ""]
    assert figure.axes[1].get_ylim() == (7.5, -0.5)
    assert len(contact_sheet(images, [TRUTH] * 3, [np.ones(4)] * 3, skeleton=skeleton).axes) == 3


def test_contact_sheet_refuses_unequal_lengths(skeleton):
    image = np.zeros((3, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"expected equal lengths above 0, got \[1, 2, 1, 1\]"):
        contact_sheet([image], [TRUTH] * 2, [np.ones(4)], skeleton=skeleton)
    with pytest.raises(ValueError, match="above 0"):
        contact_sheet([], [], [], skeleton=skeleton)


def test_the_truth_stands_beside_every_method_with_its_rings(skeleton):
    figure = truth_beside(row([0, 5, 0, 0], methods=("A", "B")), skeleton=skeleton, tolerance=0.1)
    assert [axes.get_title("left") for axes in figure.axes] == ["Truth", "A", "B"]
    assert [rings(axes) for axes in figure.axes] == [[], [RECOVERED, MISSED], [RECOVERED, MISSED]]


def test_one_person_is_drawn_in_several_keypoint_sets(skeleton):
    pair = {"keypoint_names": ("left_hand", "neck"), "flip_pairs": (), "upper_body": ()}
    other = replace(skeleton, **pair, name="pair", limbs=((0, 1),), limb_colors=("#00ff00",))
    image = np.full((12, 9, 3), 40, np.uint8)
    figure = one_person(image, {"row": (skeleton, TRUTH), "pair": (other, TRUTH[:2] + 20)})
    assert [axes.get_title("left") for axes in figure.axes] == ["", "row, 4 keypoints", "pair, 2 keypoints"]
    assert [len(axes.lines) for axes in figure.axes] == [0, 2, 1]
    assert figure.axes[2].get_xlim() == (-0.5, 8.5)  # also where the pose lies outside
    assert len(one_person(image, {}).axes) == 1
