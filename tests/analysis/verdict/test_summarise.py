"""The first screen of sweeps in which it is known what it has to say."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.comparison.evidence import evidence_of
from analysis.factors.pareto import fronts_of
from analysis.fairness.ledger import table_ledgers
from analysis.results.company import RAN_ALONE
from analysis.results.experiment import Results
from analysis.tables.comparison_table import build_tables
from analysis.verdict import ranking as ranking_module
from analysis.verdict.ranking import rank_arms
from analysis.verdict.summarise import summarise
from analysis.verdict.summary import Summary, Verdict
from basis.outcomes import Outcome
from tests.planted_sweep import START, Config, planted
from tests.synthetic_experiment import of_models, with_window_losses

MIB = 2**20
SIMULATED = 40
"""Sweeps of arms that are all alike."""
FULL: Config = {"method": "full", "rank": None, "lr": 1e-4}
LOSSES: dict[Any, float] = {None: 1.50, 1: 1.80, 10: 1.52, 100: 1.70}
"""By rank; without one it is full fine-tuning, which is clearly the best."""
PEAKS = {None: 1000, 1: 700, 10: 710, 100: 1100}


def loss_of(config: Config) -> float:
    """LOSSES, and what a seed adds, which is not the same for every arm."""
    return LOSSES[config["rank"]] + seed_noise(config)


def seed_noise(config: Config) -> float:
    return 0.001 * float((config["seed"] * (2 + (config["rank"] or 0) % 3)) % 5)


def tied_loss(config: Config) -> float:
    """Full fine-tuning and rank 10 differ by what seeds add, and rank 1 is worse."""
    return (1.8 if config["rank"] == 1 else 1.5) + seed_noise(config)


def sweep_of(*arms: Config, seeds: tuple[int, ...] = (1, 2, 3), loss: Any = loss_of, **metrics: Any) -> Results:
    configs = [{**arm, "seed": seed} for arm in arms for seed in seeds]
    peaks = {"peak_bytes": lambda config: PEAKS[config["rank"]] * MIB, **metrics}
    return with_window_losses(planted(loss, configs, **peaks))


def summary_of(results: Results, tables: list[dict[str, Any]] | None = None) -> Summary:
    evidence = evidence_of(results)
    built = build_tables(evidence.arms, {"tables": tables} if tables else results.spec, evidence.looks)
    return summarise(evidence, built, table_ledgers(evidence, built), fronts_of(evidence.finished))


def verdict(summary: Summary, kind: str) -> Verdict:
    (found,) = [one for one in summary.verdicts if one.kind == kind]
    return found


RANKS: list[Config] = [{"rank": rank} for rank in (1, 10, 100)]


def test_a_clear_best_is_named_with_its_loss_its_base_and_its_lead() -> None:
    best = verdict(summary_of(sweep_of(FULL, *RANKS)), "lowest_loss")
    assert (best.headline, best.arms) == ("full adamw", ("full adamw",))
    assert best.facts[0] == f"1.502 (base {START:.3f})"
    assert best.facts[1].startswith("next lora r10 adamw +0.020 [")
    assert "Holm-adjusted" in " ".join(best.why)


def test_two_arms_that_no_test_tells_apart_share_the_verdict() -> None:
    results = sweep_of(FULL, {"rank": 10}, {"rank": 1}, loss=tied_loss)
    summary = summary_of(results)
    best = verdict(summary, "lowest_loss")
    assert best.headline == "full adamw or lora r10 adamw, not told apart"
    assert best.facts[0].startswith("lowest mean")
    assert [place.differs for place in summary.boards[0].places] == [None, False, True]


def test_no_arm_is_singled_out_where_none_differs() -> None:
    best = verdict(summary_of(sweep_of(FULL, *RANKS, loss=lambda config: 1.5 + 0.01 * config["seed"])), "lowest_loss")
    assert best.headline == "no single arm: 4 arms not told apart"
    assert best.facts[0].startswith("lowest mean 1.520 in full adamw")


def test_one_seed_without_losses_of_windows_claims_nothing() -> None:
    results = planted(loss_of, [{**arm, "seed": 1} for arm in (FULL, *RANKS)])
    best = verdict(summary_of(results), "lowest_loss")
    assert best.headline == "no test: lowest mean is full adamw"
    assert not [one for one in summary_of(results).verdicts if one.kind == "avoid"]


def test_the_arm_that_saves_memory_is_named_with_its_price_in_loss() -> None:
    saving = verdict(summary_of(sweep_of(FULL, *RANKS)), "saves_memory")
    assert saving.headline == "lora r10 adamw"
    assert saving.facts[0] == "29 % less memory"
    assert saving.facts[1].startswith("loss +0.020 [")
    assert "is told apart from zero" in saving.why[1]


def test_a_saving_whose_price_no_test_tells_says_so() -> None:
    saving = verdict(summary_of(sweep_of(FULL, {"rank": 10}, {"rank": 1}, loss=tied_loss)), "saves_memory")
    assert saving.headline == "lora r10 adamw"
    assert saving.facts[0] == "29 % less memory than full adamw"
    assert saving.facts[1].endswith("], not told apart")


def test_a_best_arm_that_takes_the_least_memory_says_so() -> None:
    summary = summary_of(sweep_of({"rank": 10}, {"rank": 100}))
    assert verdict(summary, "saves_memory").facts == ("least memory too: 710.0 MiB",)


def test_no_arm_saves_memory_where_all_take_the_same() -> None:
    saving = verdict(summary_of(sweep_of({"rank": 10}, {"rank": 10, "lr": 0.01})), "saves_memory")
    assert (saving.arms, saving.headline, saving.facts) == ((), "no arm", ("all take 710.0 MiB",))


def test_a_dominated_arm_is_to_be_avoided_and_one_that_saves_memory_is_not() -> None:
    avoided = verdict(summary_of(sweep_of(FULL, *RANKS)), "avoid")
    assert avoided.arms == ("lora r100 adamw",)
    assert avoided.facts == ("more memory and higher loss than full adamw",)


def test_arms_that_diverged_or_ran_out_of_memory_are_to_be_avoided() -> None:
    lost: list[Config] = [
        {"optimizer": "sgd", "outcome": Outcome.DIVERGED},
        {"rank": 1, "outcome": Outcome.OUT_OF_MEMORY},
    ]
    summary = summary_of(sweep_of(FULL, *lost))
    told = [(one.headline, *one.facts) for one in summary.verdicts if one.kind == "avoid"]
    assert told == [("lora r1 sgd", "diverged"), ("lora r1 adamw", "ran out of memory")]
    assert [(place.rank, place.state) for place in summary.boards[0].places[1:]] == [
        (None, "diverged"),
        (None, "out of memory"),
    ]


def test_an_arm_that_saves_by_learning_nothing_is_said_to() -> None:
    summary = summary_of(sweep_of(FULL, {"rank": 1}, loss=lambda config: START if config["rank"] else loss_of(config)))
    saves = verdict(summary, "saves_memory")
    assert (saves.headline, saves.facts[-1]) == ("lora r1 adamw", "mean loss not below the base model's")
    assert len(verdict(summary_of(sweep_of(FULL, {"rank": 1})), "saves_memory").facts) == 2


def test_an_arm_that_training_ruined_is_to_be_avoided_and_ties_with_nothing() -> None:
    """It finished with finite losses, which differ so much between its seeds that no t test tells them from others."""
    astray: Config = {"method": "full", "rank": None, "lr": 100.0}
    summary = summary_of(
        sweep_of(FULL, astray, seeds=(1, 2), loss=lambda config: 1e7 ** config["seed"] if config["lr"] > 1 else 1.5)
    )
    assert verdict(summary, "lowest_loss").headline == "full adamw lr=0.0001"
    (avoided,) = (one for one in summary.verdicts if one.kind == "avoid")
    assert (avoided.headline, avoided.facts) == (
        "full adamw lr=100",
        ("training ruined the model: higher loss than before it",),
    )
    assert summary.boards[0].places[1].differs is None


def test_where_training_ruined_every_arm_none_is_told_to_be_the_best() -> None:
    arms: list[Config] = [{"method": "full", "rank": None, "lr": lr} for lr in (10.0, 100.0)]
    summary = summary_of(sweep_of(*arms, seeds=(1, 2), loss=lambda config: config["lr"] * 1e7 ** config["seed"]))
    assert not verdict(summary, "lowest_loss").headline.startswith("full adamw lr=10")
    assert not [one for one in summary.verdicts if one.kind == "avoid"]


@pytest.mark.parametrize(("alone", "seeds", "told"), [(True, (1, 2, 3), 1), (True, (1,), 0), (False, (1, 2, 3), 0)])
def test_time_is_saved_only_where_times_compare_and_a_test_tells_it(
    alone: bool, seeds: tuple[int, ...], told: int
) -> None:
    results = sweep_of(
        FULL, *RANKS, seeds=seeds, train_seconds=lambda c: (100 if c["rank"] is None else 50) + 10 * seed_noise(c)
    )
    results = replace(results, trials=results.trials.assign(**{RAN_ALONE: alone}))
    assert len([one for one in summary_of(results).verdicts if one.kind == "saves_time"]) == told


def test_one_arm_alone_is_no_comparison() -> None:
    summary = summary_of(sweep_of(FULL))
    (best,) = summary.verdicts
    assert (best.headline, best.facts) == ("full adamw", (f"1.502 (base {START:.3f})",))


def test_without_a_finished_trial_there_is_no_verdict_and_low_trust() -> None:
    summary = summary_of(sweep_of({**FULL, "outcome": Outcome.NOT_STARTED}))
    assert summary.verdicts == ()
    assert (summary.trust.level, summary.trust.doubts[0].reason) == ("low", "no finished trial")


def test_a_sweep_without_a_trial_has_neither_verdicts_nor_boards() -> None:
    results = sweep_of(FULL)
    summary = summary_of(replace(results, trials=results.trials.iloc[:0], curves=results.curves.iloc[:0]))
    assert (summary.verdicts, summary.boards, summary.trust.level) == ((), (), "low")


def test_arms_tested_on_other_windows_have_a_board_and_a_verdict_of_their_own() -> None:
    summary = summary_of(sweep_of(FULL, {"rank": 1}, {"rank": 10, "block_size": 32}))
    assert [board.title for board in summary.boards] == [
        "block_size 64, test_windows 4",
        "block_size 32, test_windows 4",
    ]
    assert [one.headline for one in summary.verdicts if one.kind == "lowest_loss"] == [
        "full adamw",
        "lora r10 adamw",
    ]


def test_an_arm_is_told_to_be_worse_no_more_often_than_the_tests_allow() -> None:
    """In sweeps of arms that are all alike, none is worse than the best in 95 % of them at least, chance aside."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(SIMULATED):
        results = sweep_of(FULL, *RANKS, loss=lambda config: 1.5 + 0.01 * rng.normal())
        (ranking,) = rank_arms(evidence_of(results), [])
        told += len(ranking.rivals) < len(RANKS)
    assert told <= stats.binom.ppf(0.999, SIMULATED, 0.05)


