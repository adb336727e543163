"""A confound planted in a sweep is named on its table, and a clean design has nothing to name."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.comparison.learning_rates import rate_ranges
from analysis.fairness.ledger import Ledger, table_ledgers
from analysis.fairness.rows import LedgerRow
from analysis.fairness.rows_alike import same_in_every_digit
from analysis.results.experiment import Results
from analysis.tables.comparison_table import build_tables
from basis.stages import Stage
from tests import synthetic_experiment as synthetic

Config = dict[str, Any]
SEEDS = (1, 2)
LOW: Config = {"rank": 1, "alpha": 2.0, "dropout": 0.0}
HIGH: Config = {"rank": 10, "alpha": 20.0, "dropout": 0.0}  # with alpha / r as for rank 1
FULL: Config = {"method": "full", "rank": None, "alpha": None, "targets": None, "also_train": None, "dropout": 0.0}
HASHES = ("base_weights", "tokenizer", "train_tokens", "test_tokens", "prompts", "reward_model")
RECORD: dict[str, Any] = {
    "code": {"version": "0.1.0", "commit": "c" * 40, "dirty": False},
    "versions": {"torch": "2.13.0"},
    "hardware": {"device": "cpu", "cpu": "a CPU", "threads": 1},
    "hashes": {name: f"{number:064x}" for number, name in enumerate(HASHES)},
    "judged_as_trained": True,
}


def sweep_of(*arms: Config, seeds: tuple[int, ...] = SEEDS) -> Results:
    """Finished trials of these arms with a record each, whose losses are all different."""
    results = synthetic.in_memory(*[{**arm, "seed": seed} for arm in arms for seed in seeds])
    results.trials["test_loss"] += [0.001 * number**2 for number in range(len(results.trials))]
    return replace(results, records=dict.fromkeys(results.trials["trial"], RECORD))


def ledger_of(results: Results, factor: str | None = "rank") -> Ledger:
    (ledger,) = table_ledgers(
        evidence_of(results),
        build_tables(
            group_arms(results),
            {"tables": [{"title": "Table", "factor": factor}]},
            looks=1,
        ),
    ).values()
    return ledger


def with_record(results: Results, trials: list[str], part: str, **values: object) -> Results:
    """The same results, with some values of the records of these trials changed."""
    changed = {trial: {**RECORD, part: {**RECORD[part], **values}} for trial in trials}
    return replace(results, records={**results.records, **changed})


def trials_of(results: Results, rank: int) -> list[str]:
    return list(results.trials.loc[results.trials["rank"] == rank, "trial"])


def test_clean_design_has_neither_confounds_nor_flags_and_nothing_is_left_unchecked() -> None:
    ledger = ledger_of(sweep_of(LOW, HIGH))
    assert (ledger.confounds, ledger.flags, ledger.remarks, ledger.unknown) == ([], [], [], [])
    assert {"lr: 0.001", "base weights (hash): 000000000000", "train tokens seen: 20,480"} <= set(ledger.same)


def test_with_one_seed_that_alone_is_flagged() -> None:
    ledger = ledger_of(sweep_of(LOW, HIGH, seeds=(1,)))
    assert ledger.confounds == []
    (flag,) = ledger.flags
    assert flag.startswith("One seed stands behind every row")


@pytest.mark.parametrize(
    ("field", "planted", "shown"),
    [
        ("lr", 2e-5, "lr: 0.001 (lora r1 adamw), 2e-05 (lora r10 adamw)"),
        ("weight_decay", 0.1, "weight_decay: 0 (lora r1 adamw), 0.1 (lora r10 adamw)"),
        ("optimizer", "sgd", "optimizer: adamw (lora r1 adamw), sgd (lora r10 sgd)"),
        ("schedule", "cosine", "schedule: constant (lora r1 adamw), cosine (lora r10 adamw)"),
        ("warmup_steps", 4, "warmup_steps: 0 (lora r1 adamw), 4 (lora r10 adamw)"),
        ("clip_norm", None, "clip_norm: 1 (lora r1 adamw), none (lora r10 adamw)"),
        ("batch_size", 16, "batch_size: 8 (lora r1 adamw), 16 (lora r10 adamw)"),
        ("block_size", 32, "block_size: 64 (lora r1 adamw), 32 (lora r10 adamw)"),
        ("precision", "bf16", "precision: fp32 (lora r1 adamw), bf16 (lora r10 adamw)"),
        ("dropout", 0.1, "dropout: 0 (lora r1 adamw), 0.1 (lora r10 adamw)"),
        ("test_windows", 8, "test_windows: 4 (lora r1 adamw), 8 (lora r10 adamw)"),
        ("test_every", 20, "test_every: 10 (lora r1 adamw), 20 (lora r10 adamw)"),
        ("targets", ["head"], "targets: attn.c_attn (lora r1 adamw), head (lora r10 adamw)"),
        ("activation_checkpointing", True, "speed and memory alone"),
    ],
)
def test_field_that_changes_with_the_rank_is_the_one_confound(field: str, planted: object, shown: str) -> None:
    plain = {"activation_checkpointing": False} if field == "activation_checkpointing" else {}
    (confound,) = ledger_of(sweep_of({**LOW, **plain}, {**HIGH, field: planted})).confounds
    assert shown in confound
    assert confound.startswith(f"{field}: ")


@pytest.mark.parametrize("name", HASHES)
def test_hash_that_changes_with_the_rank_is_the_one_confound(name: str) -> None:
    results = sweep_of(LOW, HIGH)
    planted = with_record(results, trials_of(results, 10), "hashes", **{name: "f" * 64})
    (confound,) = ledger_of(planted).confounds
    assert confound.endswith(f": {RECORD['hashes'][name][:12]} (lora r1 adamw), ffffffffffff (lora r10 adamw)")


@pytest.mark.parametrize(
    ("part", "values", "shown"),
    [
        ("code", {"commit": "d" * 40}, "code (commit): cccccccccccc (lora r1 adamw), dddddddddddd (lora r10 adamw)"),
        ("versions", {"torch": "2.12.0"}, "version of torch: 2.13.0 (lora r1 adamw), 2.12.0 (lora r10 adamw)"),
        ("hardware", {"device": "a GPU"}, "device: cpu (lora r1 adamw), a GPU (lora r10 adamw); matters for speed and"),
    ],
)
def test_circumstance_that_changes_with_the_rank_is_the_one_confound(
    part: str, values: dict[str, str], shown: str
) -> None:
    results = sweep_of(LOW, HIGH)
    (confound,) = ledger_of(with_record(results, trials_of(results, 10), part, **values)).confounds
    assert confound.startswith(shown)


def test_device_that_a_trial_began_on_counts_beside_the_one_it_ended_on() -> None:
    results = sweep_of(LOW, HIGH)
    moved = {**RECORD, "earlier": [{"hardware": {"device": "a GPU"}}]}
    (confound,) = ledger_of(replace(results, records={**results.records, trials_of(results, 10)[0]: moved})).confounds
    assert confound.startswith("device: cpu (lora r1 adamw), cpu and a GPU (lora r10 adamw)")


def test_tokens_seen_are_compared_as_they_were_counted() -> None:
    results = sweep_of(LOW, HIGH)
    results.trials.loc[results.trials["rank"] == 10, "tokens_seen"] = 40_960
    confounds = ledger_of(results).confounds
    assert confounds == ["train tokens seen: 20,480 (lora r1 adamw), 40,960 (lora r10 adamw)"]


def test_scored_tokens_are_compared_where_not_all_that_are_seen_are_scored() -> None:
    results = sweep_of(LOW, HIGH)
    results.trials["scored_tokens_seen"] = results.trials["tokens_seen"]
    assert not ledger_of(results).confounds
    results.trials.loc[results.trials["rank"] == 10, "scored_tokens_seen"] = 5_120
    confounds = ledger_of(results).confounds
    assert confounds == ["train tokens scored: 20,480 (lora r1 adamw), 5,120 (lora r10 adamw)"]


@pytest.mark.parametrize("masked", [True, False])
def test_rows_of_whole_examples_hold_other_numbers_of_tokens_under_another_seed(masked: bool) -> None:
    results = sweep_of(LOW, HIGH)
    results.trials.loc[results.trials["seed"] == results.trials["seed"].min(), "tokens_seen"] -= 100
    if masked:
        results.trials["scored_tokens_seen"] = results.trials["tokens_seen"] // 2
    told = [flag for flag in ledger_of(results).flags if "Replicates of one row differ in tokens_seen" in flag]
    assert bool(told) != masked


def test_prompts_and_base_responses_are_compared_as_they_stand_in_the_responses() -> None:
    results = sweep_of(LOW, HIGH)
    rows = results.responses
    high = rows["trial"].isin(trials_of(results, 10))
    fewer = replace(results, responses=rows[~(high & (rows["index"] == 5))])
    assert [one.split(":")[0] for one in ledger_of(fewer).confounds] == [
        "prompts that were answered (hash)",
        "the base model's responses (hash)",
    ]
    rows.loc[high & (rows["index"] == 5), "base_response"] = "Another answer."
    (confound,) = ledger_of(results).confounds
    assert confound.startswith("the base model's responses (hash): ")


def test_unequal_seeds_are_a_confound_unless_they_were_added_by_the_results() -> None:
    arms = [{**LOW, "seed": 1}, {**LOW, "seed": 2}, {**HIGH, "seed": 1}, {**HIGH, "seed": 2}, {**HIGH, "seed": 3}]
    more = synthetic.in_memory(*arms)
    results = replace(more, records=dict.fromkeys(more.trials["trial"], RECORD))
    (confound,) = ledger_of(results).confounds
    assert "1 and 2 (lora r1 adamw), 1 and 2 and 3 (lora r10 adamw)" in confound
    adaptive = ledger_of(replace(results, spec={"seeds": {"min": 2, "max": 8}}))
    assert adaptive.confounds == []
    assert "from 2 up to 8 per row: 1 and 2 (lora r1 adamw), 1 and 2 and 3 (lora r10 adamw)" in adaptive.remarks[0]


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_how_a_step_is_divided_matters_for_speed_and_memory_alone_under_dropout_too(dropout: float) -> None:
    results = sweep_of({**LOW, "dropout": dropout}, {**HIGH, "dropout": dropout})
    results.trials.loc[results.trials["rank"] == 10, "micro_batch"] = 2
    alone = "; matters for speed and memory alone"
    told = f"micro-batch as it was run: 8 (lora r1 adamw), 2 (lora r10 adamw){alone}"
    assert ledger_of(results).confounds == [told]
    asked = sweep_of({**LOW, "dropout": dropout}, {**HIGH, "dropout": dropout, "micro_batch": 2})
    (micro_batch,) = [one for one in ledger_of(asked).confounds if one.startswith("micro_batch")]
    assert micro_batch.endswith(alone)


def grid(*pairs: tuple[float, float], arms: tuple[Config, ...] = (LOW, HIGH)) -> list[Config]:
    """Each arm with each pair of learning rate and weight decay."""
    return [{**arm, "lr": lr, "weight_decay": decay} for arm in arms for lr, decay in pairs]


def test_rows_alike_are_counted_without_holding_every_row_against_every_other() -> None:
    def flag(test_losses: list[float]) -> list[str]:
        rows = [
            LedgerRow(f"arm {n}", {"lr": n + 1.0}, {"outcome": ("finished",)}, {"train_loss": 1.0, "test_loss": loss})
            for n, loss in enumerate(test_losses)
        ]
        return same_in_every_digit(rows)

    assert flag([float(n) for n in range(1000)]) == []
    (few,) = flag([1.0, 1.0, 2.0, 2.0, 2.0])
    assert "arm 0 and arm 1 (train_loss 1, test_loss 1); arm 2 and arm 3 (train_loss 1, test_loss 2);" in few
    assert "pairs more" not in few
    (some,) = flag([1.0] * 5)
    assert "and 2 pairs more." in some
    (all_alike,) = flag([1.0] * 1000)
    assert "and more than 991 pairs more." in all_alike


def test_crossed_grid_is_no_confound() -> None:
    results = sweep_of(*grid((1e-4, 0.0), (1e-3, 0.0), (1e-2, 0.0)))
    results.trials["test_loss"] = [2.1, 2.11, 2.0, 2.01, 2.2, 2.21] * 2  # the best rate lies in the middle
    results.trials["train_loss"] = range(len(results.trials))
    ledger = ledger_of(results)
    assert (ledger.confounds, ledger.flags) == ([], [])
    assert "lr: 0.0001, 0.001, 0.01 at every level of rank" in ledger.same


def test_same_values_in_other_combinations_are_a_confound() -> None:
    low = grid((1e-4, 0.0), (1e-3, 0.1), arms=(LOW,))
    assert ledger_of(sweep_of(*low, *grid((1e-4, 0.0), (1e-3, 0.1), arms=(HIGH,)))).confounds == []
    (confound,) = ledger_of(sweep_of(*low, *grid((1e-4, 0.1), (1e-3, 0.0), arms=(HIGH,)))).confounds
    assert confound.startswith("combinations of lr and weight_decay:")


def test_what_a_method_or_an_optimizer_cannot_have_is_no_confound() -> None:
    rates = ledger_of(sweep_of({**FULL, "lr": 2e-5}, {**LOW, "lr": 2e-4}))
    assert rates.confounds == ["lr: 2e-05 (full adamw), 0.0002 (lora r1 adamw)"]
    optimizers = [{**LOW, "optimizer": "sgd", "momentum": None, "betas": None}, {**LOW, "momentum": None}]
    assert ledger_of(sweep_of(*optimizers), "optimizer").confounds == []


def test_without_a_factor_differences_are_listed_and_not_called_confounds() -> None:
    ledger = ledger_of(sweep_of(LOW, {**HIGH, "weight_decay": 0.1}), None)
    assert ledger.confounds == []
    (remark,) = ledger.remarks
    assert "no difference is called a confound" in remark
    assert "weight_decay: 0 (lora r1 adamw), 0.1 (lora r10 adamw)" in remark


def test_what_is_not_recorded_is_never_taken_as_the_same() -> None:
    results = sweep_of(LOW, HIGH)
    (first, second) = trials_of(results, 10)
    for lost in ({first: {}}, {first: {}, second: {}}):  # one replicate without a record is enough
        partly = ledger_of(replace(results, records={**results.records, **lost}))
        (entry,) = [entry for entry in partly.unknown if "base weights (hash)" in entry]
        assert entry.startswith("not recorded for lora r10 adamw: ")
        assert not any(entry.startswith("base weights") for entry in partly.same)
    none = ledger_of(replace(results, records={}))
    assert any(entry.startswith("not recorded: ") and "base weights (hash)" in entry for entry in none.unknown)
    digest = {"base model": "b" * 32, "data": "d" * 32, "reward": "r" * 32}  # one sweep, one digest
    assert (
        "base weights (hash): bbbbbbbbbbbb" in ledger_of(replace(results, records={}, sweep={"identity": digest})).same
    )


def test_changes_that_no_commit_holds_leave_the_code_unknown() -> None:
    results = sweep_of(LOW, HIGH)
    (entry,) = ledger_of(with_record(results, trials_of(results, 10), "code", dirty=True)).unknown
    assert entry.startswith("code: it had changes")
    assert entry.endswith("in lora r10 adamw")


def flags_with(results: Results, words: str, factor: str | None = "rank") -> list[str]:
    return [flag for flag in ledger_of(results, factor).flags if words in flag]


def test_learning_rate_shared_by_full_and_lora_is_flagged() -> None:
    (flag,) = flags_with(sweep_of(FULL, LOW, HIGH), "share one learning rate")
    assert "(full adamw) and LoRA (lora r1 adamw, lora r10 adamw) share one learning rate, 0.001" in flag
    assert not flags_with(sweep_of({**FULL, "lr": 1e-4}, LOW, HIGH), "share one learning rate")


def test_learning_rate_shared_under_one_optimizer_is_flagged_beside_other_rates_of_another() -> None:
    others = [{**LOW, "optimizer": "sgd", "lr": lr} for lr in (1e-2, 1e-1)]
    (flag,) = flags_with(sweep_of(FULL, LOW, *others), "share one learning rate", None)
    assert "(full adamw) and LoRA (lora r1 adamw) share one learning rate, 0.001" in flag


def test_scaling_that_changes_with_the_rank_is_flagged_with_its_values() -> None:
    (flag,) = flags_with(sweep_of(LOW, {**HIGH, "alpha": 2.0}), "Rank and scaling")
    assert "alpha/r is 2 at rank 1, 0.2 at rank 10" in flag
    roots = [{**arm, "alpha": 2.0, "scaling": "alpha/sqrt(r)"} for arm in (LOW, HIGH)]
    (flag,) = flags_with(sweep_of(*roots), "Rank and scaling")
    assert "alpha/sqrt(r) is 2 at rank 1, 0.632 at rank 10" in flag  # 2 / sqrt(10)
    assert not flags_with(sweep_of(LOW, HIGH), "Rank and scaling")


def test_same_scalings_at_every_rank_are_not_flagged_whatever_their_order() -> None:
    crossed = [{**LOW, "alpha": 1.0}, {**LOW, "alpha": 2.0}, {**HIGH, "alpha": 20.0}, {**HIGH, "alpha": 10.0}]
    assert not flags_with(sweep_of(*crossed), "Rank and scaling")
    (flag,) = flags_with(sweep_of(*crossed[:3]), "Rank and scaling")
    assert "is 1 and 2 at rank 1, 2 at rank 10" in flag


def test_best_rate_at_an_end_of_the_grid_is_flagged() -> None:
    results = sweep_of(*grid((1e-4, 0.0), (1e-3, 0.0), (1e-2, 0.0), arms=(LOW,)))
    results.trials["test_loss"] = [2.2, 2.2, 2.1, 2.1, 2.0, 2.0]
    (flag,) = flags_with(results, "Best at an end", "lr")
    assert "lr 0.01 of lora r1 adamw lr=0.01, the highest of 3 from 0.0001 to 0.01" in flag
    results.trials["test_loss"] = [2.2, 2.2, 2.0, 2.0, 2.1, 2.1]
    assert not flags_with(results, "Best at an end", "lr")


def test_unequal_numbers_of_rates_tried_are_flagged_and_a_diverged_one_counts() -> None:
    rates = [{**LOW, "lr": lr} for lr in (1e-4, 1e-3)]
    (flag,) = flags_with(sweep_of(*rates, HIGH), "Unequal numbers of learning rates")
    assert flag.endswith("2 (rank 1), 1 (rank 10).")
    diverged = [{**HIGH, "lr": 1e-4}, {**HIGH, "lr": 1e-3, "outcome": "diverged"}]
    assert not flags_with(sweep_of(*rates, *diverged), "Unequal numbers of learning rates")


def test_numbers_of_rates_are_those_of_each_setting_with_or_without_a_factor() -> None:
    sgd = {**LOW, "optimizer": "sgd", "lr": 1e-1}
    assert not flags_with(sweep_of(LOW, sgd, HIGH), "Unequal numbers of learning rates")  # one each
    rates = [{**LOW, "lr": lr} for lr in (1e-4, 1e-3)]
    (flag,) = flags_with(sweep_of(*rates, HIGH), "Unequal numbers of learning rates", None)
    assert flag.endswith("2 (lora r1 adamw lr=0.0001, lora r1 adamw lr=0.001), 1 (lora r10 adamw).")


TUNED = {"evaluate_on": Stage.FINAL}
SPACE = [{"rank": rank, "lr": {"low": 1e-5, "high": 1e-1, "log": True}} for rank in (1, 10)]


def tuned(rates: dict[int, list[float]], best: dict[int, float]) -> Results:
    """A sweep in which each rank's learning rate was tuned: those tried, and the best one of each rank."""
    arms = [{**arm, **TUNED, "lr": best[arm["rank"]]} for arm in (LOW, HIGH)]
    trials = [
        {
            **synthetic.CONFIG,
            **arm,
            "lr": lr,
            "evaluate_on": Stage.TUNING,
            "seed": 0,
            "trial": f"t{arm['rank']}-{lr}",
            "outcome": end,
        }
        for arm in (LOW, HIGH)
        for lr, end in zip(rates[arm["rank"]], ["diverged", *["finished"] * 9], strict=False)
    ]
    swept = sweep_of(*arms)
    configs = {trial["trial"]: {name: v for name, v in trial.items() if name in swept.trials} for trial in trials}
    spec = {"search": "tuned", "space": SPACE}
    return replace(swept, tuning=pd.DataFrame(trials), spec=spec, configs={**swept.configs, **configs})


