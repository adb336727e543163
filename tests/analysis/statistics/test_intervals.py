"""Each interval beside one worked by hand or made by another library."""

import pytest
from scipy import stats

from analysis.statistics.intervals import Interval, mean_interval, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (166, 166), (98, 166)])
def test_wilson_interval_is_that_of_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    found = wilson_interval(successes, n)
    assert found == pytest.approx((successes / n, expected.low, expected.high), abs=1e-12)


def test_t_interval_of_three_values_by_hand() -> None:
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653: 2 -+ 4.302653 / sqrt(3)
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, -0.484138, 4.484138), abs=1e-6)


def test_one_value_has_no_interval() -> None:
    interval = mean_interval([2.0])
    assert interval.estimate == 2.0
    assert not interval.known
    assert Interval(1.0, 0.5, 1.5).known
