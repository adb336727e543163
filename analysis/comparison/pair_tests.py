"""Pairs of arms compared by test loss, reward and wins: which differ, beyond chance, after all pairs are counted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.comparisons import Comparison, Comparisons, Contenders, WinComparison, adjusted, adjustment
from analysis.comparison.fields import general_windows, windows
from analysis.comparison.forgetting import from_one_base
from analysis.comparison.loss_metric import by_text
from analysis.comparison.pair_choice import Pair, Pairs, are_many, choose_pairs
from analysis.comparison.told_apart import SeedLosses, candidates, leader_of, loss_differences, mean_loss
from analysis.statistics.bootstrap import RESAMPLES, bootstrap_test
from analysis.statistics.difference_tests import Test, crossed_test, sign_test
from analysis.statistics.intervals import Interval, Values

BOOTSTRAP = "studentised bootstrap over prompts"
BOOTSTRAP_AND_SEEDS = (
    "the larger p-value of the studentised bootstrap over prompts and of the t test over common seeds and prompts"
)


def compare_pairs(arms: list[Arm], looks: int = 1, all_pairs: bool = False) -> Comparisons:
    """Compare the arms of a table by loss, reward, wins and forgetting: a table's tests are made here, and made once.

    Args:
        arms: its finished arms.
        looks: see `choices.looks_at`.
        all_pairs: compare every pair even of many arms; see `pair_choice`.

    Returns:
        The comparisons, p-values adjusted by Holm's method: one family by loss, one by reward, one by wins and one
        by forgetting.
    """
    losses = adjusted(compare_test_losses(arms, all_pairs), looks)
    rewards = adjusted(compare_rewards(arms, all_pairs), looks)
    wins = adjusted(compare_wins(arms, all_pairs), looks)
    forgetting = adjusted(compare_forgetting(arms, all_pairs), looks)
    return Comparisons(
        losses=losses,
        rewards=rewards,
        wins=wins,
        forgetting=forgetting,
        contenders=find_contenders(arms, looks),
        looks=looks,
        losses_adjusted=adjustment(losses, looks),
        rewards_adjusted=adjustment(rewards, looks),
        wins_adjusted=adjustment(wins, looks),
        forgetting_adjusted=adjustment(forgetting, looks),
    )


def compare_test_losses(arms: list[Arm], all_pairs: bool = False) -> list[Comparison]:
    """Compare pairs of arms by last test loss, over seeds and windows as far as their trials have them.

    Args:
        arms: arms of one table; pairs that are tested on different windows or have too few seeds are passed over. In
            bits per byte those of as many windows on other rows of text have a difference without a test.
        all_pairs: compare every pair even of many arms, of which otherwise `pair_choice` chooses by their losses.

    Returns:
        One comparison per pair, by the test that `told_apart.loss_difference` chooses; p-values are not adjusted.
    """
    groups = _losses_by_windows(arms)
    losses = {label: own for group in groups for label, own in group.items()}
    ranked = [sorted(group, key=lambda label: mean_loss(losses[label])) for group in groups]
    chosen = _in_order(choose_pairs(ranked, all_pairs), arms)
    apart = _on_other_rows(arms) if by_text(arms) and (all_pairs or not are_many(len(losses))) else []
    return [*_compared_losses(losses, chosen), *apart]


def compare_forgetting(arms: list[Arm], all_pairs: bool = False) -> list[Comparison]:
    """Compare pairs of arms by what they forget: by how far their last loss on general text rose.

    Args:
        arms: arms of one table; those without losses of general text are passed over, and so are pairs of different
            base models or windows.
        all_pairs: see `compare_test_losses`.

    Returns:
        One comparison per pair, by the test that two arms get in test loss; p-values are not adjusted.
    """
    groups: dict[tuple[object, ...], dict[str, SeedLosses]] = {}
    for arm, losses in zip(arms, from_one_base(arms), strict=True):
        if losses:
            groups.setdefault(general_windows(arm), {})[arm.label] = losses
    every = {label: own for group in groups.values() for label, own in group.items()}
    ranked = [sorted(group, key=lambda label: mean_loss(every[label])) for group in groups.values()]
    return _compared_losses(every, _in_order(choose_pairs(ranked, all_pairs), arms))


def _compared_losses(losses: Mapping[str, SeedLosses], chosen: Pairs) -> list[Comparison]:
    return [
        Comparison(
            a=a,
            b=b,
            a_is_better=difference.test.estimate <= 0,
            difference=Interval(*difference.test[:3]),
            p_value=difference.test.p_value,
            method=difference.method,
            seeds=difference.seeds,
            cases=difference.windows,
            over_seeds=difference.over_seeds,
            family=chosen.family,
        )
        for (a, b), difference in loss_differences(losses, chosen.pairs).items()
    ]


def _on_other_rows(arms: list[Arm]) -> list[Comparison]:
    """Pairs whose test losses compare by the byte, though not row by row: how far they lie apart, without a test.

    Arms of other WINDOW_FIELDS are tested on more or less text, or see more or less of it before what they predict.
    """
    known = [arm for arm in arms if arm.losses_by_seed]
    alike = [(a, b) for a, b in combinations(known, 2) if a.window_values == b.window_values]
    pairs = [(a, b) for a, b in alike if windows(a) != windows(b)]
    return [_untested(a, b, a.test_loss.estimate - b.test_loss.estimate) for a, b in pairs]


def _untested(a: Arm, b: Arm, difference: float) -> Comparison:
    return Comparison(
        a=a.label,
        b=b.label,
        a_is_better=difference <= 0,
        difference=Interval(difference, math.nan, math.nan),
        p_value=math.nan,
        method="",
        seeds=min(len(a.losses_by_seed), len(b.losses_by_seed)),
        cases=0,
        over_seeds=False,
        same_rows=False,
    )


def find_contenders(arms: list[Arm], looks: int = 1) -> list[Contenders]:
    """Find which of many arms may be the best one; see `told_apart.candidates`.

    Args:
        arms: finished arms of one table.
        looks: see `choices.looks_at`.

    Returns:
        One value per kind of windows that arms are tested on; empty where the arms are so few that all their pairs are
        tested.
    """
    groups = _losses_by_windows(arms)
    if not are_many(sum(map(len, groups))):
        return []
    return [
        Contenders(
            leader_of(group), sorted(candidates(group, looks), key=lambda label: mean_loss(group[label])), len(group)
        )
        for group in groups
    ]


def compare_rewards(arms: list[Arm], all_pairs: bool = False, resamples: int = RESAMPLES) -> list[Comparison]:
    """Compare pairs of arms by the rewards of their responses to the same prompts.

    With two common seeds or more the claim has to hold over prompts and over seeds: the test with the larger p-value
    counts, and gives the interval.

    Args:
        arms: arms of one table; those without responses are passed over.
        all_pairs: compare every pair even of many arms, of which otherwise `pair_choice` chooses by their rewards.
        resamples: resamples of the bootstrap.

    Returns:
        One comparison per pair, on the seeds that both have, or on all of both where they share none; p-values are not
        adjusted.
    """
    compared = []
    chosen = _reward_pairs(arms, all_pairs)
    for a, b, seeds, differences in _reward_differences(arms, chosen.pairs):
        if differences.shape[1] < 2:
            continue
        test, method = reward_test(differences, resamples)
        compared.append(
            Comparison(
                a=a,
                b=b,
                a_is_better=test.estimate >= 0,
                difference=Interval(*test[:3]),
                p_value=test.p_value,
                method=method,
                seeds=seeds,
                cases=differences.shape[1],
                over_seeds=len(differences) > 1,
                family=chosen.family,
            )
        )
    return compared


def reward_test(differences: Values, resamples: int = RESAMPLES) -> tuple[Test, str]:
    """Test differences of rewards over prompts, and with two seeds or more over seeds too.

    Args:
        differences: (seeds, prompts), two prompts at least.
        resamples: resamples of the bootstrap.

    Returns:
        The test, of two the one with the larger p-value, and its name.
    """
    test = bootstrap_test(differences.mean(axis=0), resamples)
    if len(differences) < 2:
        return test, BOOTSTRAP
    return _stricter(test, crossed_test(differences)), BOOTSTRAP_AND_SEEDS


def compare_wins(arms: list[Arm], all_pairs: bool = False) -> list[WinComparison]:
    """Compare pairs of arms by the prompts on which the one or the other gets the higher reward.

    Args:
        arms: arms of one table; those without responses are passed over.
        all_pairs: see `compare_rewards`.

    Returns:
        One comparison per pair, on the prompts and seeds of `compare_rewards`; p-values of the exact sign test, ties
        set apart, not adjusted. The test takes in the choice of prompts and not that of seeds.
    """
    compared = []
    chosen = _reward_pairs(arms, all_pairs)
    for a, b, _, differences in _reward_differences(arms, chosen.pairs):
        surplus = np.sign(differences).sum(axis=0)
        wins, ties, losses = (int(count) for count in ((surplus > 0).sum(), (surplus == 0).sum(), (surplus < 0).sum()))
        if len(surplus):
            compared.append(WinComparison(a, b, wins, ties, losses, sign_test(wins, losses), chosen.family))
    return compared


def _losses_by_windows(arms: list[Arm]) -> list[dict[str, SeedLosses]]:
    """Test losses of the arms that have any, apart by the windows that they are tested on."""
    groups: dict[tuple[object, ...], dict[str, SeedLosses]] = {}
    for arm in arms:
        if losses := arm.losses_by_seed:
            groups.setdefault(windows(arm), {})[arm.label] = losses
    return list(groups.values())


def _in_order(chosen: Pairs, arms: list[Arm]) -> Pairs:
    """The same pairs, each in the order of the arms, and so among themselves."""
    places = {arm.label: place for place, arm in enumerate(arms)}
    pairs = [(a, b) if places[a] < places[b] else (b, a) for a, b in chosen.pairs]
    return chosen._replace(pairs=sorted(pairs, key=lambda pair: (places[pair[0]], places[pair[1]])))


def _reward_pairs(arms: list[Arm], all_pairs: bool) -> Pairs:
    """The pairs to be compared by reward; of many arms the ranking is that of their mean rewards, highest first."""
    answering = {
        arm.label: float(np.nanmean(arm.seed_rewards.to_numpy(dtype=float)))
        for arm in arms
        if not arm.seed_rewards.empty and arm.seed_rewards.notna().any(axis=None)
    }
    ranked = sorted(answering, key=lambda label: -answering[label])
    return _in_order(choose_pairs([ranked], all_pairs), arms)


def _reward_differences(arms: list[Arm], pairs: Sequence[Pair]) -> Iterator[tuple[str, str, int, Values]]:
    """Each of these pairs: labels, seeds, and by how much the rewards of the first are higher.

    The differences are (common seeds, prompts), or (1, prompts) those of the means over seeds where a pair has no
    common seed; the number of seeds then is that of the arm with fewer. A prompt that one of the seeds could not score
    is left out.
    """
    if not pairs:
        return
    compared = {label for pair in pairs for label in pair}
    answering = [arm for arm in arms if arm.label in compared]
    prompts = answering[0].seed_rewards.index
    if any(not arm.seed_rewards.index.equals(prompts) for arm in answering):
        prompts = pd.concat([arm.seed_rewards for arm in answering], axis=1).index
    rewards = {arm.label: arm.seed_rewards.reindex(prompts).to_numpy(dtype=float).T for arm in answering}
    seeds = {arm.label: list(arm.seed_rewards.columns) for arm in answering}
    for a, b in pairs:
        if common := [seed for seed in seeds[a] if seed in seeds[b]]:
            left, right = (rewards[label][[seeds[label].index(seed) for seed in common]] for label in (a, b))
        else:
            left, right = (rewards[label].mean(axis=0, keepdims=True) for label in (a, b))
        differences = left - right
        known = np.isfinite(differences).all(axis=0)
        yield a, b, len(common) or min(len(seeds[a]), len(seeds[b])), differences[:, known]


def _stricter(bootstrap: Test, crossed: Test) -> Test:
    """The test with the larger p-value; that of the bootstrap where the other could not be made."""
    return crossed if crossed.p_value > bootstrap.p_value else bootstrap
