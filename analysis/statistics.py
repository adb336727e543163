"""Intervals and tests behind the numbers of a report: small functions of plain numbers, each with its source."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Confidence level of every interval; tests are judged at 1 - LEVEL."""


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

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


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
    mean = float(np.mean(values))
    if n == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of "a win is as likely as a loss", ties set apart (exact binomial).

    Args:
        wins: prompts on which the arm is better.
        losses: prompts on which it is worse.

    Returns:
        The p-value; 1 when there is neither a win nor a loss.

    Source: Conover, "Practical Nonparametric Statistics", 3rd ed. (1999), section 3.4.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def paired_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of "the differences lie symmetrically about zero": Wilcoxon's signed-rank test.

    Args:
        differences: one per prompt; zeros carry no information and are dropped.

    Returns:
        The p-value; 1 when all differences are zero.

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945).
    """
    different = [value for value in differences if value != 0]
    return float(stats.wilcoxon(different).pvalue) if different else 1.0


def rank_direction(differences: Sequence[float]) -> float:
    """Sum of the signed ranks that Wilcoxon's test is about: positive where the differences tend to be.

    Args:
        differences: one per prompt; zeros are dropped.

    Returns:
        The sum; 0 when all differences are zero.
    """
    values = np.asarray(differences, dtype=float)
    values = values[values != 0]
    return float(np.sum(np.sign(values) * stats.rankdata(np.abs(values))))


def welch_test(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of "both groups have the same mean", with unequal variances allowed.

    Args:
        a: one value per seed of one arm, at least two.
        b: the same for the other arm.

    Returns:
        The p-value; NaN where no group has any spread, since there is nothing then to judge a difference by.

    Source: Welch, "The generalization of Student's problem when several different population variances are
    involved", Biometrika 34 (1947).
    """
    if _constant(a, np.max(np.abs(a))) and _constant(b, np.max(np.abs(b))):
        return math.nan
    return float(stats.ttest_ind(a, b, equal_var=False).pvalue)


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of "the differences of the pairs have mean zero".

    Args:
        a: one value per seed of one arm, at least two.
        b: the values of the other arm for the same seeds, in the same order.

    Returns:
        The p-value; NaN where all differences are the same, since there is nothing then to judge them by.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    differences = np.subtract(a, b)
    if _constant(differences, max(np.max(np.abs(a)), np.max(np.abs(b)))):
        return math.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _constant(values: Sequence[float] | np.ndarray, scale: float) -> bool:
    """Whether values of numbers of this scale vary by rounding at most."""
    return bool(np.ptp(values) <= 1e-12 * scale)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of tests made, keeping the chance of any false claim at most 5 %.

    Args:
        p_values: one per test of the family; NaN for a test that could not be made, which counts as none.

    Returns:
        Adjusted p-values in the given order, to be compared with 0.05 directly; NaN stays NaN.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).
    """
    adjusted = [math.nan] * len(p_values)
    made = sorted((i for i, value in enumerate(p_values) if not math.isnan(value)), key=p_values.__getitem__)
    largest = 0.0
    for position, index in enumerate(made):
        largest = max(largest, (len(made) - position) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted
