"""Pairs of arms compared by test loss, reward and wins: which differ, beyond chance, after all pairs are counted."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.arms import Arm
from analysis.statistics import ALPHA, RESAMPLES, Interval, Test, Values, bootstrap_test, crossed_test, holm, sign_test
from analysis.told_apart import adjusted_differences

BOOTSTRAP = "studentised bootstrap over prompts"
BOOTSTRAP_AND_SEEDS = (
    "the larger p-value of the studentised bootstrap over prompts and of the t test over common seeds and prompts"
)
WINDOW_FIELDS = ("block_size", "test_windows")
"""Fields that decide which windows an arm is tested on."""


class Comparison(NamedTuple):
    """Two arms compared by a number.

    Attributes:
        a: label of the arm that comes first in its table.
        b: label of the other.
        a_is_better: whether the number of `a` is the better one.
        difference: number of `a` minus that of `b`, with its 95 % interval, which is not adjusted for anything.
        p_value: adjusted for all pairs of the table, and for the looks at the data; NaN where nothing could be tested.
        method: name of the test.
        seeds: common seeds that the comparison stands on, or the fewer seeds of the two arms where they share none.
        cases: windows or prompts that the test takes as a sample; 0 where it takes none.
        over_seeds: whether the test takes in the choice of seeds, without which it speaks of the trained models alone.
    """

    a: str
    b: str
    a_is_better: bool
    difference: Interval
    p_value: float
    method: str
    seeds: int
    cases: int
    over_seeds: bool

    @property
    def better(self) -> str:
        """Label of the arm with the better number."""
        return self.a if self.a_is_better else self.b

    @property
    def worse(self) -> str:
        """Label of the other arm."""
        return self.b if self.a_is_better else self.a

    @property
    def gap(self) -> Interval:
        """The larger number minus the smaller one."""
        estimate, low, high = self.difference
        return self.difference if estimate >= 0 else Interval(-estimate, -high, -low)

    @property
    def differs(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p_value < ALPHA

    @property
    def tested(self) -> bool:
        """Whether the test could be made at all."""
        return self.p_value == self.p_value


class WinComparison(NamedTuple):
    """Two arms compared prompt by prompt.

    Attributes:
        a: label of the arm that comes first in its table.
        b: label of the other.
        wins: prompts on which `a` gets the higher reward, in more common seeds than `b` does.
        ties: prompts on which neither does.
        losses: prompts on which `b` does.
        p_value: of the exact sign test of wins against losses, adjusted like that of a `Comparison`.
    """

    a: str
    b: str
    wins: int
    ties: int
    losses: int
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p_value < ALPHA


def looks_at(spec: Mapping[str, Any]) -> int:
    """How often the pairs may have been tested while seeds were added: once where the spec fixes the seeds."""
    seeds = spec.get("seeds")
    return int(seeds["max"]) - int(seeds["min"]) + 1 if isinstance(seeds, Mapping) else 1


def compare_test_losses(arms: list[Arm], looks: int = 1) -> list[Comparison]:
    """Compare every pair of arms by last test loss, over seeds and windows as far as their trials have them.

    Args:
        arms: arms of one table; pairs that are tested on different windows or have too few seeds are passed over.
        looks: see `looks_at`.

    Returns:
        One comparison per pair, by the test that `told_apart.loss_difference` chooses, adjusted by Holm's method.
    """
    losses = {arm.label: arm.losses_by_seed for arm in arms if arm.by_seed("test_loss")}
    tested_on = {arm.label: windows(arm) for arm in arms}
    alike = [pair for pair in combinations(losses, 2) if tested_on[pair[0]] == tested_on[pair[1]]]
    return [
        Comparison(
            a=a,
            b=b,
            a_is_better=found.test.estimate <= 0,
            difference=Interval(*found.test[:3]),
            p_value=found.test.p_value,
            method=found.method,
            seeds=found.seeds,
            cases=found.windows,
            over_seeds=found.over_seeds,
        )
        for (a, b), found in adjusted_differences(losses, alike, looks).items()
    ]


def compare_rewards(arms: list[Arm], looks: int = 1, resamples: int = RESAMPLES) -> list[Comparison]:
    """Compare every pair of arms by the rewards of their responses to the same prompts.

    With two common seeds or more the claim has to hold over prompts and over seeds: the test with the larger p-value
    counts, and gives the interval.

    Args:
        arms: arms of one table; those without responses are passed over.
        looks: see `looks_at`.
        resamples: resamples of the bootstrap.

    Returns:
        One comparison per pair, on the seeds that both have, or on all of both where they share none; p-values
        adjusted by Holm's method.
    """
    pairs = []
    for a, b, seeds, differences in _reward_differences(arms):
        if differences.shape[1] < 2:
            continue
        test, method = reward_test(differences, resamples)
        pairs.append(
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
            )
        )
    adjusted = holm([pair.p_value for pair in pairs], looks)
    return [pair._replace(p_value=p_value) for pair, p_value in zip(pairs, adjusted, strict=True)]


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


def compare_wins(arms: list[Arm], looks: int = 1) -> list[WinComparison]:
    """Compare every pair of arms by the prompts on which the one or the other gets the higher reward.

    Args:
        arms: arms of one table; those without responses are passed over.
        looks: see `looks_at`.

    Returns:
        One comparison per pair, on the prompts and seeds of `compare_rewards`; p-values of the exact sign test, ties
        set apart, adjusted by Holm's method. The test takes in the choice of prompts and not that of seeds.
    """
    pairs = []
    for a, b, _, differences in _reward_differences(arms):
        surplus = np.sign(differences).sum(axis=0)
        wins, ties, losses = (int(count) for count in ((surplus > 0).sum(), (surplus == 0).sum(), (surplus < 0).sum()))
        if len(surplus):
            pairs.append(WinComparison(a, b, wins, ties, losses, sign_test(wins, losses)))
    adjusted = holm([pair.p_value for pair in pairs], looks)
    return [pair._replace(p_value=p_value) for pair, p_value in zip(pairs, adjusted, strict=True)]


def windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows an arm is tested on."""
    return tuple(arm.config.get(name) for name in WINDOW_FIELDS)


