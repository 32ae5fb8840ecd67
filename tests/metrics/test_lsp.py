import numpy as np
import pytest

from pctlib.data.people import convert
from pctlib.metrics.lsp import evaluate_lsp, torso_diameters
from pctlib.skeletons import LSP, MPII

SHOULDER, HIP = LSP.index("left_shoulder"), LSP.index("right_hip")


@pytest.fixture
def people(make_people):
    """Return people whose torso is 100 px long, except the last, whose torso is not labelled."""
    visible = np.full((6, 14), 2)
    visible[5, HIP] = 0
    people = make_people(skeleton=LSP, visible=visible)
    people.keypoints_image[:, SHOULDER] = people.keypoints_image[:, HIP] + np.array([60, 80], np.float32)
    return people


def test_table_by_hand(people):
    assert torso_diameters(people) == pytest.approx([100] * 5 + [0])
    guess = people.keypoints_image.astype(np.float64)
    guess[:, LSP.index("neck"), 0] += 20.1
    guess[:2, LSP.index("left_knee"), 1] += 21
    guess[:, LSP.index("right_knee"), 1] += 19
    guess[5] += 500
    evaluation = evaluate_lsp(people, guess)
    row = evaluation.rows["PCK@0.2"]
    assert row["Head"] == 50  # neck wrong, head top right
    assert row["Knee"] == pytest.approx((60 + 100) / 2)
    assert row["Mean"] == pytest.approx(100 * (70 - 5 - 2) / 70)
    assert row["Wrist"] == 100
    assert list(evaluation.counts.values()) == [6, 1, 70, 0]
    assert evaluate_lsp(people, guess, threshold=0.25).rows["PCK@0.25"]["Mean"] == 100


def test_unlabelled_joints_do_not_count(people):
    people.visible[:5, LSP.index("head_top")] = 0
    guess = people.keypoints_image.copy()
    guess[:, LSP.index("head_top")] += 500
    evaluation = evaluate_lsp(people, guess)
    assert evaluation.metrics["Mean"] == 100
    assert evaluation.counts["joints not labelled left out"] == 5


def test_another_skeleton_is_refused(people):
    with pytest.raises(ValueError, match="skeleton mpii cannot be scored as lsp"):
        evaluate_lsp(convert(people, MPII), np.zeros((6, 16, 2)))
