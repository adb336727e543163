"""The best learning rate of a group as far as the rates tried tell it, and the ratio of two of them.

Loss is taken to rise alike to both sides of its lowest point, on a logarithmic scale. Then the lowest point is nearer
to the best rate tried than to any other, and a parabola through that one and its neighbours tells where (Brent 1973,
section 5.2). Rates whose losses could be the lowest, but for what another seed does, are all taken for the best.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.comparison.arms import Arm
from analysis.comparison.rate_groups import RateGroup, Tried
from analysis.statistics.multiple_tests import ALPHA
from basis.outcomes import Outcome


class SeedNoise(NamedTuple):
    """How far another seed moves a loss: its standard deviation in nats per token, and the degrees of freedom."""

    deviation: float
    freedom: int


class BestRate(NamedTuple):
    """A learning rate, or how many times another it is, with its limits.

    Attributes:
        estimate: where the loss is lowest.
        low: no lower than this, 0 where lower rates were not tried.
        high: no higher than this, infinity where higher rates were not tried.
    """

    estimate: float
    low: float
    high: float

    @property
    def at_edge(self) -> bool:
        """Whether the best may lie beyond the rates tried."""
        return self.low == 0 or math.isinf(self.high)

    def over(self, other: "BestRate") -> "BestRate":
        """How many times the other this one is."""
        low = 0.0 if math.isinf(other.high) else self.low / other.high
        high = math.inf if other.low == 0 else self.high / other.low
        return BestRate(self.estimate / other.estimate, low, high)


def seed_noise(arms: Sequence[Arm], metric: str) -> SeedNoise | None:
    """How far seeds move the loss of a sweep's arms, pooled over those of several seeds; None without such."""
    values = [values for arm in arms if len(values := arm.values(metric)) > 1]
    freedom = sum(len(own) - 1 for own in values)
    if not freedom:
        return None
    squares = sum(float(np.var(own, ddof=1)) * (len(own) - 1) for own in values)
    return SeedNoise(math.sqrt(squares / freedom), freedom)


def best_rate(group: RateGroup, noise: SeedNoise | None) -> BestRate | None:
    """Where a group's loss is lowest.

    Args:
        group: what was tried. A rate that diverged is worse than any that finished; one that failed tells nothing.
        noise: how far seeds move a loss; None: as if they did not.

    Returns:
        The learning rate; None where fewer than two rates tell anything.
    """
    told = [one for one in group.tried if math.isfinite(_loss(one)) or one.outcome == Outcome.DIVERGED]
    by_rate = {one.rate: one for one in sorted(told, key=_loss, reverse=True)}  # of the same rate, the better one
    rates = sorted(by_rate)
    losses = [_loss(by_rate[rate]) for rate in rates]
    if len(rates) < 2 or math.isinf(min(losses)):
        return None
    best = int(np.argmin(losses))
    lowest = by_rate[rates[best]]
    alike = [place for place, rate in enumerate(rates) if _may_be_lowest(by_rate[rate], lowest, noise)]
    first, last = alike[0], alike[-1]
    low = math.sqrt(rates[first - 1] * rates[first]) if first else 0.0
    high = math.sqrt(rates[last] * rates[last + 1]) if last + 1 < len(rates) else math.inf
    return BestRate(_lowest_point(rates, losses, best), low, high)


def _loss(one: Tried) -> float:
    return one.loss.estimate if math.isfinite(one.loss.estimate) else math.inf


def _may_be_lowest(one: Tried, lowest: Tried, noise: SeedNoise | None) -> bool:
    above = _loss(one) - _loss(lowest)
    if noise is None:
        return above <= 0
    factor = float(stats.t.ppf(1 - ALPHA / 2, noise.freedom))
    return above <= factor * noise.deviation * math.sqrt(1 / max(one.seeds, 1) + 1 / max(lowest.seeds, 1))


def _lowest_point(rates: Sequence[float], losses: Sequence[float], best: int) -> float:
    """Of the parabola through the lowest loss and its neighbours; the rate tried where one of them is no number."""
    around = range(best - 1, best + 2)
    if around[0] < 0 or around[-1] >= len(rates) or not all(math.isfinite(losses[place]) for place in around):
        return rates[best]
    left, middle, right = (math.log(rates[place]) for place in around)
    below, lowest, above = (losses[place] for place in around)
    to_left, to_right = (middle - left) * (lowest - above), (middle - right) * (lowest - below)
    if to_left == to_right:
        return rates[best]
    shift = ((middle - left) * to_left - (middle - right) * to_right) / (2 * (to_left - to_right))
    return math.exp(middle - shift)
