"""Holm's adjustment beside one worked by hand and that of statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.statistics.multiple_tests import holm


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1 is 0.03, 0.04, 0.04; nothing passes one
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01, math.nan, 0.02]) == pytest.approx([0.02, math.nan, 0.02], nan_ok=True)  # two tests were made
    assert holm([0.01, 0.02], looks=3) == pytest.approx([0.06, 0.06])
    assert holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.random.default_rng(1).random(30) ** 4
    assert holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
