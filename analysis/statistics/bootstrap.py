"""The bootstrap of a mean, for differences that need not be normal."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from analysis.statistics.difference_tests import Test, is_constant, without_spread
from analysis.statistics.intervals import LEVEL, Values

RESAMPLES = 9_999
"""Resamples of a bootstrap: its smallest p-value, times the pairs and the looks at the data, stays below 0.05 up to 500
of them."""


def bootstrap_test(differences: Sequence[float] | Values, resamples: int = RESAMPLES) -> Test:
    """Studentised bootstrap of a mean, for differences that need not be normal.

    Each resample draws the differences with replacement and gives a t value about their own mean; the symmetric
    interval and the p-value take the distribution of |t| from them instead of from Student. Resamples are the same in
    every call of a length, so that a report can be made again.

    Args:
        differences: independent values, one per prompt, at least two.
        resamples: number of resamples.

    Returns:
        The mean, its interval and p-value, which is at least 1 / (resamples + 1).

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), sections 12.5 and 16.4; the symmetric
    interval is that of Hall, "On symmetric bootstrap confidence intervals", JRSS B 50 (1988).
    """
    values = np.asarray(differences, dtype=float)
    n, mean = len(values), float(values.mean())
    if is_constant(values):
        return without_spread(mean)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    counts = _resample_counts(n, resamples)
    centred = values - mean
    shift = counts @ centred / n
    spread = np.sqrt(np.maximum(counts @ centred**2 / n - shift**2, 0.0) / (n - 1))
    # A resample of equal values has no spread: it counts as further out than any other, which errs on the safe side.
    t = np.divide(np.abs(shift), spread, out=np.full(resamples, np.inf), where=spread > 1e-9 * error)
    reached = int((t >= abs(mean) / error * (1 - 1e-12)).sum())
    half = float(np.quantile(t, LEVEL, method="higher")) * error
    return Test(mean, mean - half, mean + half, (1 + reached) / (1 + resamples))


@lru_cache(maxsize=2)
def _resample_counts(n: int, resamples: int) -> Values:
    """(resamples, n) how often each resample draws each of n values."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
