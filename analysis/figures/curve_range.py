"""What the axis of a curve reaches over: arms that went astray do not flatten the others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from analysis.curves.arm_curve import ArmCurve
from basis.outcomes import Outcome

MARGIN = 0.04
"""Share of the axis that stays free at either end."""
SETTLED = 0.98
"""Quantile of an arm's values that counts as its highest: the first of many steps are no measure of the others."""
FENCE = 3.0
"""Distances between the quartiles beyond which an arm is astray: Tukey, "Exploratory Data Analysis" (1977), "far out".
"""

ASTRAY = 20.0
"""How many times the lowest loss an arm's may be and still have a say: beside two or three arms quartiles say nothing.
"""

ROOM = 1.3
"""How much longer an axis may become for the sake of what is out of the ordinary."""


class LossRange(NamedTuple):
    """Both ends of an axis, and whether some value lies above it."""

    low: float
    high: float
    cut: bool


def range_of(curves: Sequence[ArmCurve], outcomes: Mapping[str, str]) -> LossRange:
    """The range that shows arms which trained as planned.

    Args:
        curves: of all arms, their values finite.
        outcomes: what became of the arms, by label. Those that diverged or were stopped have no say in the upper end
            while some arm did neither.

    Returns:
        The range, from the lowest value of all.
    """
    if not curves:
        return LossRange(0.0, 1.0, False)
    sound = [curve for curve in curves if outcomes.get(curve.arm) not in (Outcome.DIVERGED, Outcome.STOPPED)] or curves
    lowest, everything = min(min(curve.low) for curve in curves), max(max(curve.high) for curve in curves)
    return usual_range([float(np.quantile(curve.high, SETTLED)) for curve in sound], lowest, everything)


def second_half(curves: Sequence[ArmCurve]) -> list[ArmCurve]:
    """Steps and bands of curves from half of the longest one on; without those that end before."""
    middle = max((curve.step[-1] for curve in curves), default=0) / 2
    kept = []
    for curve in curves:
        first = sum(step < middle for step in curve.step)
        if first < len(curve.step):
            kept.append(curve._replace(step=curve.step[first:], low=curve.low[first:], high=curve.high[first:]))
    return kept


def near_the_lowest(losses: Sequence[float]) -> list[float]:
    """The losses that are at most ASTRAY times the lowest; all where that is not above zero."""
    lowest = min(losses, default=0.0)
    return [loss for loss in losses if lowest <= 0 or loss <= ASTRAY * lowest]


def usual_range(highest: Sequence[float], lowest: float, everything: float) -> LossRange:
    """The range that shows most of what there is.

    Args:
        highest: the highest value of each thing shown, whose outliers have no say.
        lowest: the lowest value of all.
        everything: the highest of all, which is shown too where that costs the others little room.

    Returns:
        The range with a margin.
    """
    highest = near_the_lowest(highest)
    first, third = np.quantile(highest, [0.25, 0.75])
    fence = third + FENCE * (third - first) + 1e-12 * abs(third)
    wanted = max(value for value in highest if value <= fence)
    high = everything if everything - lowest <= ROOM * (wanted - lowest) else wanted
    span = (high - lowest) or abs(high) or 1.0
    return LossRange(lowest - MARGIN * span, high + MARGIN * span, everything > high + MARGIN * span)
