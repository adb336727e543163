"""Which trials follow which: tuning before the final runs, and further seeds for arms that are tied."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from basis.errors import UserError
from basis.stages import Stage
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import candidate_trials, enumerate_trials, plan_sweep, tuning_trials
from sweep.spec_file.load import parse_spec
from sweep.trial.config import TrialConfig
from sweep.tune.rounds import ReadLosses, Rounds

Losses = npt.NDArray[np.float64]
WINDOWS = 50
TUNED: dict[str, Any] = {
    "search": "tuned",
    "trials": 5,
    "space": [
        {"method": "full", "optimizer": "adamw", "lr": {"low": 1e-6, "high": 1e-2, "log": True}},
        {"method": "lora", "rank": [1, 8], "optimizer": "adamw", "lr": {"low": 1e-5, "high": 1e-1, "log": True}},
    ],
}


def spec(**changes: Any) -> SweepSpec:
    trial = {"steps": 5, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}
    return parse_spec({"name": "x", "trial": trial, **changes})


def grid(lrs: list[float], **seeds: int) -> SweepSpec:
    return spec(space=[{"method": "full", "optimizer": "sgd", "lr": lrs}], seeds=seeds)


def rounds(spec: SweepSpec, read: ReadLosses) -> list[list[TrialConfig]]:
    """The rounds of all lanes side by side, then those of further seeds."""
    rounds = Rounds(plan_sweep(spec), read)
    side_by_side = zip_longest(*rounds.lanes(), fillvalue=[])
    return [*([trial for lane in one for trial in lane] for one in side_by_side), *rounds.further_seeds()]


def losses(mean: Callable[[TrialConfig], float], seed_noise: float = 0.002) -> Callable[[TrialConfig], Losses]:
    """Losses with noise by seed and by window that all arms share, and a little of each arm's own."""

    def read(trial: TrialConfig) -> Losses:
        shared = np.random.default_rng([7, trial.seed]).normal(0, 0.3, WINDOWS)
        own = np.random.default_rng([trial.seed, round(1e9 * trial.lr)])
        return mean(trial) + shared + own.normal(0, seed_noise) + own.normal(0, seed_noise, WINDOWS)

    return read


def test_every_arm_gets_as_many_tuning_trials_spread_over_its_own_range() -> None:
    arms = tuning_trials(spec(**TUNED))
    assert [(arm[0].method, arm[0].rank) for arm in arms] == [("full", None), ("lora", 1), ("lora", 8)]
    assert [trial.lr for trial in arms[0]] == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    assert [trial.lr for trial in arms[2]] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert {trial.evaluate_on for arm in arms for trial in arm} == {Stage.TUNING}


def test_several_ranges_are_covered_together() -> None:
    branch = {**TUNED["space"][0], "weight_decay": {"low": 0.0, "high": 1.0}}
    (arm,) = tuning_trials(spec(**{**TUNED, "space": [branch], "trials": 16}))
    assert len({(trial.lr, trial.weight_decay) for trial in arm}) == 16
    for low, high in ((1e-6, 1e-4), (1e-4, 1e-2)):  # every quarter of the square is tried
        for decay in (0.0, 0.5):
            assert any(low <= t.lr <= high and decay <= t.weight_decay <= decay + 0.5 for t in arm)


def test_each_arms_best_setting_runs_with_every_seed_and_none_of_them_was_tuned_with() -> None:
    tuned = spec(**TUNED, seeds=3)
    best = {"full": 1e-5, "lora": 1e-2}
    read = losses(lambda trial: 2 + abs(np.log10(trial.lr / best[trial.method])))
    tuning, final = rounds(tuned, lambda trial: read(trial) if trial.evaluate_on == Stage.TUNING else None)
    assert tuning == candidate_trials(tuned)
    assert [(t.rank, t.seed) for t in final] == [(rank, seed) for rank in (None, 1, 8) for seed in (0, 1, 2)]
    assert all(trial.lr == pytest.approx(best[trial.method]) for trial in final)
    assert {trial.evaluate_on for trial in final} == {Stage.FINAL}
    assert not {trial.seed for trial in tuning} & {trial.seed for trial in final}
    assert plan_sweep(tuned).least_trials == len(tuning) + len(final)


def test_an_arm_whose_tuning_trials_all_failed_has_no_final_run_and_one_that_failed_is_not_chosen() -> None:
    read = losses(lambda trial: trial.lr)

    def read_some(trial: TrialConfig) -> Losses | None:
        lost = trial.evaluate_on != Stage.TUNING or trial.rank == 1 or trial.lr == pytest.approx(1e-5)
        return None if lost else read(trial)

    _, final = rounds(spec(**TUNED), read_some)
    assert [(trial.rank, trial.lr) for trial in final] == [(None, pytest.approx(1e-6)), (8, pytest.approx(1e-4))]


