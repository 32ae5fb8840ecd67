"""The controls of token anatomy, driven as a user would."""

import io

import numpy as np
import pytest
import torch
from helpers.hand_made_tokenizer import HandMadeTokenizer
from matplotlib.collections import PathCollection
from PIL import Image

from pctlib.visualization.explorer import PoseExplorer

MOVES = np.array([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=bool)
POSE = [[0.0, 0], [20, 10], [40, 0], [20, 60]]
USAGE = np.array([[1, 9, 5], [6, 0, 2]])
INDICES = torch.tensor([[0, 0], [1, 2], [2, 0]])


@pytest.fixture
def model():
    return HandMadeTokenizer(MOVES, [0.0, 7.0, -5.0], POSE)


@pytest.fixture
def explorer(model, skeleton):
    return PoseExplorer(model, INDICES, usage=USAGE, skeleton=skeleton, notes=["left", "right"])


def decoded(model, *indices):
    return model.decode(model.codebook.look_up(torch.tensor([indices])))[0].numpy()


def drawn_joints(explorer):
    """Return the joints of the coloured skeleton as they stand in the axes."""
    groups = [c for c in explorer._axes.collections if isinstance(c, PathCollection) and len(c.get_offsets())]
    return np.asarray(groups[-1].get_offsets())


def test_starts_from_the_first_pose_unchanged(explorer, model):
    np.testing.assert_array_equal(explorer.before, decoded(model, 0, 0))
    np.testing.assert_array_equal(explorer.after, explorer.before)
    assert explorer.entry.label == "0 (the pose's own)"
    assert [label for label, _ in explorer.token.options] == ["token 0: left", "token 1: right"]


def test_an_entry_moves_the_pose_to_what_the_model_decodes(explorer, model):
    before = explorer.picture.value
    explorer.entry.value = 1
    np.testing.assert_array_equal(explorer.after, decoded(model, 1, 0))
    np.testing.assert_array_equal(explorer.before, decoded(model, 0, 0))
    np.testing.assert_allclose(drawn_joints(explorer), decoded(model, 1, 0))
    assert explorer.picture.value != before
    assert explorer.words.value == "Farthest: left hand, 7.0 px; mean of all joints 3.5 px."


def test_entries_are_offered_by_use(explorer):
    assert explorer.entry.options == (("0 (the pose's own)", 0), ("1 (60.0 %)", 1), ("2 (33.3 %)", 2))
    explorer.token.value = 1
    assert explorer.entry.options == (("0 (the pose's own)", 0), ("2 (25.0 %)", 2))  # entry 1 is never used


def test_another_token_or_pose_starts_from_its_own_entry(explorer, model):
    explorer.entry.value = 2
    explorer.token.value = 1
    np.testing.assert_array_equal(explorer.after, decoded(model, 0, 0))
    explorer.entry.value = 2
    np.testing.assert_array_equal(explorer.after, decoded(model, 0, 2))
    explorer.pose.value = 1
    assert explorer.entry.value == 2
    np.testing.assert_array_equal(explorer.before, decoded(model, 1, 2))
    np.testing.assert_array_equal(explorer.after, explorer.before)
    np.testing.assert_allclose(drawn_joints(explorer), decoded(model, 1, 2))


def test_a_choice_is_drawn_once(explorer, monkeypatch):
    pictures = []
    monkeypatch.setattr(explorer, "_paint", lambda: pictures.append(1) or b"")
    for control, value in ((explorer.entry, 1), (explorer.token, 1), (explorer.pose, 2), (explorer.entry, 2)):
        pictures.clear()
        control.value = value
        assert len(pictures) == 1, control.description


def test_the_picture_is_a_png_with_the_pose_in_the_middle(explorer):
    explorer.entry.value = 1
    pixels = np.asarray(Image.open(io.BytesIO(explorer.picture.value)).convert("L"))
    rows, columns = np.nonzero(pixels < 250)
    height, width = pixels.shape
    assert abs((rows.min() + rows.max()) / 2 - height / 2) < 0.1 * height
    assert abs((columns.min() + columns.max()) / 2 - width / 2) < 0.1 * width


def test_a_redraw_decodes_two_poses_and_keeps_the_figure(explorer, monkeypatch):
    """What makes it quick; how quick is a row of `make bench`."""
    decode, decoded_codes, axes = explorer._model.decode, [], explorer._axes
    monkeypatch.setattr(
        explorer._model, "decode", lambda codes: decoded_codes.append(len(codes)) or decode(codes)
    )
    for entry in (1, 2, 1):
        explorer.entry.value = entry
    assert decoded_codes == [2, 2, 2]
    assert explorer._axes is axes
    assert len(axes.figure.axes) == 1


def test_the_unit_is_the_callers(model, skeleton):
    options = {"usage": USAGE, "skeleton": skeleton, "notes": ["", ""]}
    assert "0.0 mm" in PoseExplorer(model, INDICES, unit="mm", **options).words.value
    with pytest.raises(ValueError, match="expected as many tokens in each, got 2, 2 and 1"):
        PoseExplorer(model, INDICES, **options | {"notes": [""]})