def test_rates_tuned_with_as_many_trials_each_are_no_confound() -> None:
    ledger = ledger_of(tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3}))
    assert (ledger.confounds, ledger.flags) == ([], [])
    (remark,) = ledger.remarks
    assert remark == (
        "Each row has its own lr, the best of 3 tuning trials on validation windows: 0.001 (lora r1 adamw), "
        "0.002 (lora r10 adamw)."
    )


def test_unequal_numbers_of_tuning_trials_are_flagged_and_their_rates_are_a_confound() -> None:
    ledger = ledger_of(tuned({1: [1e-4, 1e-3, 1e-2, 0.02], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3}))
    (flag,) = ledger.flags
    assert flag.endswith("4 (lora r1 adamw), 3 (lora r10 adamw).")
    assert ledger.confounds == ["lr: 0.001 (lora r1 adamw), 0.002 (lora r10 adamw)"]


def test_tuned_rate_at_an_end_of_what_its_trials_tried_is_flagged() -> None:
    (flag,) = ledger_of(tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-4, 10: 2e-3})).flags
    assert "lr 0.0001 of lora r1 adamw, the lowest of 3 from 0.0001 to 0.01" in flag


def test_tuned_rates_make_up_for_part_of_a_scaling_that_changes_with_the_rank() -> None:
    arms = [{**arm, "alpha": 2.0} for arm in (LOW, HIGH)]
    untuned = flags_with(sweep_of(*arms), "Rank and scaling")
    results = tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3})
    results.tuning["alpha"] = 2.0
    changed = [{**config, "alpha": 2.0} for config in results.configs.values()]
    results = replace(results, configs=dict(zip(results.configs, changed, strict=True)))
    (flag,) = flags_with(results, "Rank and scaling")
    assert flag == f"{untuned[0]} That each row has its own tuned learning rate makes up for part of it."


