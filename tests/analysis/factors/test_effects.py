"""analysis.factors.effects: a planted effect comes back with its size, and what has none is not said to have one."""

import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_tests import reward_test
from analysis.comparison.told_apart import CROSSED, PAIRED_SEEDS, PAIRED_WINDOWS
from analysis.factors.effect_table import describe_effects, show_effects
from analysis.factors.effects import Effect, matched_effects
from analysis.results.experiment import Results
from analysis.statistics.difference_tests import crossed_test
from analysis.statistics.multiple_tests import holm
from tests.planted_sweep import grid, planted
from tests.synthetic_experiment import PROMPTS, in_memory, with_window_losses

FULL = {"method": "full", "rank": None, "alpha": None, "targets": None, "also_train": None}
SGD = {"optimizer": "sgd", "momentum": None, "betas": None}


def effects_of(results: Results, *ignored: str) -> dict[tuple[str, str, str], Effect]:
    found = matched_effects(group_arms(results), ignored)
    return {(effect.factor, effect.low, effect.high): effect for effect in found}


SEED_EFFECT = {0: 0.140, 1: -0.019, 2: 0.021, 3: 0.087}
"""What the second betas add to the loss of each seed, whatever the rank."""


def test_contexts_are_no_samples_and_the_seeds_that_they_share_are() -> None:
    betas, of_rank = [[0.9, 0.95], [0.9, 0.9501]], {1: 0.0, 2: -1.0, 4: -2.0, 8: -3.0}

    def loss(config: dict[str, Any]) -> float:
        of_betas = (config["betas"] == betas[1]) * SEED_EFFECT[config["seed"]]
        return 9 + of_rank[config["rank"]] + of_betas + 1e-6 * config["seed"] * config["rank"]

    results = planted(loss, grid(rank=list(of_rank), betas=betas, seed=list(SEED_EFFECT)))
    *_, effect = effects_of(results).values()
    assert (effect.factor, effect.contexts, effect.trial_pairs, effect.over) == ("betas", 4, 16, "4 seeds")
    assert effect.test_loss == pytest.approx((0.057, -0.055, 0.170), abs=1e-3)
    assert effect.p_value == pytest.approx(0.20, abs=5e-3)  # the largest of five, so Holm leaves it as it is
    assert effect.p_value == pytest.approx(stats.ttest_1samp(list(SEED_EFFECT.values()), 0).pvalue)


def test_with_windows_an_effect_gets_the_test_of_two_arms_on_the_mean_of_its_contexts() -> None:
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3], seed=[1, 2, 3])
    results = with_window_losses(planted(lambda c: 2 - 0.1 * (c["rank"] == 10) + 0.01 * c["seed"], configs))
    arms = {(arm.config["rank"], arm.config["lr"]): arm.losses_by_seed for arm in group_arms(results)}
    of_context = [[arms[10, lr][seed] - arms[1, lr][seed] for seed in (1, 2, 3)] for lr in (1e-4, 1e-3)]
    expected = crossed_test(np.mean(of_context, axis=0))
    effect = effects_of(results)["rank", "1", "10"]
    assert effect.test_loss == pytest.approx(expected[:3])
    assert (effect.method, effect.over, effect.differs) == (CROSSED, "3 seeds and 40 windows", True)


def test_with_one_seed_an_effect_is_one_of_these_trained_models() -> None:
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3], seed=[1])
    bare = planted(lambda c: 2 - 0.1 * (c["rank"] == 10), configs)
    effect = effects_of(bare)["rank", "1", "10"]
    assert (effect.tested, effect.test_loss.known, effect.contexts) == (False, False, 2)
    assert "one seed without losses by window" in " ".join(describe_effects([effect], group_arms(bare)))
    windowed = effects_of(with_window_losses(bare))["rank", "1", "10"]
    assert (windowed.method, windowed.over, windowed.over_seeds) == (PAIRED_WINDOWS, "40 windows", False)
    assert "not of the factor" in " ".join(describe_effects([windowed], group_arms(bare)))


def test_each_context_counts_once_on_the_seeds_that_all_share() -> None:
    seeds = {1e-4: [1, 2], 1e-3: [1, 2, 3, 4, 5]}
    configs = [c for lr, some in seeds.items() for c in grid(rank=[1, 10], lr=[lr], seed=some)]
    effect = effects_of(planted(lambda c: 2 - (c["rank"] == 10) * (0.1 if c["lr"] == 1e-4 else 0.2), configs))
    rank = effect["rank", "1", "10"]
    assert (rank.contexts, rank.trial_pairs, rank.seeds) == (2, 4, 2)
    assert rank.test_loss.estimate == pytest.approx(-0.15)


