import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pctlib.metrics.mpjpe import mpjpe, mpjpe_by_action, n_mpjpe, pa_mpjpe, procrustes_align

N, K = 5, 7
METRICS = [mpjpe, pa_mpjpe, n_mpjpe]


@pytest.fixture
def truth(rng):
    return rng.normal(0, 400, (N, K, 3))


def test_mpjpe_by_hand(truth):
    moved = truth + np.array([3.0, 4.0, 12.0])
    moved[:, 0] += 1000
    labelled = np.ones((N, K), dtype=bool)
    labelled[:, 0] = False
    assert mpjpe(moved, truth, labelled=labelled) == pytest.approx(13)
    assert mpjpe(moved[:, 1:], truth[:, 1:]) == pytest.approx(13)
    assert np.isnan(mpjpe(moved, truth, labelled=labelled & False))


@given(st.floats(0.1, 10), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_procrustes_undoes_any_similarity(scale, values):
    truth = np.random.default_rng(1).normal(0, 400, (N, K, 3))
    turned = scale * truth @ Rotation.from_rotvec(values[:3]).as_matrix() + np.array(values[3:]) * 1000
    assert pa_mpjpe(turned, truth) < 1e-6
    np.testing.assert_allclose(procrustes_align(turned, truth), truth, atol=1e-6)


def test_a_mirrored_pose_stays_wrong(truth):
    assert pa_mpjpe(truth * [-1, 1, 1], truth) > 50


def test_alignment_beats_any_other_rotation(truth, rng):
    guess = truth + rng.normal(0, 50, truth.shape)
    best = (procrustes_align(guess, truth) - truth) ** 2
    for vector in rng.normal(0, 0.01, (20, 3)):
        other = procrustes_align(guess, truth)
        centre = truth.mean(1, keepdims=True)
        other = (other - centre) @ Rotation.from_rotvec(vector).as_matrix() + centre
        assert ((other - truth) ** 2).sum() >= best.sum()


def test_a_point_for_a_pose_becomes_the_centre(truth):
    aligned = procrustes_align(np.ones((N, K, 3)), truth)
    np.testing.assert_allclose(aligned, np.broadcast_to(truth.mean(1, keepdims=True), truth.shape))
    assert np.isfinite(n_mpjpe(np.zeros((N, K, 3)), truth))


def test_scale_is_fitted_for_each_pose(truth, rng):
    scales = rng.uniform(0.2, 3, (N, 1, 1))
    assert n_mpjpe(truth * scales, truth) < 1e-9
    assert n_mpjpe(truth + 100, truth) > 10  # a shift is not undone
    assert mpjpe(truth * scales, truth) > 10


@pytest.mark.parametrize("metric", METRICS)
def test_unlabelled_joints_are_not_averaged(metric, truth, rng):
    guess = truth + rng.normal(0, 30, truth.shape)
    labelled = rng.random((N, K)) > 0.4
    assert metric(guess, truth, labelled=labelled) != metric(guess, truth)


def test_table_by_action(truth, rng):
    guess = truth + rng.normal(0, 30, truth.shape)
    actions = ["walk", "walk", "sit", "walk", "walk"]
    table = mpjpe_by_action(guess, truth, actions=actions)
    assert list(table.index) == ["sit", "walk", "mean of actions", "all poses"]
    assert table["poses"].tolist() == [1, 4, 5, 5]
    assert table.loc["sit", "PA-MPJPE"] == pytest.approx(pa_mpjpe(guess[2:3], truth[2:3]))
    assert table.loc["all poses", "N-MPJPE"] == pytest.approx(n_mpjpe(guess, truth))
    means = table.loc[["sit", "walk"], "MPJPE"]
    assert table.loc["mean of actions", "MPJPE"] == pytest.approx(means.mean())
    assert table.loc["all poses", "MPJPE"] == pytest.approx((means["sit"] + 4 * means["walk"]) / 5)
    part = np.zeros((N, K), dtype=bool)
    part[:, 2] = True
    few = mpjpe_by_action(guess, truth, actions=actions, labelled=part)
    assert few.loc["all poses", "MPJPE"] == pytest.approx(
        np.linalg.norm((guess - truth)[:, 2], axis=-1).mean()
    )


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_named(metric, truth):
    with pytest.raises(ValueError, match=r"\(5, 7, 3\).*\(5, 6, 3\)"):
        metric(truth[:, :6], truth)
    with pytest.raises(ValueError, match="row 3 has a number"):
        metric(np.where(np.arange(N)[:, None, None] == 3, np.inf, truth), truth)
    with pytest.raises(ValueError, match=r"labelled bool \(5, 7\)"):
        metric(truth, truth, labelled=np.ones((N, K)))


def test_actions_must_name_each_pose(truth):
    with pytest.raises(ValueError, match="expected 5 actions"):
        mpjpe_by_action(truth, truth, actions=["walk"])


@pytest.mark.parametrize(("name", "metric"), [("mpjpe", mpjpe), ("p_mpjpe", pa_mpjpe), ("n_mpjpe", n_mpjpe)])
def test_golden(golden, name, metric):
    recorded = golden("metrics")
    pred, gt, mask = (recorded.inputs[f"mpjpe/{key}"].double().numpy() for key in ("pred", "gt", "mask"))
    out = recorded.outputs
    assert metric(pred, gt, labelled=mask > 0) == pytest.approx(float(out[f"mpjpe/{name}"]), rel=1e-6)
    assert metric(pred, gt) == pytest.approx(float(out[f"mpjpe/{name}_all"]), rel=1e-6)


def test_golden_alignment(golden):
    recorded = golden("metrics")
    pred, gt = (recorded.inputs[f"mpjpe/{key}"].double().numpy() for key in ("pred", "gt"))
    np.testing.assert_allclose(
        procrustes_align(pred, gt), recorded.outputs["mpjpe/aligned"].numpy(), atol=1e-3
    )
