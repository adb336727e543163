"""analysis.effects: a planted effect comes back with its size, and what has none is not said to have one."""

import random

import pytest
from scipy import stats

from analysis.arms import collect
from analysis.effects import Effect, describe_effects, matched_effects, show_effects
from analysis.results import Results
from analysis.statistics import holm
from tests.planted_sweep import grid, planted

FULL = {"method": "full", "rank": None, "alpha": None, "targets": None, "also_train": None}
SGD = {"optimizer": "sgd", "momentum": None, "betas": None}


def effects_of(results: Results, *ignored: str) -> dict[tuple[str, str, str], Effect]:
    found = matched_effects(collect(results), ignored)
    return {(effect.factor, effect.low, effect.high): effect for effect in found}


def test_intervals_cover_the_planted_effect_and_the_absent_one_as_often_as_they_say() -> None:
    draw, covered, absent, sweeps = random.Random(0), 0, 0, 60
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3, 1e-2, 1e-1])
    for _ in range(sweeps):
        results = planted(lambda c: 2 - 0.1 * (c["rank"] == 10) + draw.gauss(0, 0.02), configs)
        effect = effects_of(results)["rank", "1", "10"].test_loss
        covered += effect.low < -0.1 < effect.high
        nothing = effects_of(planted(lambda c: 2 + draw.gauss(0, 0.02), configs))["rank", "1", "10"].test_loss
        absent += nothing.low < 0 < nothing.high
    least = 0.95 * sweeps - 3 * (sweeps * 0.95 * 0.05) ** 0.5  # three standard deviations of a count below its mean
    assert covered > least
    assert absent > least


def test_contexts_are_the_unit_and_each_counts_once_whatever_its_seeds() -> None:
    seeds = {1e-4: [1, 2], 1e-3: [1, 2, 3, 4, 5]}
    configs = [c for lr, some in seeds.items() for c in grid(rank=[1, 10], lr=[lr], seed=some)]
    effect = effects_of(planted(lambda c: 2 - (c["rank"] == 10) * (0.1 if c["lr"] == 1e-4 else 0.2), configs))
    rank = effect["rank", "1", "10"]
    assert (rank.contexts, rank.trial_pairs, rank.units, rank.over) == (2, 7, 2, "2 contexts")
    assert rank.test_loss.estimate == pytest.approx(-0.15)


def test_seeds_are_the_unit_in_a_single_context_and_one_pair_has_no_interval() -> None:
    noise = [0.0, 0.01, 0.02]
    results = planted(lambda c: 2 + (c["rank"] == 10) * noise[c["seed"]], grid(rank=[1, 10], seed=[0, 1, 2]))
    rank = effects_of(results)["rank", "1", "10"]
    assert (rank.over, rank.test_loss.estimate, rank.test_loss.known) == ("3 seeds", pytest.approx(0.01), True)
    single = planted(lambda c: 2.0 + c["rank"], grid(rank=[1, 10], seed=[0]))
    alone = effects_of(single)["rank", "1", "10"]
    assert (alone.test_loss.known, alone.differs, alone.trial_pairs) == (False, False, 1)
    assert any("single pair" in note for note in describe_effects([alone], collect(single)))


def test_full_fine_tuning_meets_every_rank_in_one_context_at_the_same_optimizer_and_learning_rate() -> None:
    configs = [{**FULL, "seed": s} for s in (1, 2)] + grid(rank=[1, 10, 100], seed=[1, 2])
    configs += [{**FULL, "lr": 5e-4, "seed": 1}]  # has no partner of its learning rate
    loss = {None: 1.0, 1: 2.0, 10: 3.0, 100: 7.0}
    found = effects_of(planted(lambda c: loss[c["rank"]], configs))
    method = found["method", "full", "lora"]
    assert (method.contexts, method.trial_pairs) == (1, 6)
    assert method.test_loss.estimate == pytest.approx(4 - 1)  # mean of 2, 3 and 7
    assert found["rank", "1", "100"].test_loss.estimate == pytest.approx(5)  # among LoRA trials alone


def test_an_optimizer_is_compared_with_the_momentum_and_betas_that_are_its_own() -> None:
    muon = {"optimizer": "muon", "momentum": 0.95}
    adamw = {"optimizer": "adamw", "momentum": None}
    found = effects_of(planted(lambda c: len(c["optimizer"]) / 10, [SGD, adamw, muon]))
    assert set(found) == {("optimizer", "sgd", "adamw"), ("optimizer", "sgd", "muon"), ("optimizer", "adamw", "muon")}
    assert found["optimizer", "sgd", "adamw"].test_loss.estimate == pytest.approx(0.2)


def test_what_was_tuned_per_arm_does_not_stop_a_match() -> None:
    configs = [{"rank": 1, "lr": 1e-3}, {"rank": 10, "lr": 3e-4}]
    results = planted(lambda c: 2.0 - c["rank"] / 100, configs)
    assert effects_of(results) == {}
    assert "No matched pairs exist for rank, lr" in " ".join(describe_effects([], collect(results)))
    assert effects_of(results, "lr")["rank", "1", "10"].test_loss.estimate == pytest.approx(-0.09)


def test_levels_of_a_number_are_compared_with_the_next_and_from_end_to_end() -> None:
    found = effects_of(planted(lambda c: c["lr"], grid(lr=[1e-3, 1e-4, 1e-2, 1e-1])))
    assert [key[1:] for key in found] == [("0.0001", "0.001"), ("0.0001", "0.1"), ("0.001", "0.01"), ("0.01", "0.1")]


def test_arms_tested_on_different_windows_are_no_pair() -> None:
    assert effects_of(planted(lambda c: 2.0, grid(test_windows=[4, 8]))) == {}
    crossed = planted(
        lambda c: 2.0 + c["test_windows"], [{"rank": 1, "test_windows": 4}, {"rank": 10, "test_windows": 8}]
    )
    assert effects_of(crossed) == {}


def test_p_values_are_of_the_paired_t_test_and_adjusted_for_the_number_of_rows() -> None:
    draw = random.Random(1)
    results = planted(lambda c: 2 - c["rank"] / 500 + draw.gauss(0, 0.05), grid(rank=[1, 10, 100], seed=[1, 2, 3, 4]))
    losses = {arm.config["rank"]: arm.values("test_loss") for arm in collect(results)}
    raw = [stats.ttest_rel(losses[low], losses[high]).pvalue for low, high in ((1, 10), (1, 100), (10, 100))]
    adjusted = [effect.p_value for effect in effects_of(results).values()]
    assert adjusted == pytest.approx(holm(raw))
    assert adjusted != pytest.approx(raw)
    looked_at = matched_effects(collect(results), looks=3)  # as seeds were added
    assert [effect.p_value for effect in looked_at] == pytest.approx(holm(raw, 3))
    assert "multiplied by 3 looks at the data" in " ".join(describe_effects(looked_at, collect(results), looks=3))


def test_rewards_stand_beside_losses_where_there_are_any() -> None:
    configs = grid(rank=[1, 10], seed=[1, 2])
    plain = matched_effects(collect(planted(lambda c: 2.0, configs)))
    assert not {"win rate", "reward margin"} & set(show_effects(plain).columns)
    results = planted(lambda c: 2.0, configs, win_rate=lambda c: 0.5 + (c["rank"] == 10) * 0.1 * c["seed"])
    frame = show_effects(matched_effects(collect(results)))
    assert frame["win rate"][0].startswith("+0.15 [")  # mean of 0.1 and 0.2
    assert "reward margin" not in frame
