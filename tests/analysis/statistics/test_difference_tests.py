"""Each test of a difference beside one worked by hand or made by another library."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.bootstrap import bootstrap_test
from analysis.statistics.difference_tests import SMALLEST_P, crossed_test, mean_test, sign_test, welch_test
from analysis.statistics.intervals import mean_interval


def test_sign_test_by_hand() -> None:
    # 8 to 2: twice (45 + 10 + 1) of 1024 equally likely outcomes
    assert sign_test(8, 2) == pytest.approx(112 / 1024)
    assert sign_test(0, 0) == 1.0


def test_welch_test_by_hand() -> None:
    # means 1 and 4, both variances 1, n = 3: t = 3 / sqrt(2/3) with 4 degrees of freedom
    found = welch_test([0.0, 1.0, 2.0], [3.0, 4.0, 5.0])
    half = stats.t.ppf(0.975, 4) * math.sqrt(2 / 3)
    expected = 2 * stats.t.sf(3 / math.sqrt(2 / 3), 4)
    assert found == pytest.approx((-3.0, -3.0 - half, -3.0 + half, expected))
    assert math.isnan(welch_test([1.0, 1.0], [2.0, 2.0]).p_value)  # no spread, no certainty either


def test_t_test_of_a_mean_by_hand() -> None:
    # mean 2, standard deviation 1: t = 2 sqrt(3) with 2 degrees of freedom
    found = mean_test([1.0, 2.0, 3.0])
    assert found.p_value == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))
    assert found[:3] == pytest.approx(mean_interval([1.0, 2.0, 3.0]))
    assert math.isnan(mean_test([2.01 - 1.98, 2.02 - 1.99, 2.03 - 2.0]).p_value)


def test_crossed_test_by_hand() -> None:
    # Seed means 1 and 3, case means 1, 2 and 3, no remainder: MS_seed = 3 * 2, MS_case = 2 * 1, so the variance of the
    # mean is (6 + 2) / 6, of which seeds have three quarters at 1 degree of freedom and cases the rest at 2.
    found = crossed_test(np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]))
    half = (0.75 * stats.t.ppf(0.975, 1) + 0.25 * stats.t.ppf(0.975, 2)) * math.sqrt(8 / 6)
    assert found[:3] == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    weighted = 0.75 * stats.t.isf(found.p_value / 2, 1) + 0.25 * stats.t.isf(found.p_value / 2, 2)
    assert weighted == pytest.approx(2.0 / math.sqrt(8 / 6))


def test_crossed_test_is_a_paired_t_test_where_one_sample_alone_varies() -> None:
    values = np.array([0.3, -0.1, 0.9, 0.4])
    for table in (
        values[:, None],
        np.tile(values[:, None], 5),
        np.tile(values, (3, 1)),
    ):  # one case, no cases, no seeds
        assert crossed_test(table) == pytest.approx(mean_test(values))
    assert math.isnan(crossed_test(np.full((2, 3), 0.1)).p_value)


def test_values_that_are_equal_throughout_cannot_be_told_apart() -> None:
    none, equal = np.zeros((3, 4)), [2.0, 2.0]
    found = [mean_test(none[0]), crossed_test(none), bootstrap_test(none[0]), welch_test(equal, equal)]
    assert [(one.estimate, one.p_value) for one in found] == [(0.0, 1.0)] * 4
    assert math.isnan(mean_test([0.0]).p_value)  # one value alone is no sample
    assert all(math.isnan(one.low) for one in found)  # how far the next seed would fall is not known for it


def test_certainty_beyond_any_number_stays_a_number() -> None:
    rng = np.random.default_rng(1)
    assert crossed_test(1e6 + rng.normal(size=(8, 200))).p_value == pytest.approx(SMALLEST_P)