def test_a_thousand_arms_are_tested_against_the_best_and_its_neighbours_alone() -> None:
    """What is tested grows with the number of arms, and not with its square."""
    made = [{"rank": rank, "lr": 1e-5 * (1 + number), "seed": 1} for rank in (1, 10) for number in range(30)]
    results = with_window_losses(planted(lambda c: loss_of(c) + c["lr"], made))
    evidence = evidence_of(results)
    (ranking,) = rank_arms(evidence, [])
    assert len(ranking.compared.losses) < 2 * len(evidence.arms)
    assert set(ranking.against_best) == {arm.label for arm in ranking.ranked[1:]}


def test_the_comparisons_of_a_table_of_the_same_arms_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(sweep_of(FULL, *RANKS))
    tables = build_tables(evidence.arms, {}, evidence.looks)
    monkeypatch.setattr(ranking_module, "compare_test_losses", None)
    (ranking,) = rank_arms(evidence, tables)
    assert ranking.compared is tables[0].compared


def test_arms_of_several_base_models_have_each_its_own_base_loss() -> None:
    models = {"one": ("words", "a"), "two": ("letters", "a")}
    summary = summary_of(of_models(models, {"rank": 1}, {"rank": 10}))
    (board,) = summary.boards
    assert (board.metric, board.unit) == ("test_bits_per_byte", "bits/byte")
    assert math.isnan(board.base_loss)
    assert "bits/byte (base " in verdict(summary, "lowest_loss").facts[0]


