"""The bootstrap beside Student's test, and its interval beside its p-value."""

import numpy as np
import pytest

from analysis.statistics.bootstrap import bootstrap_test
from analysis.statistics.difference_tests import mean_test


def test_bootstrap_agrees_with_student_where_differences_are_normal() -> None:
    values = 0.3 + np.random.default_rng(1).normal(size=200)
    assert tuple(bootstrap_test(values)) == pytest.approx(tuple(mean_test(values)), rel=0.1, abs=0.001)
    assert bootstrap_test(values) == bootstrap_test(values)


def test_bootstrap_interval_excludes_zero_exactly_where_the_p_value_is_small() -> None:
    tests = [
        bootstrap_test(shift + np.random.default_rng(1).exponential(size=30), 999) for shift in np.arange(-2, 1, 0.05)
    ]
    outside = [not one.low <= 0 <= one.high for one in tests]
    assert outside == [one.p_value < 0.05 for one in tests]
    assert 0 < sum(outside) < len(tests)
