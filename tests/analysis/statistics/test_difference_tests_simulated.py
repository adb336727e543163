"""The statistics held to what they promise, in sweeps made up with known noise and planted effects.

Intervals of 95 % have to cover the truth in 93 to 97 % of 1,000 draws, comparisons of equal arms may raise a false
alarm in at most 5 %, and an arm that is better has to be found.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.comparison.arms import Arm
from analysis.comparison.comparisons import adjusted
from analysis.comparison.frame_rows import FrameRows
from analysis.comparison.pair_tests import compare_rewards, compare_test_losses, compare_wins
from analysis.comparison.told_apart import adjusted_differences, tied_with_leader
from analysis.statistics.bootstrap import bootstrap_test
from analysis.statistics.difference_tests import crossed_test
from analysis.statistics.intervals import Interval, mean_interval, wilson_interval
from analysis.tables.letters import letters_of
from basis.outcomes import Outcome

pytestmark = pytest.mark.slow

DRAWS = 1_000
RESAMPLES = 399
ARMS = ("a", "b", "c", "d")
WINDOWS = 40

Values = np.ndarray
Losses = dict[str, dict[int, Values]]


def coverage(draw: Callable[[np.random.Generator], tuple[float, float]], truth: float) -> float:
    """Share of 1,000 intervals that hold the truth."""
    rng = np.random.default_rng(2024)
    return float(np.mean([low <= truth <= high for low, high in (draw(rng) for _ in range(DRAWS))]))


def limits(interval: Interval | tuple[float, ...]) -> tuple[float, float]:
    return interval[1], interval[2]


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_t_interval_over_seeds_covers(seeds: int) -> None:
    assert 0.93 <= coverage(lambda rng: limits(mean_interval(list(rng.normal(3.0, 0.1, seeds)))), 3.0) <= 0.97


@pytest.mark.parametrize("rate", [0.5, 0.85])
def test_wilson_interval_covers(rate: float) -> None:
    assert 0.93 <= coverage(lambda rng: limits(wilson_interval(rng.binomial(166, rate), 166)), rate) <= 0.97


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy tails"])
def test_bootstrap_interval_of_a_reward_margin_covers(shape: str) -> None:
    def draw(rng: np.random.Generator) -> tuple[float, float]:
        made = {
            "normal": rng.normal(size=100),
            "skewed": rng.exponential(size=100) - 1,
            "heavy tails": rng.standard_t(4, 100),
        }
        return limits(bootstrap_test(0.5 + made[shape], RESAMPLES))

    assert 0.93 <= coverage(draw, 0.5) <= 0.97


def differences(rng: np.random.Generator, seeds: int, share: float) -> Values:
    """(seeds, WINDOWS) differences whose mean is 0 with variance 1, `share` of it from seeds, besides a remainder."""
    of_seed = np.sqrt(share * seeds) * rng.normal(size=(seeds, 1))
    of_window = np.sqrt((1 - share) * WINDOWS) * rng.normal(size=WINDOWS)
    return of_seed + of_window + 0.5 * rng.normal(size=(seeds, WINDOWS))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seeds", [5, 8])
def test_interval_over_seeds_and_windows_covers(seeds: int, share: float) -> None:
    assert 0.93 <= coverage(lambda rng: limits(crossed_test(differences(rng, seeds, share))), 0.0) <= 0.97


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seeds", [2, 3])
def test_with_few_seeds_the_interval_over_seeds_and_windows_is_rather_too_wide(seeds: int, share: float) -> None:
    assert 0.93 <= coverage(lambda rng: limits(crossed_test(differences(rng, seeds, share))), 0.0) <= 0.985


def test_degrees_of_freedom_of_hillis_would_raise_several_times_the_false_alarms() -> None:
    rng = np.random.default_rng(1)
    level = 0.05 / 6  # that of six pairs
    hillis, ours = 0, 0
    for _ in range(DRAWS):
        table = differences(rng, seeds=2, share=0.8)
        by_seed, by_window = table.mean(axis=1), table.mean(axis=0)
        ms_seed, ms_window = WINDOWS * by_seed.var(ddof=1), 2 * by_window.var(ddof=1)
        rest = table - by_seed[:, None] - by_window + table.mean()
        noise = ms_seed + max(ms_window - (rest**2).sum() / (WINDOWS - 1), 0.0)
        t = abs(table.mean()) / np.sqrt(noise / table.size)
        hillis += 2 * stats.t.sf(t, (noise / ms_seed) ** 2) < level
        ours += crossed_test(table).p_value < level
    assert hillis > 3 * level * DRAWS
    assert ours <= 2 * level * DRAWS


def draw_losses(
    rng: np.random.Generator,
    seeds: int,
    means: tuple[float, ...] = (3.0,) * 4,
    spread: tuple[float, ...] = (1.0,) * 4,
) -> Losses:
    """Window losses of four arms by seed: windows differ by far, arms, seeds and both together by a little.

    Args:
        rng: source of the draw.
        seeds: seeds of each arm.
        means: true mean loss of each arm in nats/token.
        spread: how large each arm's noise is.
    """
    windows = 0.3 * rng.normal(size=WINDOWS)
    made: Losses = {}
    for label, mean, size in zip(ARMS, means, spread, strict=True):
        of_arm = size * 0.03 * rng.normal(size=WINDOWS)  # on which windows the arm is better, whatever the seed
        noise = size * (0.01 * rng.normal(size=(seeds, 1)) + 0.01 * rng.normal(size=(seeds, WINDOWS)))
        made[label] = dict(enumerate(mean + windows + of_arm + noise))
    return made


def arms_of(losses: Losses) -> list[Arm]:
    """Finished arms with these window losses."""
    made = []
    for label, by_seed in losses.items():
        used = pd.DataFrame(
            {
                "trial": label,
                "outcome": Outcome.FINISHED,
                "seed": list(by_seed),
                "test_loss": [v.mean() for v in by_seed.values()],
            }
        )
        rows = FrameRows.of(used)
        made.append(Arm(label, {}, rows, rows, pd.DataFrame(), by_seed))
    return made


def false_alarms(any_differs: Callable[[np.random.Generator], bool]) -> float:
    """Share of 1,000 sweeps of equal arms in which a comparison calls any pair different."""
    rng = np.random.default_rng(7)
    return float(np.mean([any_differs(rng) for _ in range(DRAWS)]))


def any_pair_differs(losses: Losses) -> bool:
    pairs = list(combinations(losses, 2))
    return any(one.test.p_value < 0.05 for one in adjusted_differences(losses, pairs, looks=1).values())


EQUAL, UNEQUAL = (1.0, 1.0, 1.0, 1.0), (0.3, 1.0, 1.0, 3.0)


@pytest.mark.parametrize(("seeds", "spread"), [(2, EQUAL), (3, EQUAL), (3, UNEQUAL)])
def test_equal_arms_are_rarely_told_apart_by_test_loss(seeds: int, spread: tuple[float, ...]) -> None:
    assert false_alarms(lambda rng: any_pair_differs(draw_losses(rng, seeds, spread=spread))) <= 0.05


@pytest.mark.parametrize("common", [True, False])
def test_equal_arms_without_window_losses_are_rarely_told_apart_over_seeds(common: bool) -> None:
    """Windows play no part here: arms that are equal over all windows may well differ on those of the sweep."""

    def mean_losses(rng: np.random.Generator) -> Losses:
        first = {label: 0 if common else 10 * number for number, label in enumerate(ARMS)}
        return {
            label: {first[label] + seed: np.array([loss]) for seed, loss in enumerate(rng.normal(3.0, size * 0.1, 8))}
            for label, size in zip(ARMS, UNEQUAL, strict=True)
        }

    assert false_alarms(lambda rng: any_pair_differs(mean_losses(rng))) <= 0.05


def test_seeds_added_until_arms_separate_do_not_raise_the_false_alarms() -> None:
    fewest, most = 2, 5
    looks = most - fewest + 1

    def any_is_told_apart(rng: np.random.Generator) -> bool:
        drawn = draw_losses(rng, most)
        seen = dict.fromkeys(ARMS, fewest)
        for _ in range(looks):
            losses = {label: {seed: drawn[label][seed] for seed in range(seen[label])} for label in ARMS}
            tied = tied_with_leader(losses, looks)
            if tied != set(ARMS):
                return True
            seen |= {label: min(seen[label] + 1, most) for label in tied}
        return False

    assert false_alarms(any_is_told_apart) <= 0.05


def test_seeds_go_on_only_to_arms_tied_with_the_leader() -> None:
    losses = draw_losses(np.random.default_rng(3), 4, means=(3.0, 3.0, 3.5, 3.5))
    assert tied_with_leader(losses, looks=3) == {"a", "b"}


def test_better_arm_is_found_and_equal_ones_share_a_letter() -> None:
    rng = np.random.default_rng(5)
    draws, found, shared = 200, 0, 0
    for _ in range(draws):
        # Better by about ten standard errors of a difference: of sqrt(2 (0.03^2 / 40 windows + 0.01^2 / 5 seeds))
        arms = arms_of(draw_losses(rng, 5, means=(2.91, 3.0, 3.0, 3.0)))
        letters = letters_of(arms, adjusted(compare_test_losses(arms), looks=1))
        alone = letters["a"] == "a" and not any("a" in letters[label] for label in "bcd")
        found += alone
        shared += alone and letters["b"] == letters["c"] == letters["d"] == "b"
    assert found >= 0.9 * draws
    assert shared >= 0.95 * found


def answering_arms(rng: np.random.Generator, of_seed: float, better: float = 0.0) -> list[Arm]:
    """Four arms' reward margins on 60 prompts with three seeds.

    Args:
        rng: source of the draw.
        of_seed: how far seeds differ in their mean reward.
        better: by how much the first arm is truly better.
    """
    prompts = rng.exponential(size=(60, 1))
    made = []
    for label in ARMS:
        of_arm = rng.standard_t(5, size=(60, 1))  # which prompts the arm is good at, whatever the seed
        margins = prompts + of_arm + of_seed * rng.normal(size=3) + rng.normal(size=(60, 3))
        frame = pd.DataFrame(margins + (better if label == "a" else 0.0), columns=[1, 2, 3])
        rows = FrameRows.of(pd.DataFrame())
        made.append(Arm(label, {}, rows, rows, frame, {}, seed_rewards=frame))
    return made


def test_equal_arms_are_rarely_told_apart_by_reward() -> None:
    def any_differs(rng: np.random.Generator) -> bool:
        return any(
            one.differs for one in adjusted(compare_rewards(answering_arms(rng, 0.2), resamples=RESAMPLES), looks=1)
        )

    assert false_alarms(any_differs) <= 0.05


def test_trained_models_that_are_equally_good_are_rarely_told_apart_by_wins() -> None:
    assert (
        false_alarms(lambda rng: any(one.differs for one in adjusted(compare_wins(answering_arms(rng, 0.0)), looks=1)))
        <= 0.05
    )


def test_arm_of_higher_rewards_is_found() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(50):
        arms = answering_arms(rng, 0.05, better=2.0)
        told = {
            (one.better, one.worse)
            for one in adjusted(compare_rewards(arms, resamples=RESAMPLES), looks=1)
            if one.differs
        }
        won = {(one.a, one.b) for one in adjusted(compare_wins(arms), looks=1) if one.differs and one.wins > one.losses}
        found.append({("a", "b"), ("a", "c"), ("a", "d")} <= told & won)
    assert np.mean(found) >= 0.8
