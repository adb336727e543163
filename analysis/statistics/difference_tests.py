"""Tests of whether two arms differ: small functions of plain numbers, each with its source."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from analysis.statistics.intervals import LEVEL, Values

SMALLEST_P = 1e-15
"""Where the search for the p-value of a crossed test ends."""


LOSS_ROUNDING = 1e-5
"""Share of a loss: arms that lie no further apart in any seed and window count as equal. Another order of additions, as
another micro-batch brings, moves losses so far, and a test over windows would take that for a difference of models."""


class Test(NamedTuple):
    """A difference, the limits of its 95 % interval, and the two-sided p-value of "it is zero".

    Limits are NaN where the data show no spread to judge the difference by, and so is the p-value unless there is no
    difference either: it is 1 then, since values that are equal throughout cannot be told apart.
    """

    estimate: float
    low: float
    high: float
    p_value: float


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


def mean_test(differences: Sequence[float] | Values) -> Test:
    """Student's t test of "the mean is zero".

    Args:
        differences: independent values, at least one.

    Returns:
        The mean, its t interval and p-value; of one value the mean alone.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908); the tests hold it to SciPy's.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) == 1:
        return Test(float(values[0]), math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if is_constant(values):
        return without_spread(mean)
    # By hand, since SciPy's function takes half a millisecond, and a report of many arms asks thousands of times.
    freedom, error = len(values) - 1, float(values.std(ddof=1)) / math.sqrt(len(values))
    half = -float(special.stdtrit(freedom, (1 - LEVEL) / 2)) * error
    return Test(mean, mean - half, mean + half, 2 * float(special.stdtr(freedom, -abs(mean) / error)))


def welch_test(a: Sequence[float] | Values, b: Sequence[float] | Values) -> Test:
    """Welch's t test of "both groups have the same mean", with unequal variances allowed.

    Args:
        a: one value per seed of one arm, at least two.
        b: the same for the other arm.

    Returns:
        Mean of `a` minus that of `b`, with its interval and p-value.

    Source: Welch, "The generalization of Student's problem when several different population variances are
    involved", Biometrika 34 (1947), as in SciPy.
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    difference = float(left.mean() - right.mean())
    if is_constant(left) and is_constant(right):
        return without_spread(difference)
    result = stats.ttest_ind(left, right, equal_var=False)
    low, high = result.confidence_interval(LEVEL)
    return Test(difference, float(low), float(high), float(result.pvalue))


def crossed_test(differences: Values) -> Test:
    """t test of "the mean difference is zero" where seeds and cases (windows, prompts) both are samples.

    Every seed meets every case, so the difference of a seed and a case is a mean plus an effect of the seed, one of the
    case, and the rest. The variance of the grand mean over J seeds and K cases is estimated by (MS_seed +
    max(MS_case - MS_rest, 0)) / (J K), as Hillis does. The critical value is Cochran's: the mean of Student's for J - 1
    and for K - 1 degrees of freedom, each weighted by its share of that variance. Hillis's single number of degrees of
    freedom follows the estimate of MS_seed, which two or three seeds can make small by chance: false alarms are then
    several times as frequent as said (`test_difference_tests_simulated.py`). Cochran's value errs to the safe side.

    Args:
        differences: (J, K) differences of two arms, J >= 2 common seeds by K >= 1 cases.

    Returns:
        The grand mean, its interval and p-value; with one case this is the paired t test over seeds.

    Source: Hillis, "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis",
    Statistics in Medicine 26 (2007), for two tests read by J readers on K cases; Cochran, "Approximate significance
    levels of the Behrens-Fisher test", Biometrics 20 (1964).
    """
    table = np.asarray(differences, dtype=float)
    seeds, cases = table.shape
    mean, by_seed, by_case = float(table.mean()), table.mean(axis=1), table.mean(axis=0)
    if cases == 1:
        return mean_test(by_seed)
    ms_seed = cases * float(by_seed.var(ddof=1))
    ms_case = seeds * float(by_case.var(ddof=1))
    rest = table - by_seed[:, None] - by_case + mean
    ms_rest = float((rest**2).sum()) / ((seeds - 1) * (cases - 1))
    of_cases = max(ms_case - ms_rest, 0.0)
    noise = ms_seed + of_cases
    if is_constant(table) or noise == 0.0:
        return without_spread(mean)
    return cochran_test(mean, [(ms_seed / table.size, seeds - 1), (of_cases / table.size, cases - 1)])


def unpaired_crossed_test(a: Values, b: Values) -> Test:
    """The same for two arms without common seeds, which still share their cases.

    Args:
        a: (seeds, K) values of one arm, two seeds and two cases at least.
        b: (seeds, K) values of the other on the same cases.

    Returns:
        Mean of `a` minus that of `b`, its interval and p-value by `cochran_test`: each arm's seeds add to its variance
        as in Welch's test, and the cases what the difference of the arms' means varies over them by more than the rest
        explains.
    """
    by_case = a.mean(axis=0) - b.mean(axis=0)
    cases, difference = len(by_case), float(by_case.mean())
    parts, explained = [], 0.0
    for table in (a, b):
        by_seed = table.mean(axis=1)
        rest = table - by_seed[:, None] - table.mean(axis=0) + table.mean()
        explained += float((rest**2).sum()) / ((len(table) - 1) * (cases - 1)) / len(table)
        parts.append((float(by_seed.var(ddof=1)) / len(table), len(table) - 1))
    parts.append((max(float(by_case.var(ddof=1)) - explained, 0.0) / cases, cases - 1))
    if sum(variance for variance, _ in parts) <= 1e-24 * float(np.abs(a).max()) ** 2:
        return without_spread(difference)
    return cochran_test(difference, parts)


def cochran_test(estimate: float, variances: Sequence[tuple[float, float]]) -> Test:
    """t test of "it is zero" for an estimate whose variance is a sum of independently estimated parts.

    Args:
        estimate: the estimate.
        variances: each part with its degrees of freedom, not all of them zero.

    Returns:
        The estimate, its interval and p-value. The critical value is the mean of Student's for each number of degrees
        of freedom, weighted by the parts' shares, which errs to the safe side.

    Source: Cochran, "Approximate significance levels of the Behrens-Fisher test", Biometrics 20 (1964).
    """
    noise = sum(variance for variance, _ in variances)
    error = math.sqrt(noise)

    def critical(log_p: float) -> float:
        return sum(-float(special.stdtrit(df, math.exp(log_p) / 2)) * variance / noise for variance, df in variances)

    half = critical(math.log(1 - LEVEL)) * error
    t, least = abs(estimate) / error, math.log(SMALLEST_P)
    log_p = least if critical(least) <= t else float(optimize.brentq(lambda log_p: critical(log_p) - t, least, 0.0))
    return Test(estimate, estimate - half, estimate + half, math.exp(log_p))


def without_spread(difference: float) -> Test:
    """The test of differences that are all alike: no interval, and no p-value unless they are none."""
    return Test(difference, math.nan, math.nan, math.nan if difference else 1.0)


def is_constant(values: Values) -> bool:
    """Whether values vary by rounding at most."""
    return bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))