def test_what_has_no_order_has_no_end_that_was_tried() -> None:
    """An optimizer that was searched for beside the learning rate."""
    results = tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3})
    configs = {
        name: {**config, "optimizer": "sgd"} if name == "t1-0.0001" else config
        for name, config in results.configs.items()
    }
    spec = {
        "search": "random",
        "choose_on": None,
        "space": [{"rank": [1, 10], "optimizer": ["adamw", "sgd"], "lr": SPACE[0]["lr"]}],
        "tables": [{"title": "Table", "factor": "rank"}],
    }
    ledger = ledger_of(replace(results, configs=configs, spec=spec))
    assert (ledger.confounds, ledger.flags) == ([], [])
    assert any("its own optimizer, the best of 3 tuning trials" in remark for remark in ledger.remarks)


def test_values_drawn_at_random_are_compared_by_the_range_that_they_come_from() -> None:
    results = sweep_of(*[{**arm, "lr": lr} for arm, lr in ((LOW, 1e-3), (LOW, 2e-3), (HIGH, 3e-3), (HIGH, 4e-3))])
    assert ledger_of(replace(results, spec={"search": "random", "space": SPACE})).confounds == []
    narrower = [SPACE[0], {**SPACE[1], "lr": {"low": 1e-4, "high": 1e-2, "log": True}}]
    (confound,) = ledger_of(replace(results, spec={"search": "random", "space": narrower})).confounds
    assert confound.startswith("lr: drawn between 1e-05 and 0.1 (logarithmic) (lora r1 adamw lr=0.001, ")


