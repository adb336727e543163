"""Which arms win more, or fewer, prompts against the base model than they lose: one family of tests over all arms."""

from collections.abc import Sequence
from typing import NamedTuple

from analysis.comparison.arms import Arm
from analysis.statistics.difference_tests import sign_test
from analysis.statistics.multiple_tests import ALPHA, holm


class BaseWins(NamedTuple):
    """An arm's prompts against the base model.

    Attributes:
        arm: the arm.
        won: prompts won, of several seeds in more of them than lost.
        lost: prompts lost likewise.
        p_value: of the exact sign test of the two, adjusted for all arms.
    """

    arm: Arm
    won: int
    lost: int
    p_value: float

    @property
    def exceed(self) -> bool | None:
        """Whether wins exceed losses beyond chance (True), losses wins (False), or neither (None)."""
        return self.won > self.lost if self.p_value < ALPHA else None


def wins_against_base(arms: Sequence[Arm], looks: int) -> list[BaseWins]:
    """Test for each arm whether its wins and losses differ beyond chance.

    Args:
        arms: finished arms.
        looks: see `choices.looks_at`.

    Returns:
        One value per arm whose wins and losses are known by prompt, p-values adjusted by Holm's method.
    """
    counted = [(arm, *counts) for arm in arms if (counts := arm.won_and_lost)]
    p_values = holm([sign_test(won, lost) for _, won, lost in counted], looks)
    return [BaseWins(*known, p_value) for known, p_value in zip(counted, p_values, strict=True)]
