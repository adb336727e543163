"""The test follows from what two arms have in common, and adaptive seeds decide as reports do."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.comparisons import adjusted
from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_tests import compare_test_losses
from analysis.comparison.told_apart import (
    CROSSED,
    PAIRED_SEEDS,
    PAIRED_WINDOWS,
    UNPAIRED,
    WELCH,
    loss_difference,
    mean_loss,
    tied_with_leader,
)
from analysis.statistics.difference_tests import crossed_test, unpaired_crossed_test
from analysis.statistics.intervals import Values
from basis.packages import ROOT
from tests import synthetic_experiment as synthetic

RNG = np.random.default_rng(1)
WINDOWS = {seed: RNG.normal(3.0, 0.1, 20) for seed in range(6)}
"""Losses of 20 windows by seed."""


def arm(*seeds: int, better_by: float = 0.0) -> dict[int, Values]:
    return {seed: WINDOWS[seed] - better_by + 0.01 * RNG.normal(size=20) for seed in seeds}


def test_two_common_seeds_are_crossed_with_the_windows() -> None:
    a, b = arm(0, 1, 2), arm(1, 2, 3)
    found = loss_difference(a, b)
    assert found is not None
    assert (found.method, found.seeds, found.windows, found.over_seeds) == (CROSSED, 2, 20, True)
    assert found.test == crossed_test(np.array([a[1] - b[1], a[2] - b[2]]))


def test_without_window_losses_common_seeds_are_paired() -> None:
    a, b = arm(0, 1, 2), {seed: np.array([losses.mean()]) for seed, losses in arm(0, 1, 2).items()}
    found = loss_difference(a, b)
    assert found is not None
    assert (found.method, found.seeds, found.windows) == (PAIRED_SEEDS, 3, 0)
    means = ([float(losses[seed].mean()) for seed in range(3)] for losses in (a, b))
    assert found.test.p_value == pytest.approx(stats.ttest_rel(*means).pvalue)


def test_one_common_seed_compares_trained_models_by_their_windows_and_no_arms() -> None:
    a, b = arm(0), arm(0, 1)
    found = loss_difference(a, b)
    assert found is not None
    assert (found.method, found.seeds, found.windows, found.over_seeds) == (PAIRED_WINDOWS, 1, 20, False)
    assert found.test.p_value == pytest.approx(stats.ttest_rel(a[0], b[0]).pvalue)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_losses_that_rounding_moved_apart_are_no_difference(seeds: tuple[int, ...]) -> None:
    first = arm(*seeds)
    second = {seed: losses + 1e-6 * (1 + np.arange(20) % 2) for seed, losses in first.items()}
    assert stats.ttest_rel(first[0], second[0]).pvalue < 1e-6
    found = loss_difference(first, second)
    assert found is not None
    assert (found.test.estimate, found.test.p_value) == (0.0, 1.0)


def test_seeds_that_are_not_common_are_samples_of_each_arm_and_the_windows_of_both() -> None:
    a, b = arm(0, 1, 2), arm(2, 3, 4)
    found = loss_difference(a, b)
    assert found is not None
    assert (found.method, found.over_seeds, found.windows) == (UNPAIRED, True, 20)
    assert found.test == unpaired_crossed_test(*(np.array(list(one.values())) for one in (a, b)))


def test_seeds_that_are_not_common_are_compared_by_welch_where_windows_are_unknown() -> None:
    a, b = ({seed: losses[:1] for seed, losses in one.items()} for one in (arm(0, 1, 2), arm(2, 3, 4)))
    found = loss_difference(a, b)
    assert found is not None
    assert (found.method, found.over_seeds, found.windows) == (WELCH, True, 0)
    means = ([float(values.mean()) for values in losses.values()] for losses in (a, b))
    assert found.test.p_value == pytest.approx(stats.ttest_ind(*means, equal_var=False).pvalue)


def test_nothing_compares_different_windows_or_single_seeds_that_differ() -> None:
    assert loss_difference(arm(0, 1), {0: WINDOWS[0][:5], 1: WINDOWS[1][:5]}) is None
    assert loss_difference(arm(0), arm(1)) is None
    assert loss_difference({0: np.array([3.0])}, {0: np.array([2.0])}) is None


def test_arm_that_cannot_be_tested_against_the_leader_counts_as_tied() -> None:
    losses = {"good": arm(0, 1, better_by=1.0), "bad": arm(0, 1), "alone": arm(5)}
    assert tied_with_leader(losses, looks=1) == {"good", "alone"}
    assert tied_with_leader({}, looks=1) == set()


def test_more_looks_make_it_harder_to_leave_the_race() -> None:
    losses = {"a": arm(0, 1, 2, better_by=0.02), "b": arm(0, 1, 2)}
    found = loss_difference(losses["a"], losses["b"])
    assert found is not None
    enough = int(0.05 / found.test.p_value)
    assert enough >= 1
    assert tied_with_leader(losses, looks=enough) == {"a"}
    assert tied_with_leader(losses, looks=enough + 1) == {"a", "b"}


def test_adaptive_seeds_and_the_report_decide_alike() -> None:
    ranks = [{"rank": rank, "seed": seed} for rank in (1, 10, 100) for seed in (1, 2, 3)]
    results = synthetic.in_memory(*ranks)
    results.trials["test_loss"] = [2.20, 2.21, 2.22, 1.980, 1.981, 1.995, 1.970, 1.990, 1.985]
    arms = group_arms(synthetic.with_window_losses(results))
    losses = {one.label: one.losses_by_seed for one in arms}
    for looks in (1, 7):
        differing = {
            frozenset((one.a, one.b)) for one in adjusted(compare_test_losses(arms), looks=looks) if one.differs
        }
        leader = min(losses, key=lambda label: mean_loss(losses[label]))
        tied = {label for label in losses if frozenset((label, leader)) not in differing}
        assert tied_with_leader(losses, looks) == tied
    assert tied_with_leader(losses, 1) == {"lora r100 adamw", "lora r10 adamw"}


def test_the_decision_is_imported_without_pandas_or_matplotlib() -> None:
    script = "import sys, analysis.comparison.told_apart; print(sorted({'pandas', 'matplotlib'} & sys.modules.keys()))"
    root = ROOT
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "[]"