def test_arms_stopped_early_at_unequal_steps_are_flagged() -> None:
    results = sweep_of({**LOW, "outcome": "stopped early"}, HIGH)
    results.trials.loc[results.trials["rank"] == 1, ["step", "tokens_seen"]] = [20, 10_240]
    ledger = ledger_of(results)
    assert ledger.confounds == ["train tokens seen: 10,240 (lora r1 adamw), 20,480 (lora r10 adamw)"]
    (flag,) = ledger.flags
    assert flag == "Stopped early, at unequal steps: 20 (lora r1 adamw), 40 (lora r10 adamw); planned were 40."


@pytest.mark.parametrize(("skipped", "told"), [([0, 0, 0, 0], False), ([0, 0, 2, 3], True), ([None] * 4, False)])
def test_steps_that_an_overflow_in_fp16_has_voided_are_flagged(skipped: list[int | None], told: bool) -> None:
    results = sweep_of(LOW, HIGH)
    flags = ledger_of(replace(results, trials=results.trials.assign(skipped_steps=skipped))).flags
    assert len(flags) == told
    assert all(flag.endswith("overflowed fp16, at most: 3 of 40 (lora r10 adamw).") for flag in flags)


def test_test_dialogues_that_occur_in_train_or_only_open_as_one_are_flagged_apart() -> None:
    data = {"overlap_exact": 3, "overlap_opening": 5, "test_dialogues": 60}
    exact, opening = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": data})).flags
    assert "word for word: 3 of 60 (5.0 %)." in exact
    assert "go on otherwise: 2 of 60 (3.3 %)." in opening
    (alone,) = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {**data, "overlap_exact": 0}})).flags
    assert "go on otherwise: 5 of 60 (8.3 %)." in alone
    none = {**data, "overlap_exact": 0, "overlap_opening": 0}
    assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": none})).flags == []


