"""Which arms differ in test loss: the one decision that a report's tables and adaptive seeds share.

Works on plain arrays and loads neither pandas nor matplotlib before a decision is asked for.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from analysis.comparison.pair_choice import are_many
from analysis.statistics.difference_tests import (
    LOSS_ROUNDING,
    Test,
    crossed_test,
    mean_test,
    unpaired_crossed_test,
    welch_test,
)
from analysis.statistics.intervals import Values
from analysis.statistics.multiple_tests import ALPHA, holm

SeedLosses = Mapping[int, Values]
"""Losses of an arm by seed: (K,) of its windows in one unit, or (1,) the mean loss where windows are unknown."""

CROSSED = "t test over common seeds and windows, both as samples"
PAIRED_SEEDS = "paired t test over common seeds, for these test windows"
PAIRED_WINDOWS = "paired t test over windows"
UNPAIRED = "t test over seeds, of which fewer than two are common, and windows, all as samples"
WELCH = "Welch's t test over seeds of which fewer than two are common, for these test windows"


class LossDifference(NamedTuple):
    """How far two arms lie apart in test loss.

    Attributes:
        test: mean loss of the first minus that of the second, its interval and plain p-value.
        method: name of the test.
        seeds: common seeds that it stands on; where there are none, the fewer seeds of the two arms.
        windows: test windows that the test takes as a sample; 0 where it takes none.
        over_seeds: whether the test takes in the choice of seeds, without which it speaks of the trained models alone.
    """

    test: Test
    method: str
    seeds: int
    windows: int
    over_seeds: bool


def loss_difference(a: SeedLosses, b: SeedLosses) -> LossDifference | None:
    """Test whether two arms differ in test loss, by the best test that their seeds and windows permit.

    Trials of the same seed train on the same data and all trials are tested on the same windows, so both are paired.

    Args:
        a: losses of one arm by seed, from the same test windows as those of `b`.
        b: losses of the other.

    Returns:
        The difference; None where nothing permits a test: different windows, or too few seeds.
    """
    common = sorted(set(a) & set(b))
    lengths = {len(losses[seed]) for losses in (a, b) for seed in common}
    if len(lengths) > 1 and 1 not in lengths:
        return None
    windows = 0 if len(lengths) > 1 or lengths <= {1} else lengths.pop()
    if len(common) > 1:
        left, right = (np.array([arm[s] if windows else [arm[s].mean()] for s in common]) for arm in (a, b))
        differences = _beyond_rounding(left, right)
        method = CROSSED if windows else PAIRED_SEEDS
        return LossDifference(crossed_test(differences), method, len(common), windows, True)
    fewer = min(len(a), len(b))
    every = {len(losses) for arm in (a, b) for losses in arm.values()}
    if fewer > 1 and len(every) == 1 and every != {1}:
        test = unpaired_crossed_test(*(np.array(list(arm.values())) for arm in (a, b)))
        return LossDifference(test, UNPAIRED, len(common) or fewer, every.pop(), True)
    if fewer > 1:
        means = ([float(losses[seed].mean()) for seed in losses] for losses in (a, b))
        return LossDifference(welch_test(*means), WELCH, len(common) or fewer, 0, True)
    if common and windows:
        return LossDifference(
            mean_test(_beyond_rounding(a[common[0]], b[common[0]])), PAIRED_WINDOWS, 1, windows, False
        )
    return None


def adjusted_differences(
    losses: Mapping[str, SeedLosses], pairs: Sequence[tuple[str, str]], looks: int, family: int | None = None
) -> dict[tuple[str, str], LossDifference]:
    """Test pairs of arms, with p-values adjusted for the number of pairs and of looks at the data.

    Args:
        losses: losses of each arm by label and seed.
        pairs: labels of the arms to compare, both tested on the same windows.
        looks: how often the pairs may have been tested while seeds were added; 1 where seeds were fixed beforehand.
        family: number of pairs that these were chosen among by their losses; None where these are all.

    Returns:
        The differences by pair, p-values adjusted; pairs that nothing permits to test are left out.
    """
    tested = loss_differences(losses, pairs)
    adjusted = holm([difference.test.p_value for difference in tested.values()], looks, family)
    return {
        pair: difference._replace(test=difference.test._replace(p_value=p_value))
        for (pair, difference), p_value in zip(tested.items(), adjusted, strict=True)
    }


def loss_differences(
    losses: Mapping[str, SeedLosses], pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], LossDifference]:
    """Test pairs of arms, their p-values as the tests give them.

    Args:
        losses: losses of each arm by label and seed.
        pairs: labels of the arms to compare, both tested on the same windows.

    Returns:
        The differences by pair; pairs that nothing permits to test are left out.
    """
    differences = {(a, b): loss_difference(losses[a], losses[b]) for a, b in pairs}
    return {pair: difference for pair, difference in differences.items() if difference}


def tied_with_leader(losses: Mapping[str, SeedLosses], looks: int) -> set[str]:
    """The arm of the lowest mean test loss and all that cannot be told apart from it.

    Args:
        losses: losses of each arm by label and seed, at least one seed each, all from the same test windows.
        looks: as in `adjusted_differences`.

    Returns:
        Labels; an arm that cannot be tested against the leader counts as tied. Empty without arms. Of many arms (see
        `pair_choice`) those of `candidates`.
    """
    if not losses or are_many(len(losses)):
        return candidates(losses, looks)
    leader = leader_of(losses)
    differences = adjusted_differences(losses, list(combinations(losses, 2)), looks)
    told = {pair for pair, difference in differences.items() if difference.test.p_value < ALPHA}
    return {label for label in losses if not {(leader, label), (label, leader)} & told}


def candidates(losses: Mapping[str, SeedLosses], looks: int) -> set[str]:
    """Arms among which the one of the lowest expected test loss is, in at least 95 % of sweeps.

    An arm is left out if the one-sided test against the arm of the lowest mean, its p-value multiplied by the number of
    arms it could have been made against and by the looks, finds it worse. That the leader is chosen by the same losses
    does no harm: the best arm is left out only if some other is found better, which no test of it against any of the
    others says with a chance of more than 5 % / (arms - 1). Nothing is said of how those left out differ from each
    other or from the leader.

    Args:
        losses: losses of each arm by label and seed, at least one seed each, all from the same test windows.
        looks: as in `adjusted_differences`.

    Returns:
        Labels; an arm that cannot be tested against the leader is among them. Empty without arms.

    Source: Gupta, "On some multiple decision (selection and ranking) rules", Technometrics 7 (1965), with Bonferroni's
    bound in place of his constant since the pairs have spreads of their own; Hsu, "Multiple Comparisons: Theory and
    Methods" (1996), chapter 4, comparisons with the best.
    """
    if not losses:
        return set()
    leader, times = leader_of(losses), (len(losses) - 1) * looks
    differences = {label: loss_difference(losses[leader], own) for label, own in losses.items() if label != leader}
    worse = {
        label
        for label, difference in differences.items()
        if difference and difference.test.estimate < 0 and difference.test.p_value / 2 * times < ALPHA
    }
    return set(losses) - worse


def leader_of(losses: Mapping[str, SeedLosses]) -> str:
    """The arm of the lowest mean test loss; of equal ones the first."""
    return min(losses, key=lambda label: mean_loss(losses[label]))


def _beyond_rounding(left: Values, right: Values) -> Values:
    """Differences of losses; zeros where rounding may explain them all."""
    differences = left - right
    return differences if np.any(np.abs(differences) > LOSS_ROUNDING * np.abs(left)) else np.zeros_like(differences)


def mean_loss(losses: SeedLosses) -> float:
    """Mean over the seeds of the mean loss over windows, in their unit."""
    return float(np.mean([values.mean() for values in losses.values()]))