def test_a_context_that_lost_its_seeds_takes_none_from_the_others() -> None:
    seeds = {1e-4: [1, 2, 3], 1e-3: [1, 2, 3], 1e-2: [3], 1e-1: [7]}
    configs = [c for lr, some in seeds.items() for c in grid(rank=[1, 10], lr=[lr], seed=some)]
    rank = effects_of(planted(lambda c: 2 - c["lr"] * (c["rank"] == 10), configs))["rank", "1", "10"]
    assert (rank.contexts, rank.seeds, rank.trial_pairs) == (2, 3, 6)
    assert rank.test_loss.estimate == pytest.approx(-(1e-4 + 1e-3) / 2)


def test_contexts_on_different_windows_are_tested_over_their_seeds() -> None:
    configs = grid(rank=[1, 10], block_size=[32, 64], seed=[1, 2, 3])
    results = with_window_losses(planted(lambda c: 2 - 0.1 * (c["rank"] == 10) * c["seed"], configs))
    effect = effects_of(results)["rank", "1", "10"]
    assert (effect.method, effect.over, effect.contexts) == (PAIRED_SEEDS, "3 seeds", 2)
    assert "speaks of these test windows" in " ".join(describe_effects([effect], group_arms(results)))


def test_seeds_are_the_unit_in_a_single_context_and_one_pair_has_no_interval() -> None:
    noise = [0.0, 0.01, 0.02]
    results = planted(lambda c: 2 + (c["rank"] == 10) * noise[c["seed"]], grid(rank=[1, 10], seed=[0, 1, 2]))
    rank = effects_of(results)["rank", "1", "10"]
    assert (rank.over, rank.test_loss.estimate, rank.test_loss.known) == ("3 seeds", pytest.approx(0.01), True)
    alone = effects_of(planted(lambda c: 2.0 + c["rank"], grid(rank=[1, 10], seed=[0])))["rank", "1", "10"]
    assert (alone.test_loss.known, alone.differs, alone.trial_pairs) == (False, False, 1)


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
    assert "No matched pairs exist for rank, lr" in " ".join(describe_effects([], group_arms(results)))
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
    losses = {arm.config["rank"]: arm.values("test_loss") for arm in group_arms(results)}
    raw = [stats.ttest_rel(losses[low], losses[high]).pvalue for low, high in ((1, 10), (1, 100), (10, 100))]
    adjusted = [effect.p_value for effect in effects_of(results).values()]
    assert adjusted == pytest.approx(holm(raw))
    assert adjusted != pytest.approx(raw)
    looked_at = matched_effects(group_arms(results), looks=3)  # as seeds were added
    assert [effect.p_value for effect in looked_at] == pytest.approx(holm(raw, 3))
    assert "multiplied by 3 looks at the data" in " ".join(describe_effects(looked_at, group_arms(results), looks=3))


def test_rewards_stand_beside_losses_where_there_are_any() -> None:
    configs = grid(rank=[1, 10], seed=[1, 2])
    plain = matched_effects(group_arms(planted(lambda c: 2.0, configs)))
    assert not {"win rate", "reward margin"} & set(show_effects(plain, "nats/token").columns)
    results = planted(lambda c: 2.0, configs, win_rate=lambda c: 0.5 + (c["rank"] == 10) * 0.1 * c["seed"])
    frame = show_effects(matched_effects(group_arms(results)), "nats/token")
    assert frame["win rate"][0].startswith("+0.15 [")  # mean of 0.1 and 0.2
    assert "reward margin" not in frame


def test_rewards_are_averaged_over_contexts_within_seed_and_prompt() -> None:
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3], seed=[1, 2, 3])
    results = in_memory(*configs)
    better = results.responses["trial"].map({t: 1.0 * (c["rank"] == 10) for t, c in results.configs.items()})
    results.responses["reward"] = results.responses["base_reward"] + np.sin(7 * results.responses["index"]) + better
    effect = effects_of(results)["rank", "1", "10"]
    assert effect.reward_margin.estimate == pytest.approx(1.0)
    margins = np.sin(7 * np.arange(PROMPTS))
    won = (margins + 1 > 0).astype(float) - (margins > 0)
    assert effect.win_rate == pytest.approx(reward_test(np.tile(won, (3, 1)))[0][:3])  # prompts differ, seeds do not