def _reward_differences(arms: list[Arm]) -> Iterator[tuple[str, str, int, Values]]:
    """Each pair of arms with responses: labels, seeds, and by how much the rewards of the first are higher.

    The differences are (common seeds, prompts), or (1, prompts) those of the means over seeds where a pair has no
    common seed; the number of seeds then is that of the arm with fewer. A prompt that one of the seeds could not score
    is left out.
    """
    answering = [arm for arm in arms if len(arm.seed_margins)]
    if not answering:
        return
    # Margins subtract the same base reward of a prompt, so the difference of two margins is that of the rewards.
    aligned = pd.concat({arm.label: arm.seed_margins for arm in answering}, axis=1)
    margins = {arm.label: aligned[arm.label].to_numpy(dtype=float).T for arm in answering}
    seeds = {arm.label: list(arm.seed_margins.columns) for arm in answering}
    for a, b in combinations(margins, 2):
        if common := [seed for seed in seeds[a] if seed in seeds[b]]:
            left, right = (margins[label][[seeds[label].index(seed) for seed in common]] for label in (a, b))
        else:
            left, right = (margins[label].mean(axis=0, keepdims=True) for label in (a, b))
        differences = left - right
        known = np.isfinite(differences).all(axis=0)
        yield a, b, len(common) or min(len(seeds[a]), len(seeds[b])), differences[:, known]


def _stricter(bootstrap: Test, crossed: Test) -> Test:
    """The test with the larger p-value; that of the bootstrap where the other could not be made."""
    return crossed if crossed.p_value > bootstrap.p_value else bootstrap