def test_general_text_that_is_trained_on_is_flagged() -> None:
    data = {"general_in_train": 3, "general_examples": 60}
    (flag,) = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": data})).flags
    assert flag.startswith("Examples of general text that also occur in train: 3 of 60 (5.0 %).")
    none = {**data, "general_in_train": 0}
    assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": none})).flags == []


def test_validation_that_opens_as_test_does_is_flagged_where_a_choice_was_made_by_it() -> None:
    data = {"validation_openings_in_test": 39, "validation_dialogues": 177}
    chosen = tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3})
    (flag,) = ledger_of(replace(chosen, sweep={"data": data})).flags
    assert "open with the same human turn as a test dialogue: 39 of 177 (22.0 %)" in flag
    assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": data})).flags == []


@pytest.mark.parametrize(("field", "values"), [("batch_size", (8, 16)), ("block_size", (64, 32))])
def test_one_seed_is_not_one_order_of_the_data_where_batches_or_windows_differ(
    field: str, values: tuple[int, int]
) -> None:
    """Trials of one seed see the same windows only where a step draws as many, of the same length."""
    assert any(entry.startswith("seeds, and with them the order of the data: ") for entry in ledger_of(
        sweep_of(LOW, HIGH)).same)  # fmt: skip
    for factor, differs in ((field, {}), ("rank", HIGH)):  # whether the field is what the table compares or not
        first, second = ({**LOW, field: values[0]}, {**LOW, **differs, field: values[1]})
        ledger = ledger_of(sweep_of(first, second), factor)
        assert not any("order of the data" in entry for entry in (*ledger.same, *ledger.unknown))
        assert any(entry.startswith("seeds: 1, 2") for entry in ledger.same)
        (remark,) = [one for one in ledger.remarks if "order of the data" in one]
        assert f"and {field} differs" in remark