def test_rows_of_text_that_differ_leave_arms_untested() -> None:
    summary = summary_of(of_models({"one": ("words", "a"), "two": ("letters", "b")}))
    assert verdict(summary, "lowest_loss").headline == "no test: lowest mean is one lora r1 adamw"
    assert [place.differs for place in summary.boards[0].places] == [None, None]


def test_wins_are_a_verdict_only_beyond_chance() -> None:
    def best(wins: int, losses: int) -> str:
        results = sweep_of(
            FULL, {"rank": 1}, seeds=(1,), wins=lambda c: wins, ties=lambda c: 0, losses=lambda c: losses
        )
        return verdict(summary_of(results), "lowest_loss").facts[2]

    assert best(80, 20) == "wins 80-20"
    assert best(20, 80) == "loses 20-80"
    assert best(52, 48) == "wins 52-48, maybe by chance"


def test_a_judge_of_right_answers_is_told_in_right_answers() -> None:
    numbers = {"wins": lambda c: 9, "ties": lambda c: 89, "losses": lambda c: 2}
    results = sweep_of(
        FULL, {"rank": 1}, seeds=(1,), reward_mean=lambda c: 0.4, reward_base_mean=lambda c: 0.33, **numbers
    )
    facts = verdict(summary_of(replace(results, spec={"reward": {"judge": "number"}})), "lowest_loss").facts
    assert facts[2:] == ("40 % right (base 33 %)", "wins 9-2, maybe by chance")


