"""Pairs of arms compared: which test, on which observations, and adjusted for how many pairs."""

from itertools import combinations
from typing import NamedTuple

from analysis.arms import Arm
from analysis.columns import show_interval, show_number
from analysis.statistics import (
    LEVEL,
    holm,
    mean_interval,
    paired_t_test,
    paired_test,
    rank_direction,
    welch_test,
)

ALPHA = 1 - LEVEL
WILCOXON = "Wilcoxon signed-rank"
PAIRED_T = "paired t over common seeds"
WELCH = "Welch's t where fewer than two seeds are common"
WINDOW_FIELDS = ("block_size", "test_windows")
"""Fields that decide which windows an arm is tested on."""


class Comparison(NamedTuple):
    """Two arms compared.

    Attributes:
        better: label of the arm with the higher mean reward, or the lower mean loss.
        worse: label of the other.
        difference: how far they lie apart, in words.
        test: name of the test.
        seeds: seeds that the comparison stands on, the fewer of the two arms where they share none.
        prompts: prompts compared; 0 where prompts play no part.
        p_value: adjusted for all pairs of the table; NaN where the test could not be made.
    """

    better: str
    worse: str
    difference: str
    test: str
    seeds: int
    prompts: int
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p_value < ALPHA

    @property
    def tested(self) -> bool:
        """Whether the test could be made at all."""
        return self.p_value == self.p_value


def compare_rewards(arms: list[Arm]) -> list[Comparison]:
    """Compare every pair of arms by the rewards of their responses to the same prompts.

    Args:
        arms: arms of one table; those without responses are passed over.

    Returns:
        One comparison per pair, on the seeds that both have, or on all of both where they share none; p-values of
        Wilcoxon's signed-rank test adjusted by Holm's method.
    """
    pairs = []
    for a, b in combinations([arm for arm in arms if len(arm.seed_margins)], 2):
        mine, others = list(a.seed_margins.columns), list(b.seed_margins.columns)
        common = [seed for seed in mine if seed in others]
        # Both margins subtract the same base reward of a prompt, so their difference is that of the rewards.
        differences = list((a.margins_over(common or mine) - b.margins_over(common or others)).dropna())
        if not differences:
            continue
        if sum(differences) < 0:
            a, b, differences = b, a, [-value for value in differences]
        mean = mean_interval(differences)
        seeds = len(common) or min(len(mine), len(others))
        p_value = _signed_rank_p(differences, mean.estimate)
        pairs.append(Comparison(a.label, b.label, show_interval(mean, 2), WILCOXON, seeds, len(differences), p_value))
    return _adjusted(pairs)


def compare_test_losses(arms: list[Arm]) -> list[Comparison]:
    """Compare every pair of arms by last test loss over their seeds.

    Trials of the same seed train on the same windows, so common seeds are paired.

    Args:
        arms: arms of one table; pairs that are tested on different windows, or that have neither two common seeds nor
            two seeds each, are passed over.

    Returns:
        One comparison per pair, lower loss first; p-values of the paired t test over the common seeds, or of Welch's
        t test where there are no two, adjusted by Holm's method.
    """
    pairs = []
    for a, b in combinations(arms, 2):
        mine, others = a.by_seed("test_loss"), b.by_seed("test_loss")
        common = [seed for seed in mine if seed in others]
        if windows(a) != windows(b) or (len(common) < 2 and min(len(mine), len(others)) < 2):
            continue
        paired = len(common) > 1
        left, right = ([values[s] for s in (common if paired else values)] for values in (mine, others))
        p_value = paired_t_test(left, right) if paired else welch_test(left, right)
        gap = sum(right) / len(right) - sum(left) / len(left)
        better, worse = (a, b) if gap >= 0 else (b, a)
        test, seeds = (PAIRED_T if paired else WELCH), min(len(left), len(right))
        pairs.append(Comparison(better.label, worse.label, show_number(abs(gap)), test, seeds, 0, p_value))
    return _adjusted(pairs)


def windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows an arm is tested on."""
    return tuple(arm.config.get(name) for name in WINDOW_FIELDS)


def _adjusted(pairs: list[Comparison]) -> list[Comparison]:
    adjusted = holm([pair.p_value for pair in pairs])
    return [pair._replace(p_value=p_value) for pair, p_value in zip(pairs, adjusted, strict=True)]


def _signed_rank_p(differences: list[float], mean: float) -> float:
    """Wilcoxon's p-value, or 1 where mean and ranks point in opposite directions, so that no direction is claimed."""
    return paired_test(differences) if rank_direction(differences) * mean >= 0 else 1.0