def test_a_seed_means_no_order_of_data_that_nobody_recorded() -> None:
    results = sweep_of(LOW, HIGH)
    no_data = {name: digest for name, digest in RECORD["hashes"].items() if name != "train_tokens"}
    ledger = ledger_of(replace(results, records={name: {**RECORD, "hashes": no_data} for name in results.records}))
    assert "seeds: 1, 2 at every level of rank" in ledger.same


@pytest.mark.parametrize(
    ("factor", "arms", "followed"),
    [
        ("micro_batch", [{"micro_batch": 8}, {"micro_batch": 2}], {"micro_batch": (8, 2)}),
        ("batch_size", [{"batch_size": 8}, {"batch_size": 16}], {"micro_batch": (8, 16), "tokens_seen": (1, 2)}),
        ("steps", [{"steps": 40}, {"steps": 80}], {"tokens_seen": (20_480, 40_960)}),
        ("block_size", [{"block_size": 64}, {"block_size": 32}], {"tokens_seen": (2, 1), "micro_batch": (4, 8)}),
        ("precision", [{"precision": "fp32"}, {"precision": "bf16"}], {"micro_batch": (4, 8)}),
        (
            "activation_checkpointing",
            [{"activation_checkpointing": False}, {"activation_checkpointing": True}],
            {"activation_checkpointing": (0, 1), "micro_batch": (4, 8)},
        ),
    ],
)
def test_what_follows_from_the_factor_itself_is_told_and_is_no_confound(
    factor: str, arms: list[Config], followed: dict[str, tuple[int, int]]
) -> None:
    results = sweep_of(*({**LOW, **arm} for arm in arms))
    for name, values in followed.items():
        results.trials[name] = [value for value in values for _ in SEEDS]
        results.trials["step"] = results.trials["steps"]
    ledger = ledger_of(results, factor)
    assert ledger.confounds == []
    (remark,) = [one for one in ledger.remarks if one.startswith(f"Follows from {factor}, and is no confound: ")]
    words = {"tokens_seen": "train tokens seen", "micro_batch": "micro-batch as it was run"}
    assert all(words.get(name, "activation checkpointing as it was run") in remark for name in followed)
    assert "which follows from it" in ledger.verdict


