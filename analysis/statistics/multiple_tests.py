"""Many tests at once: the chance of a false claim, and the adjustment of p-values that keeps it."""

import math
from collections.abc import Sequence

import numpy as np

ALPHA = 0.05
"""Chance of a false claim that tests are held to."""


class Tested:
    """What bears the p-value of a test, NaN where the test could not be made."""

    p_value: float

    @property
    def tested(self) -> bool:
        """Whether the test could be made at all."""
        return not math.isnan(self.p_value)

    @property
    def differs(self) -> bool:
        """Whether the test tells a difference."""
        return self.p_value < ALPHA


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
