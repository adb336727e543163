"""How an arm is drawn, in every drawing of a report."""

import math
from typing import NamedTuple

from analysis.comparison.arms import Arm
from basis.outcomes import NOT_COMPARED, Outcome

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
"""Colours told apart with any colour vision: Okabe and Ito, "Color Universal Design" (2008), and one violet."""
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))


class Style(NamedTuple):
    """A colour and a dash."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]


def arm_styles(arms: list[Arm]) -> dict[str, Style]:
    """One colour and dash per arm, by label, so that an arm looks the same in every figure.

    Args:
        arms: all arms of the sweep.

    Returns:
        Style by label; the dash changes when the colours have all been used.
    """
    drawn = sorted(
        arms, key=lambda arm: arm.outcome in (*NOT_COMPARED, Outcome.NOT_STARTED)
    )  # these need no colour of their own
    if len(drawn) > len(PALETTE) * len(DASHES):  # those that figures name shall differ
        drawn.sort(key=best_loss)
    return {
        arm.label: Style(PALETTE[i % len(PALETTE)], DASHES[i // len(PALETTE) % len(DASHES)])
        for i, arm in enumerate(drawn)
    }


def best_loss(arm: Arm) -> tuple[float, ...]:
    """The lowest test loss of an arm, then its last one, to sort by."""
    losses = (loss.estimate for loss in (arm.best_test_loss, arm.test_loss))
    return tuple(loss if math.isfinite(loss) else math.inf for loss in losses)
