"""Intervals and tests behind the numbers of a report: small functions of plain numbers, each with its source."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Values = NDArray[np.float64]

LEVEL = 0.95
"""Confidence level of every interval; tests are judged at ALPHA."""

ALPHA = 0.05
"""Chance of a false claim that tests are held to."""

SMALLEST_P = 1e-15
"""Where the search for the p-value of a crossed test ends."""

RESAMPLES = 9_999
"""Resamples of a bootstrap: its smallest p-value, times the pairs and the looks at the data, stays below 0.05 up to 500
of them."""


class Interval(NamedTuple):
    """An estimate and the limits of its confidence interval; the limits are NaN where the data carry none."""

    estimate: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the data carry an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)


class Test(NamedTuple):
    """A difference, the limits of its 95 % interval, and the two-sided p-value of "it is zero".

    Limits are NaN where the data show no spread to judge the difference by, and so is the p-value unless there is no
    difference either: it is 1 then, since values that are equal throughout cannot be told apart.
    """

    estimate: float
    low: float
    high: float
    p_value: float


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
    mean = float(np.mean(values))
    if n == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    half = -float(special.stdtrit(n - 1, (1 - LEVEL) / 2) * np.std(values, ddof=1)) / math.sqrt(n)
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
    if _constant(values):
        return _without_spread(mean)
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
    if _constant(left) and _constant(right):
        return _without_spread(difference)
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
    several times as frequent as said (tests/test_statistics_simulated.py), where Cochran's value errs to the safe side.

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
    if _constant(table) or noise == 0.0:
        return _without_spread(mean)
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
        return _without_spread(difference)
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
    if _constant(values):
        return _without_spread(mean)
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


def _without_spread(difference: float) -> Test:
    return Test(difference, math.nan, math.nan, math.nan if difference else 1.0)


def _constant(values: Values) -> bool:
    """Whether values vary by rounding at most."""
    return bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))


def holm(p_values: Sequence[float], looks: int = 1, family: int | None = None) -> list[float]:
    """Adjust p-values for the number of tests made, keeping the chance of any false claim at most 5 %.

    Args:
        p_values: one per test of the family; NaN for a test that could not be made, which counts as none.
        looks: how often the family may have been tested while data came in, as adaptive seeds do; each p-value is
            multiplied by it first (Bonferroni).
        family: number of tests that these were chosen among by looking at the data; the tests that were not made count
            as if their p-values were 1, which only raises those of the others. None where these are all.

    Returns:
        Adjusted p-values in the given order, to be compared with 0.05 directly; NaN stays NaN.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979). That of
    statsmodels, to which the tests hold this one, collects garbage at every call: seconds in a report of many tables.
    """
    adjusted = np.array(p_values, dtype=float)
    made = np.flatnonzero(np.isfinite(adjusted))
    ascending = made[np.argsort(adjusted[made])]
    counted = len(made) if family is None else family
    stepped = adjusted[ascending] * looks * (counted - np.arange(len(made)))
    adjusted[ascending] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(value) for value in adjusted]
