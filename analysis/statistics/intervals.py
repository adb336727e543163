"""Confidence intervals of shares and means, each with its source."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[np.float64]


LEVEL = 0.95
"""Confidence level of every interval; tests are judged at ALPHA."""


class Interval(NamedTuple):
    """An estimate and the limits of its confidence interval; the limits are NaN where the data carry none."""

    estimate: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the data carry an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def wilson_interval(successes: float, n: int) -> Interval:
    """Score interval of a share, which stays within [0, 1] and works for shares of 0 and 1.

    Args:
        successes: number of successes; a fraction where several seeds answered the same prompts.
        n: number of independent observations.

    Returns:
        The share with its 95 % interval; all NaN when `n` is 0.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), as in
    statsmodels.
    """
    from statsmodels.stats.proportion import proportion_confint  # here, since it loads pandas

    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    low, high = proportion_confint(successes, n, alpha=1 - LEVEL, method="wilson")
    return Interval(successes / n, float(low), float(high))


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of independent values with Student's t interval.

    Args:
        values: one value per seed, or one per prompt.

    Returns:
        Mean and 95 % interval; the limits are NaN for fewer than two values, the mean too for none.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(values[0] if n == 1 else np.mean(values))  # numpy takes long for one
    if n == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    half = -float(special.stdtrit(n - 1, (1 - LEVEL) / 2) * np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)
