import numpy as np
import pytest

from pctlib.metrics.bootstrap import RESAMPLES, half_width, pooled_draws


def test_everyone_comes_first_and_draws_spread_as_the_mean_does():
    rng = np.random.default_rng(1)
    total, count = rng.normal(size=400), np.ones(400)
    drawn = pooled_draws(total, count)
    assert drawn.shape == (1 + RESAMPLES,)
    assert drawn[0] == pytest.approx(total.mean())
    assert half_width(drawn) == pytest.approx(1.96 * total.std() / 20, rel=0.1)


def test_methods_are_paired_by_person():
    total, count = np.arange(30.0), np.full(30, 2)
    difference = pooled_draws(total + 1, count) - pooled_draws(total, count)
    assert difference == pytest.approx(np.full(1 + RESAMPLES, 0.5))
    assert half_width(difference) == pytest.approx(0, abs=1e-12)


def test_nothing_counted_is_not_a_number():
    assert np.isnan(pooled_draws(np.zeros(3), np.zeros(3))).all()
