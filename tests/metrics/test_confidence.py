import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools.cocoeval import Params

from pctlib.metrics.confidence import (
    Calibration,
    fit_calibration,
    found_joints,
    reliability,
    separation,
)


def test_a_calibration_by_hand():
    fitted = fit_calibration([1, 2, 3, 4, 4], [False, True, False, True, True])
    assert fitted.probabilities == pytest.approx([0, 0.5, 0.5, 1])
    np.testing.assert_allclose(fitted(np.array([[0, 1.5], [2.5, 9]])), [[0, 0.25], [0.5, 1]])


def test_true_probabilities_are_recovered_whatever_the_scale_of_the_scores():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 1, 20000)
    fitted = fit_calibration(10 * chance**2 - 3, rng.uniform(0, 1, 20000) < chance)
    assert len(fitted.scores) <= 200
    assert np.abs(fitted(10 * chance**2 - 3) - chance).mean() < 0.03


@given(arrays(float, 12, elements=st.floats(-5, 5)), arrays(bool, 12))
def test_a_calibration_never_changes_the_order_and_keeps_the_mean(scores, correct):
    fitted = fit_calibration(scores, correct)
    probabilities = fitted(np.sort(scores))
    assert (np.diff(probabilities) >= 0).all()
    assert fitted(scores).mean() == pytest.approx(correct.mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("scores", "probabilities", "message"),
    [
        ((), (), "as many scores as probabilities"),
        ((1.0, 0.0), (0.0, 1.0), "rising scores"),
        ((0.0, 1.0), (0.5, 0.4), "do not fall"),
        ((0.0, 1.0), (0.5, 1.5), r"in 0..1, got 0.5 to 1.5"),
        ((0.0, float("nan")), (0.5, 0.6), "rising"),
    ],
)
def test_curves_that_are_no_calibration_are_refused(scores, probabilities, message):
    with pytest.raises(ValueError, match=message):
        Calibration(scores, probabilities)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ValueError, match="at least 2 scores"):
        fit_calibration([1.0], [True])
    with pytest.raises(ValueError, match="not finite"):
        fit_calibration([1.0, np.nan], [True, False])
    with pytest.raises(ValueError, match="as many scores as answers"):
        reliability([], [])


def test_reliability_by_hand():
    curve = reliability([0.1, 0.9, 0.3, 0.7], [False, True, True, True], bins=2)
    np.testing.assert_allclose(curve.score, [0.2, 0.8])
    np.testing.assert_allclose(curve.found, [0.5, 1.0])
    assert curve.error == pytest.approx((0.3 + 0.2) / 2)
    assert reliability([0.5], [True]).counts.tolist() == [1]


def test_separation_by_hand():
    assert separation([1, 2, 3, 4], [False, False, True, True]) == 1
    assert separation([4, 3, 2, 1], [False, False, True, True]) == 0
    assert separation([1, 1, 1], [True, False, True]) == 0.5
    assert separation([1, 2, 2, 3], [False, True, False, True]) == pytest.approx(3.5 / 4)
    assert np.isnan(separation([1, 2], [True, True]))


def test_found_is_a_term_of_the_oks_of_one_half():
    sigmas = Params(iouType="keypoints").kpt_oks_sigmas
    area = 5000.0
    reach = np.sqrt(2 * np.log(2) * area) * 2 * sigmas  # where exp(-d^2 / (2 area (2 sigma)^2)) is 1/2
    truth = np.full((2, 17, 2), 100.0)
    near = truth + np.stack([0.99 * reach, 0 * reach], 1)
    far = truth + np.stack([0 * reach, 1.01 * reach], 1)
    keypoints = np.stack([near[0], far[1]])
    found = found_joints(keypoints, truth, np.full(2, area), sigmas=tuple(sigmas))
    assert found.tolist() == [[True] * 17, [False] * 17]
    assert found_joints(truth, truth, np.full(2, area), sigmas=None).all()