def test_a_gap_over_common_seeds_that_is_not_the_difference_of_the_losses_is_told() -> None:
    same = sweep_of(FULL, *RANKS, loss=lambda config: loss_of(config) + 0.1 * config["seed"])
    (board,) = summary_of(same).boards
    assert not board.common_seeds
    trials = same.trials.copy()
    trials.loc[(trials["arm"] == "full adamw") & (trials["seed"] == 1), "outcome"] = Outcome.DIVERGED
    (board,) = summary_of(replace(same, trials=trials)).boards
    assert board.common_seeds
    first, second = board.places[:2]
    assert second.gap.estimate != pytest.approx(second.loss.estimate - first.loss.estimate)


def test_an_arm_that_answers_as_its_base_model_does_ties() -> None:
    results = sweep_of(FULL, seeds=(1,))
    answers = [
        {
            "trial": trial,
            "arm": arm,
            "seed": 1,
            "index": prompt,
            "prompt": "?",
            "response": "!",
            "reward": 1.0,
            "base_reward": 1.0,
        }
        for trial, arm in results.trials[["trial", "arm"]].itertuples(index=False)
        for prompt in range(9)
    ]
    summary = summary_of(replace(results, responses=pd.DataFrame(answers)))
    assert "ties on every prompt" in verdict(summary, "lowest_loss").facts