def test_an_optimizers_own_momentum_follows_from_it_and_one_that_was_set_does_not() -> None:
    plain = {**LOW, "optimizer": "nesterov", "momentum": 0.9, "betas": None}
    muon = {**LOW, "optimizer": "muon", "momentum": 0.95}
    assert ledger_of(sweep_of(plain, muon), "optimizer").confounds == []
    (confound,) = ledger_of(sweep_of({**plain, "momentum": 0.5}, muon), "optimizer").confounds
    assert confound.startswith("momentum: 0.5 (lora r1 nesterov), 0.95 (lora r1 muon)")


def test_that_nothing_but_the_factor_differs_is_said_only_of_rows_of_which_it_is_true() -> None:
    assert ledger_of(sweep_of(LOW, HIGH)).verdict == "Checked row against row: nothing but rank differs"
    one_level = ledger_of(sweep_of({**LOW, "lr": 1e-4}, {**LOW, "lr": 1e-3}), "optimizer")
    assert one_level.verdict == "Checked row against row: optimizer is the same in all rows"
    assert one_level.remarks == [
        "The table compares optimizer, in which its rows do not differ. They differ in lr: 0.0001 (lora r1 adamw "
        "lr=0.0001), 0.001 (lora r1 adamw lr=0.001)."
    ]
    crossed = ledger_of(sweep_of(*grid((1e-4, 0.0), (1e-3, 0.0))))
    assert crossed.verdict == "Checked row against row: besides rank the rows differ in lr (alike at every level)"
    own = ledger_of(tuned({1: [1e-4, 1e-3, 1e-2], 10: [2e-4, 2e-3, 2e-2]}, {1: 1e-3, 10: 2e-3}))
    assert own.verdict == "Checked row against row: besides rank the rows differ in lr (tuned for each row)"
    assert ledger_of(sweep_of(LOW, {**HIGH, "lr": 1e-4})).verdict == "What else was checked"


def test_groups_of_learning_rates_are_told_apart_by_exact_values() -> None:
    """Betas of .95 and .9501 print alike, and are two settings with one learning rate each."""
    close = [{**LOW, "betas": [0.9, beta], "lr": lr} for beta, lr in ((0.95, 1e-3), (0.9501, 1e-2))]
    assert rate_ranges(group_arms(sweep_of(*close))) == []
    assert not flags_with(sweep_of(*close), "Best at an end", None)
    several = [{**LOW, "betas": [0.9, beta], "lr": lr} for beta in (0.95, 0.9501) for lr in (1e-4, 1e-3, 1e-2)]
    assert [one.group for one in rate_ranges(group_arms(sweep_of(*several)))] == ["betas=0.9+0.95", "betas=0.9+0.9501"]
    unequal = flags_with(sweep_of(*several[:4]), "Unequal numbers of learning rates", "weight_decay")
    assert not unequal, "one level of the factor"
    decays = [{**LOW, "weight_decay": decay, "lr": lr} for decay, lr in ((0.1, 1e-3), (0.10001, 1e-3), (0.1, 1e-2))]
    (flag,) = flags_with(sweep_of(*decays), "Unequal numbers of learning rates", "weight_decay")
    assert flag.endswith("2 (weight_decay 0.1), 1 (weight_decay 0.10001).")


def test_one_rate_tried_has_no_end() -> None:
    """Arms that differ in what it costs alone have one rate, at which nothing can be said of others."""
    decays = [{**LOW, "weight_decay": decay} for decay in (0.0, 0.1)]
    assert rate_ranges(group_arms(sweep_of(*decays))) == []
    twice = [{**LOW, "lr": lr} for lr in (1e-3, 1e-3)]
    assert rate_ranges(group_arms(sweep_of(*twice, seeds=(1,)))) == []


def test_records_that_were_left_out_are_counted() -> None:
    (flag,) = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {"skipped_records": 1200}})).flags
    assert flag == "Broken records of the data that were left out (data.skip_broken): 1,200."


def test_examples_that_rows_cut_or_leave_out_are_counted() -> None:
    counts = {"examples": 300, "truncated_examples": 12, "truncated_tokens": 4000, "dropped_examples": 3}
    rows = [
        {"model": None, "side": side, "block_size": 512, **counts, "dropped_tokens": 900} for side in ("train", "test")
    ]
    rows[1] |= {"truncated_examples": 0, "dropped_examples": 0}
    (flag,) = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {"rows": rows}})).flags
    assert flag.startswith(
        "Examples longer than a row: train rows of 512 tokens cut 12 of 300 (4.0 %) by 4,000 tokens and leave out "
        "3 of 300 (1.0 %) with 900 tokens. "
    )
    assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {"rows": rows[1:]}})).flags == []