def test_an_arm_that_has_been_tested_keeps_its_setting_when_a_failed_tuning_trial_finishes_later() -> None:
    tuned = spec(**{**TUNED, "space": TUNED["space"][:1]})
    read = losses(lambda trial: trial.lr)
    ran: set[TrialConfig] = set()

    def read_what_ran(trial: TrialConfig) -> Losses | None:
        return read(trial) if trial in ran else None

    (lane,) = Rounds(plan_sweep(tuned), read_what_ran).lanes()
    ran.update(next(lane)[1:])  # the one of the lowest rate, which is best, has failed
    first = next(lane)
    ran.update(first)
    (again,) = Rounds(plan_sweep(tuned), read_what_ran).lanes()
    ran.update(next(again))
    assert next(again) == first


RANDOM = {**TUNED, "search": "random", "trials": 40, "tables": [{"title": "Rank", "factor": "rank"}]}


def test_a_random_search_chooses_on_validation_and_tests_the_best_of_what_its_tables_compare() -> None:
    searched = spec(**RANDOM, seeds=2)
    read = losses(lambda trial: 2 + abs(np.log10(trial.lr / 1e-3)))
    first, final = rounds(searched, lambda trial: read(trial) if trial.evaluate_on == Stage.TUNING else None)
    assert len(first) == 40
    assert {trial.evaluate_on for trial in first} == {Stage.TUNING}
    assert [(t.method, t.seed) for t in final] == [(m, s) for m in ("full", "lora", "lora") for s in (0, 1)]
    assert {trial.rank for trial in final} == {None, 1, 8}
    assert {trial.evaluate_on for trial in final} == {Stage.FINAL}
    for one in final:
        mine = [float(read(t).mean()) for t in first if t.rank == one.rank]
        (chosen,) = [t for t in first if (t.rank, t.lr) == (one.rank, one.lr)]
        assert float(read(chosen).mean()) == min(mine)
    assert plan_sweep(searched).least_trials == len(first) + len(final)
    assert candidate_trials(searched) == first


def test_choosing_on_test_runs_every_config_with_every_seed_on_test() -> None:
    searched = spec(**RANDOM, seeds=2, choose_on="test")
    (all_of_them,) = rounds(searched, lambda trial: None)
    assert all_of_them == enumerate_trials(searched)
    assert {(trial.evaluate_on, trial.seed) for trial in all_of_them} == {(Stage.PLAIN, 0), (Stage.PLAIN, 1)}


def test_what_optuna_tried_is_followed_by_the_best_of_each_group_that_has_one() -> None:
    searched = spec(**{**RANDOM, "search": "optuna", "seeds": 2})
    tried = [t for group in tuning_trials(spec(**RANDOM, seeds=2)) for t in group]
    read = losses(lambda trial: trial.lr, seed_noise=0.0)
    rounds = Rounds(plan_sweep(searched), lambda t: read(t) if t.evaluate_on == "validation" and t.rank != 1 else None)
    (final,) = rounds.best_of(tried)
    lowest = [min(t.lr for t in tried if t.rank == rank) for rank in (None, 8)]
    assert [(t.rank, t.lr, t.seed) for t in final] == [
        (rank, lr, seed) for rank, lr in zip((None, 8), lowest, strict=True) for seed in (0, 1)
    ]


def test_the_loss_of_a_best_is_too_low_where_it_was_chosen_and_right_where_it_was_not() -> None:
    """Of equal configs the best of N on test flatters itself, and the more the larger N; one chosen elsewhere not."""
    truth, spread = 2.0, 0.1

    def reported(trials: int, choose_on: str | None, sweep: int) -> float:
        one = spec(space=TUNED["space"][:1], search="random", trials=trials, choose_on=choose_on)
        draw = np.random.default_rng([sweep, trials])
        values: dict[tuple[TrialConfig, str], float] = {}

        def loss(trial: TrialConfig, windows: str) -> float:
            return values.setdefault((trial, windows), truth + draw.normal(0, spread))

        def read(trial: TrialConfig) -> Losses | None:
            return np.array([loss(trial, "validation")]) if trial.evaluate_on == Stage.TUNING else None

        return min(loss(trial, "test") for trial in rounds(one, read)[-1])

    for trials, too_low in ((4, 1.03), (16, 1.77)):  # expected minimum of so many standard normal draws
        on_test, on_validation = (
            np.mean([reported(trials, choose_on, sweep) for sweep in range(200)]) for choose_on in ("test", None)
        )
        assert on_test == pytest.approx(truth - too_low * spread, abs=0.02)
        assert on_validation == pytest.approx(truth, abs=0.025)


