import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pctlib.metrics.pck import distances, mean_error, pck, pck_by_joint, pck_metrics

N, K = 4, 3


def truth_and_guess():
    truth = np.zeros((N, K, 2))
    guess = np.zeros((N, K, 2))
    guess[..., 0] = [[0, 5, 10], [1, 2, 3], [20, 30, 40], [9, 9, 9]]  # errors in pixels
    return guess, truth


COUNTED = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0]], dtype=bool)
LENGTHS = np.array([10.0, 20.0, 100.0, 0.0])  # the last person is left out


def test_pck_by_hand():
    guess, truth = truth_and_guess()
    result = pck(guess, truth, COUNTED, normalizer=LENGTHS, threshold=0.2)
    np.testing.assert_allclose(result.per_joint, [2 / 3, 1 / 2, 0])  # 20 / 100 is not below 0.2
    assert result.counts.tolist() == [3, 2, 1]
    assert result.pooled == pytest.approx(3 / 6)
    assert result.mean_of_joints == pytest.approx((2 / 3 + 1 / 2) / 3)
    at_threshold = pck(guess, truth, COUNTED, normalizer=LENGTHS, threshold=0.2, inclusive=True)
    np.testing.assert_allclose(at_threshold.per_joint, [1, 1 / 2, 0])


def test_a_joint_that_is_never_counted_is_nan():
    guess, truth = truth_and_guess()
    counted = COUNTED & [True, False, False]
    result = pck(guess, truth, counted, normalizer=LENGTHS, threshold=0.2)
    assert np.isnan(result.per_joint).tolist() == [False, True, True]
    assert result.pooled == result.mean_of_joints == pytest.approx(2 / 3)
    nothing = pck(guess, truth, COUNTED & False, normalizer=LENGTHS, threshold=0.2)
    assert np.isnan([nothing.pooled, nothing.mean_of_joints]).all()


def test_mean_error_by_hand():
    guess, truth = truth_and_guess()
    assert mean_error(guess, truth, COUNTED) == pytest.approx((0 + 5 + 10 + 1 + 2 + 20 + 9 + 9) / 8)
    scaled = (0 + 0.5 + 1 + 0.05 + 0.1 + 0.2) / 6
    assert mean_error(guess, truth, COUNTED, normalizer=LENGTHS) == pytest.approx(scaled)
    assert np.isnan(mean_error(guess, truth, COUNTED & False))


@given(st.floats(0.01, 2), st.floats(0, 1))
def test_pck_rises_with_the_threshold(threshold, more):
    guess, truth = truth_and_guess()
    low = pck(guess, truth, COUNTED, normalizer=LENGTHS, threshold=threshold)
    high = pck(guess, truth, COUNTED, normalizer=LENGTHS, threshold=threshold + more)
    assert (high.per_joint >= low.per_joint).all()


def test_metrics_by_visibility(make_people):
    visible = np.tile([2] * 8 + [1] * 6 + [0] * 3, (6, 1))
    people = make_people(visible=visible, side=100.0)
    guess = people.keypoints_image.copy()
    guess[:, 8:14, 1] += 30  # hidden ones: 0.3 of the longer side
    guess[:, 14:] += 999
    metrics = pck_metrics(people, guess)
    assert metrics["PCK@0.2 seen"] == 1
    assert metrics["PCK@0.2 hidden"] == 0
    assert metrics["PCK@0.2 all"] == pytest.approx(8 / 14)
    assert metrics["NME hidden"] == pytest.approx(0.3, rel=1e-5)
    assert metrics["NME all"] == pytest.approx(0.3 * 6 / 14, rel=1e-5)
    wider = pck_metrics(people, guess, threshold=0.35)
    assert wider["PCK@0.35 hidden"] == 1
    assert pck_metrics(people, guess, normalizer=np.full(6, 200.0))["PCK@0.2 hidden"] == 1


def test_table_by_joint(make_people):
    visible = np.full((6, 17), 2)
    visible[:4, 9] = 1
    visible[:, 3] = 0
    people = make_people(visible=visible)
    guess = people.keypoints_image.copy()
    guess[0, 9] += 500
    table = pck_by_joint(people, guess, threshold=0.1)
    assert list(table.index) == list(people.skeleton.keypoint_names)
    wrist = table.loc["left_wrist"]
    assert wrist[["n_all", "n_seen", "n_hidden"]].tolist() == [6, 2, 4]
    assert wrist[["all", "seen", "hidden"]].tolist() == pytest.approx([5 / 6, 1, 3 / 4])
    assert table.loc["left_ear", "n_all"] == 0
    assert np.isnan(table.loc["left_ear", "all"])
    assert pck_by_joint(people, guess, normalizer=np.full(6, 1e5)).loc["left_wrist", "hidden"] == 1


def test_distances_of_any_dimension():
    assert distances(np.ones((2, 1, 3)), np.zeros((2, 1, 3))) == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"keypoints": np.zeros((N, K + 1, 2))}, r"shape \(4, 3, 2\).*\(4, 4, 2\)"),
        ({"keypoints": np.full((N, K, 2), np.nan)}, "row 0 has a number that is not finite"),
        ({"counted": COUNTED.astype(int)}, "counted bool"),
        ({"counted": COUNTED[:2]}, r"bool \[4, 3\]"),
        ({"normalizer": LENGTHS[:3]}, r"normalizer \[4\]"),
        ({"normalizer": -LENGTHS}, "normalizer: row 0 is -10"),
        ({"normalizer": np.array([1, 1, np.nan, 1])}, "normalizer: row 2 is nan"),
    ],
)
def test_bad_input_is_named(change, match):
    guess, truth = truth_and_guess()
    arguments = {"keypoints": guess, "truth": truth, "counted": COUNTED, "normalizer": LENGTHS} | change
    with pytest.raises(ValueError, match=match):
        pck(**arguments, threshold=0.5)


def test_golden(golden):
    recorded = golden("metrics")
    i = {name: value.double().numpy() for name, value in recorded.inputs.items()}
    out = {name: value.numpy() for name, value in recorded.outputs.items()}
    data = (i["pck/pred"], i["pck/gt"], i["pck/mask"] > 0)
    result = pck(*data, normalizer=i["pck/head_size"], threshold=0.5)
    np.testing.assert_allclose(result.per_joint, out["pck/acc_0.5"], atol=1e-7)
    assert result.mean_of_joints == pytest.approx(float(out["pck/avg_0.5"]), abs=1e-7)
    assert (result.counts > 0).sum() == out["pck/cnt"]
    assert mean_error(*data) == pytest.approx(float(out["pck/epe"]), rel=1e-6)
    assert mean_error(*data, normalizer=i["pck/head_size"]) == pytest.approx(float(out["pck/nme"]), rel=1e-6)