def test_counts_of_rows_that_are_not_as_written_are_passed_over() -> None:
    counts = dict.fromkeys(("block_size", "examples", "truncated_examples", "truncated_tokens"), 8)
    one = {"model": None, "side": "train", **counts, "dropped_examples": 0, "dropped_tokens": 0}
    for rows in (None, 3, "train", [None, 3, "train", {}], [{**one, "examples": "8"}, {**one, "model": [1]}]):
        assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {"rows": rows}})).flags == []
    assert len(ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {"rows": [None, one]}})).flags) == 1


def test_openings_that_cannot_be_told_are_flagged() -> None:
    data = {"overlap_exact": 0, "test_dialogues": 60, "test_openings_unknown": 60, "train_openings_unknown": 1200}
    (flag,) = ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": data})).flags
    assert "60 test and 1,200 train dialogues have no turns that are recognised" in flag
    assert ledger_of(replace(sweep_of(LOW, HIGH), sweep={"data": {**data, "overlap_opening": 0}})).flags == []


def test_rows_that_agree_in_every_digit_are_flagged_unless_only_their_cost_differs() -> None:
    losses = ["train_loss", "test_loss", "test_loss_best"]
    results = sweep_of(LOW, {**LOW, "weight_decay": 0.1})
    results.trials[losses] = [[1.0, 2.0, 1.9], [1.1, 2.1, 1.8]] * 2
    (flag,) = flags_with(results, "every digit", "weight_decay")
    assert "lora r1 adamw weight_decay=0 and lora r1 adamw weight_decay=0.1 (train_loss 1.05, test_loss 2.05" in flag
    failed = replace(results, trials=results.trials.assign(outcome="failed"))  # with the losses of step 0 alone
    assert not flags_with(failed, "every digit", "weight_decay")
    cost = sweep_of(LOW, {**LOW, "micro_batch": 4})
    cost.trials[losses] = results.trials[losses]
    assert not flags_with(cost, "every digit", "micro_batch")


def test_replicates_made_from_different_weights_are_flagged() -> None:
    results = sweep_of(LOW, HIGH)
    mixed = [trials_of(results, rank)[0] for rank in (1, 10)]
    ledger = ledger_of(with_record(results, mixed, "hashes", base_weights="f" * 64))
    assert ledger.confounds == []  # both rows are mixed alike
    (flag,) = ledger.flags
    assert flag.startswith("Replicates of one row differ in base_weights: ffffffffffff and 000000000000 (lora r1")


def test_win_rate_that_is_not_that_of_the_counts_is_flagged() -> None:
    results = sweep_of(LOW, HIGH)
    results.trials.loc[results.trials["rank"] == 10, "win_rate"] = 0.7
    (flag,) = ledger_of(results).flags
    assert "lora r10 adamw 40 of 80 is 50 %, stated 70 %" in flag  # 20 of 40 prompts for each of two seeds


def test_a_model_that_was_judged_without_its_training_is_flagged() -> None:
    results = sweep_of(LOW, HIGH)
    dropped = {trial: {**RECORD, "judged_as_trained": False} for trial in results.records}
    (flag,) = ledger_of(replace(results, records=dropped)).flags
    assert flag.startswith("Responses came from a model without the adapters that were trained in every row")


def test_lora_that_trains_more_than_its_adapters_is_flagged() -> None:
    more = {"also_train": ["embeddings", "biases"], "tie_head": False, "targets": ["head"]}
    flags = ledger_of(sweep_of({**LOW, **more}, {**HIGH, **more})).flags
    assert "embeddings+biases (lora r1 adamw, lora r10 adamw)" in flags[0]
    assert "untied from the embedding in every row; it has an adapter too in every row" in flags[1]
    assert len(flags) == 2


def test_table_without_rows_has_an_empty_ledger() -> None:
    results = sweep_of(LOW)
    tables = build_tables(
        group_arms(results),
        {"tables": [{"title": "None", "where": {"rank": 7}}]},
        looks=1,
    )
    assert table_ledgers(evidence_of(results), tables) == {"none": Ledger([], [], [], [], [])}


def test_a_test_set_of_fewer_rows_than_were_asked_for_is_flagged() -> None:
    asked = [{**arm, "test_windows": 40} for arm in (LOW, HIGH)]
    assert ledger_of(synthetic.with_window_losses(sweep_of(*asked), windows=40)).flags == []
    (flag,) = ledger_of(synthetic.with_window_losses(sweep_of(*asked), windows=7)).flags
    assert flag.startswith("The test set holds fewer rows than test_windows asks for: 7 of 40 (lora r1 adamw, lora r10")


def test_a_sweep_judged_by_right_answers_has_no_reward_model_to_record() -> None:
    hashes = {name: value for name, value in RECORD["hashes"].items() if name != "reward_model"}
    results = sweep_of(LOW, HIGH)
    results = replace(results, records={trial: {**RECORD, "hashes": hashes} for trial in results.records})
    assert any("reward model" in entry for entry in ledger_of(results).unknown)
    judged = replace(results, spec={"reward": {"judge": {"match": "number"}}})
    assert not any("reward model" in entry for entry in ledger_of(judged).unknown)
