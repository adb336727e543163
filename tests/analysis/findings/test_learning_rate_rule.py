"""Whether LoRA's best learning rate is ten times full fine-tuning's: planted sweeps where it is, is not, or may be."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.comparison.best_rates import BestRate, SeedNoise, best_rate
from analysis.comparison.evidence import evidence_of
from analysis.comparison.rate_groups import RateGroup, Tried
from analysis.findings.learning_rate_rule import FAILED as REFUTED
from analysis.findings.learning_rate_rule import HELD, UNKNOWN, describe_learning_rate_rule, verdict
from analysis.results.experiment import Results
from analysis.statistics.intervals import Interval
from basis.outcomes import Outcome
from tests.planted_sweep import Config, grid, planted

RATES = [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]


def bowl(best: Callable[[Config], float], noise: float = 0.001) -> Callable[[Config], float]:
    """A loss that rises alike to both sides of the best rate, with seeds a little apart."""
    return lambda config: 2 + math.log10(config["lr"] / best(config)) ** 2 + noise * config["seed"]


def swept(best: Callable[[Config], float], seeds: int = 3, rates: list[float] = RATES, **lora: list[Any]) -> Results:
    ways = [
        {"method": "full", "rank": None, "alpha": None},
        *grid(method=["lora"], **{"rank": [8], "alpha": [32.0], **lora}),
    ]
    configs = [{**way, "lr": lr, "seed": seed} for way in ways for lr in rates for seed in range(seeds)]
    return planted(bowl(best), configs)


def said(results: Results) -> str:
    return " ".join(describe_learning_rate_rule(evidence_of(results)))


def test_the_rule_that_holds_is_called_held_with_the_ratio_and_its_limits() -> None:
    text = said(swept(lambda config: 1.2e-5 if config["method"] == "full" else 1.0e-4))
    assert "That LoRA's best learning rate is about ten times that of full fine-tuning held with adamw: " in text
    assert "8.3 times (lora r8; between 3.2 and 32)" in text  # 1.0e-4 / 1.2e-5: the parabola finds both


def test_a_rule_that_fails_is_called_so() -> None:
    text = said(swept(lambda config: 3e-5 if config["method"] == "full" else 2.8e-5))
    assert "about ten times that of full fine-tuning did not hold with adamw: 0.93 times" in text


def test_a_ratio_between_the_two_can_not_be_told() -> None:
    text = said(swept(lambda config: 1e-5 if config["method"] == "full" else 3e-5))
    assert "Whether LoRA's best learning rate is about ten times that of full fine-tuning can't be told" in text


def test_an_optimum_at_the_edge_is_said_to_be_there_and_bounds_one_side() -> None:
    text = said(swept(lambda config: 1e-5 if config["method"] == "full" else 1.0))
    assert "did not hold with adamw: 1,000 times (lora r8; at least 316; at an end of the range tried)." in text
    of_full = said(swept(lambda config: 1e-9 if config["method"] == "full" else 1e-5))
    assert "can't be told with adamw: 10 times (lora r8; at least 3.2" in of_full
    assert "Full fine-tuning's best 1e-06 is at an end of the range tried." in of_full


def test_with_one_seed_the_numbers_are_told_and_no_verdict() -> None:
    text = said(swept(lambda config: 1e-5 if config["method"] == "full" else 1e-4, seeds=1))
    assert "can't be told with adamw: 10 times (lora r8; between 3.2 and 32)" in text
    assert "with one seed of every arm, how far another would move them is unknown" in text


def test_seeds_that_move_a_loss_further_than_rates_do_widen_the_limits() -> None:
    noisy = planted(
        bowl(lambda config: 1e-5 if config["method"] == "full" else 1e-4, noise=1.0),
        [{**way, "lr": lr, "seed": seed}
         for way in ({"method": "full", "rank": None}, {"rank": 8}) for lr in RATES for seed in range(2)],
    )  # fmt: skip
    text = said(noisy)
    assert "can't be told with adamw" in text
    assert "not told apart from an end of the range tried" in text


def test_a_tuned_sweep_is_asked_by_its_tuning_trials() -> None:
    best = {"full": 1e-5, "lora": 1e-4}
    tuned = swept(lambda config: best[config["method"]], seeds=1)
    tuning = tuned.trials.rename(columns={"test_loss": "validation_loss"})
    tuning["trial"] = [f"tuning-{name}" for name in tuning["trial"]]
    final = planted(
        bowl(lambda config: best[config["method"]]),
        [{"method": method, "rank": 8 if method == "lora" else None, "lr": lr, "seed": seed, "evaluate_on": "final"}
         for method, lr in best.items() for seed in (1, 2, 3)],
    )  # fmt: skip
    configs = {f"tuning-{name}": {**config, "evaluate_on": "validation"} for name, config in tuned.configs.items()}
    both = replace(final, tuning=tuning, configs={**configs, **final.configs}, spec={"search": "tuned"})
    assert "held with adamw: 10 times (lora r8; between 3.2 and 32)" in said(both)


def test_independence_of_rank_is_judged_under_each_scaling() -> None:
    def best(config: Config) -> float:
        if config["method"] == "full":
            return 1e-5
        return 1e-4 if config["scaling"] == "alpha/r" else 3e-4 / config["rank"]

    text = said(swept(best, rank=[1, 10, 100], scaling=["alpha/r", "alpha/sqrt(r)"]))
    assert (
        "That under alpha/r LoRA's best learning rate is independent of rank held with adamw: "
        "0.0001 at rank 1 (between 5.5e-05 and 0.00017), 0.0001 at rank 10"
    ) in text
    assert "That under alpha/sqrt(r) LoRA's best learning rate is independent of rank did not hold" in text
    near = said(swept(lambda config: 1e-5 if config["method"] == "full" else 1e-4, rank=[4, 8]))
    assert "Whether under alpha/r LoRA's best learning rate is independent of rank can't be told" in near


def test_an_alpha_that_the_rule_was_not_found_at_is_named() -> None:
    text = said(swept(lambda config: 1e-5 if config["method"] == "full" else 1e-4, alpha=[512.0]))
    assert "lora r8, alpha 512; between" in text


def test_nothing_is_said_of_a_sweep_without_several_rates_of_both() -> None:
    assert said(swept(lambda config: 1e-4, rates=[1e-4])) == ""
    only_lora = planted(bowl(lambda config: 1e-4), [{"lr": lr, "seed": seed} for lr in RATES for seed in (1, 2)])
    assert said(only_lora) == ""


def tried(losses: dict[float, float], diverged: tuple[float, ...] = ()) -> RateGroup:
    nothing = Interval(math.nan, math.nan, math.nan)
    rows = [Tried("t", rate, nothing._replace(estimate=loss), Outcome.FINISHED, 1) for rate, loss in losses.items()]
    rows += [Tried("t", rate, nothing, Outcome.DIVERGED, 1) for rate in diverged]
    rows.sort(key=lambda one: one.rate)
    return RateGroup("x", {}, rows, min(rows[:1]), alone=True)


def test_a_parabola_is_found_exactly_and_a_rate_that_diverged_bounds_it() -> None:
    losses = {rate: math.log(rate / 2.3e-4) ** 2 for rate in (1e-5, 1e-4, 5e-4, 1e-2)}
    found = best_rate(tried(losses), None)
    assert found is not None
    assert found.estimate == pytest.approx(2.3e-4)
    assert found.low <= found.estimate <= found.high
    at_top = best_rate(tried({1e-5: 3.0, 1e-4: 2.0}, diverged=(1e-3,)), SeedNoise(0.01, 4))
    assert at_top == BestRate(pytest.approx(1e-4), pytest.approx(10**-4.5), pytest.approx(10**-3.5))
    assert best_rate(tried({}, diverged=(1e-4, 1e-3)), None) is None


def test_a_verdict_needs_limits_on_one_side_of_about() -> None:
    noise = SeedNoise(0.01, 4)
    assert verdict(BestRate(10, 10**0.5, 10**1.5), 10, noise) == HELD
    assert verdict(BestRate(10, 3, 32), 10, noise) == UNKNOWN
    assert verdict(BestRate(1, 0.3, 10**0.5), 10, noise) == REFUTED
    assert verdict(BestRate(100, 40, math.inf), 10, noise) == REFUTED
    assert verdict(BestRate(10, 9, 11), 10, None) == UNKNOWN
