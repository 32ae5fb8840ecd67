"""Bootstrap over people: how far a pooled metric would move with other people of the same kind."""

from functools import lru_cache

import numpy as np

RESAMPLES = 1000  # of the people
NORMAL = 1.96  # half of the 95 % interval of a normal distribution


def pooled_draws(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return a pooled metric of all people, and of each resample of them, drawn with replacement.

    The draws depend on the number of people alone, so that those of two methods are paired by person.

    Args:
        total: [N] sum of what the metric counts, of each person.
        count: [N] how much is counted of each.

    Returns:
        [1 + RESAMPLES] sum of totals over sum of counts, everyone once first; NaN where nothing is counted.
    """
    weights = _resampled(len(count))
    with np.errstate(invalid="ignore"):
        return (weights @ total) / (weights @ count)


def half_width(drawn: np.ndarray) -> float:
    """Return half of the 95 % interval of what `pooled_draws` gave, or of a difference of two."""
    return NORMAL * float(np.nanstd(drawn[1:], ddof=1))


@lru_cache(maxsize=4)
def _resampled(people: int) -> np.ndarray:
    """Return how often each person is drawn, [1 + resamples, N]; in the first row everyone once."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    return np.concatenate([np.ones((1, people), int), drawn])