def test_each_base_model_has_a_leader_of_its_own() -> None:
    """Their losses do not compare where tokenizers differ: an arm of a model with higher losses may still be tied."""
    space = [{"method": "full", "optimizer": "sgd", "lr": [1e-3, 2e-3]}]
    two = spec(space=space, seeds={"min": 2, "max": 3}, model=["gpt2", "owner/other"])
    _, third = rounds(two, losses(lambda trial: 1.0 if trial.model == "gpt2" else 3.0, 1e-3))
    assert {(trial.model, trial.lr) for trial in third} == {(m, lr) for m in ("gpt2", "other") for lr in (1e-3, 2e-3)}


def test_further_seeds_go_to_the_arms_tied_with_the_leader_alone() -> None:
    made = rounds(grid([0.1, 0.2, 0.3], min=2, max=6), losses(lambda trial: 2.5 if trial.lr == 0.3 else 2.0))
    assert [(t.lr, t.seed) for t in made[0]] == [(lr, seed) for lr in (0.1, 0.2, 0.3) for seed in (0, 1)]
    later = [(trial.lr, trial.seed) for following in made[1:] for trial in following]
    assert [seed for lr, seed in later if lr == 0.1] == [2, 3, 4, 5], "a tie goes on to the maximum"
    assert [seed for lr, seed in later if lr == 0.2] == [2, 3, 4, 5]
    assert len([lr for lr, _ in later if lr == 0.3]) <= 1, "half a nat of difference is told apart at once"


def test_seeds_end_as_soon_as_the_arms_separate() -> None:
    far_apart = rounds(grid([0.1, 0.2], min=3, max=8), losses(lambda trial: 2.0 + trial.lr))
    assert len(far_apart) == 1
    alone = rounds(grid([0.1], min=2, max=8), losses(lambda trial: 2.0))
    assert len(alone) == 1, "an arm alone is tied with nobody"


def test_an_arm_that_never_finished_gets_no_further_seed() -> None:
    read = losses(lambda trial: 2.0)
    made = rounds(grid([0.1, 0.2, 0.3], min=2, max=3), lambda t: None if t.lr == 0.2 else read(t))
    assert [trial.lr for trial in made[1]] == [0.1, 0.3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": {"min": 2, "max": 2}}, "seeds.max: 2 is not accepted; accepted: a whole number from 3"),
        ({"seeds": {"min": 4, "max": 3}}, "seeds.max: 3 is not more than min 4"),
        ({"seeds": {"min": 1, "max": 3}}, "seeds.min: 1 is not accepted"),
        ({"seeds": {"min": 2, "max": 3, "least": 1}}, "seeds.least: unknown key; accepted: min, max"),
        ({"seeds": [-1]}, "seeds[0]: -1 is not accepted"),
        ({"seeds": []}, "seeds: []: accepted: how many seeds"),
        ({"seeds": 0}, "seeds: 0: accepted: how many seeds (1 to 1000), a list of seeds, or {min, max}"),
        ({"seeds": 10**10}, "seeds: 10000000000: accepted: how many seeds"),
        ({"seeds": "two"}, "seeds: 'two': accepted: how many seeds"),
        (
            {"seeds": {"min": 2, "max": 10**10}},
            "seeds.max: 10000000000 is not accepted; accepted: a whole number from 3 to 1000",
        ),
        ({"search": "optuna", "trials": 2, "seeds": {"min": 2, "max": 4}}, "seeds: min and max are not accepted"),
        ({"search": "tuned"}, "trials: missing; search 'tuned' needs the number of configs"),
        ({"search": "tuned", "trials": 2}, "space[0]: search 'tuned' needs a range in every branch"),
        (
            {"search": "tuned", "trials": 2, "metric": "win_rate"},
            "metric: 'win_rate' is accepted under search",
        ),
        ({"choose_on": "test"}, "choose_on: 'test' is not accepted under search 'grid', which reports all it has"),
        ({"search": "tuned", "trials": 2, "choose_on": "test"}, "choose_on: 'test' is accepted under search 'random'"),
        ({"search": "optuna", "trials": 2, "metric": "win_rate"}, "accepted with choose_on: test, which the report"),
        ({"search": "random", "trials": 2, "metric": "reward_mean"}, "accepted with choose_on: test"),
        ({"trial": {"evaluate_on": Stage.TUNING}}, "trial.evaluate_on: not accepted; it follows from 'search'"),
    ],
)
def test_a_mistake_about_seeds_or_tuning_gets_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        candidate_trials(spec(**{"space": [{"method": "full", "optimizer": "sgd", "lr": 0.1}], **changes}))
    assert message in str(caught.value)
