"""The sentences name the planted factor with its numbers and test, and claim no more."""

import random
from dataclasses import replace

import pandas as pd

from analysis.comparison.choices import searched_fields
from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.factors.pareto import fronts_of
from analysis.factors.what_mattered import WhatMattered, what_mattered
from analysis.results.experiment import Results
from basis.stages import Stage
from tests.analysis.factors.test_effects import FULL
from tests.planted_sweep import START, grid, planted

GIB = 2**30


def section(results: Results) -> WhatMattered:
    made = what_mattered(evidence_of(results), fronts_of(group_arms(results)))
    assert made is not None
    return made


def optimizer_matters(seed: int = 0) -> Results:
    draw = random.Random(seed)
    return planted(
        lambda c: 2 + 0.3 * (c["optimizer"] == "muon") + draw.gauss(0, 0.01),
        grid(rank=[1, 10], optimizer=["adamw", "muon"], lr=[1e-3, 1e-2], seed=[1, 2, 3]),
        peak_bytes=lambda c: GIB * c["rank"],
        train_seconds=lambda c: 100.0 * c["rank"],
    )


def test_the_planted_factor_leads_and_the_others_are_not_distinguishable_from_none() -> None:
    shares, *effects = section(optimizer_matters()).sentences[:4]
    lead = "Of the variance of last test loss of 8 arms × 3 seeds, more than noise goes to optimizer 99 % "
    assert shares.startswith(f"{lead}(noise alone below 1 %, p < 0.001); not told from noise: ")
    assert "(ANOVA, F test over 3 seeds, for these test windows, Holm-adjusted)" in shares
    assert effects[0].startswith("From optimizer adamw to muon test loss changes by +0.2994 [+0.2854, +0.3135]")
    test = "paired t test over common seeds, for these test windows: 3 seeds; Holm-adjusted p < 0.001"
    assert f"nats/token (averaged over these 4 contexts; {test})." in effects[0]
    assert all("not distinguishable from none" in sentence for sentence in effects[1:])


def test_shares_without_replicates_are_those_of_the_trained_models_and_no_claim() -> None:
    results = planted(lambda c: 2 + c["rank"] / 50 + c["lr"], grid(rank=[1, 10], lr=[1e-3, 1e-2, 1e-1]))
    (shares,) = [sentence for sentence in section(results).sentences if "variance" in sentence]
    lead = "In these trained models alone, of the variance of last test loss of 6 arms × 1 seed, without a test: rank "
    assert shares.startswith(lead)
    assert "(noise alone 20 %)" in shares
    assert shares.endswith("(ANOVA; one seed cannot tell a factor from noise).")


def test_shares_of_a_search_that_follows_losses_are_no_claim() -> None:
    draw = random.Random(0)
    configs = [{"rank": draw.choice([1, 10]), "lr": 10 ** draw.uniform(-5, -1)} for _ in range(20)]
    results = planted(lambda c: 2 + 10 * c["lr"], configs)
    assert "more than noise goes to lr" in section(replace(results, spec={"search": "random"})).sentences[0]
    guided = section(replace(results, spec={"search": "optuna"})).sentences[0]
    assert guided.startswith("In these trained models alone, of the variance of last test loss of 20 trials, without a")
    assert guided.endswith("(fANOVA; the settings were chosen by earlier losses).")


def test_a_method_that_is_a_grid_of_its_own_is_divided_alone() -> None:
    draw = random.Random(0)
    configs = [*grid(rank=[1, 10], lr=[1e-3, 1e-2], seed=[1, 2]), *({**FULL, "lr": 1e-5, "seed": s} for s in (1, 2))]
    made = section(planted(lambda c: 2 + 0.1 * (c["rank"] == 10) + draw.gauss(0, 0.001), configs))
    assert set(made.importance["variance of"]) == {"last test loss of 4 arms × 2 seeds, lora alone"}
    assert made.importance["source"][0] == "rank"
    assert any("no full grid of" in note for note in made.notes)


def test_dominated_arms_and_prices_are_told_with_what_they_rest_on() -> None:
    made = section(optimizer_matters())
    memory, time = [sentence for sentence in made.sentences if "dominated" in sentence]
    lead = "In test loss against peak memory, 4 of 8 arms are dominated beyond chance: lora r1 muon"
    assert memory.startswith(lead)
    assert "by means alone 3 more would be (tests of two arms, Bonferroni-adjusted for 28 pairs)" in memory
    assert memory.endswith("The front of the means: lora r1 adamw lr=0.001.")
    assert time.startswith("In test loss against training time, no arm is told to be dominated; by means alone 7 would")
    price = made.sentences[-1]
    assert "s of training with lora r1 adamw" in price
    assert "lora r10 muon" in price
    assert len(made.costs) == 8


def test_one_pair_of_trials_is_told_without_interval_or_test() -> None:
    made = section(planted(lambda c: 2.0 + c["rank"] / 100, grid(rank=[1, 10])))
    lead = "From rank 1 to 10 test loss changes by +0.0900 nats/token"
    assert made.sentences == [f"{lead} (one pair of trials, so without an interval or a test)."]
    assert any("two factors" in note for note in made.notes)


def test_arms_that_diverged_are_counted_and_left_out() -> None:
    results = planted(lambda c: 2.0, [*grid(rank=[1, 10]), {"rank": 100, "outcome": "diverged"}])
    made = section(results)
    assert made.notes[0] == "1 of 3 arms did not finish and are left out, diverged ones too."
    assert set(made.effects["to"]) == {"10"}


def test_without_two_finished_arms_nothing_can_matter() -> None:
    results = planted(lambda c: 2.0, grid(rank=[1]))
    assert what_mattered(evidence_of(results), fronts_of(group_arms(results))) is None


def tuned() -> Results:
    """Two ranks at their own learning rates, which 20 tuning trials each have chosen."""
    draw = random.Random(0)
    space = [{"method": "lora", "rank": [1, 10], "lr": {"low": 1e-5, "high": 1e-1, "log": True}}]
    trials = [{"rank": rank, "lr": 10 ** draw.uniform(-5, -1), "evaluate_on": Stage.TUNING} for rank in (1, 10) * 20]
    tuning = planted(lambda c: 2 + c["lr"], trials)
    names = {trial: f"tuning-{trial}" for trial in tuning.trials["trial"]}
    rows = tuning.trials.assign(trial=tuning.trials["trial"].map(names)).rename(
        columns={"test_loss": "validation_loss"}
    )
    arms = [{"rank": 1, "lr": 1e-3}, {"rank": 10, "lr": 4e-4}]
    results = planted(lambda c: 2.0 - c["rank"] / 100, [{**arm, "seed": seed} for arm in arms for seed in (1, 2)])
    curves = results.curves.rename(columns={"test_loss": "validation_loss"})
    configs = results.configs | {names[trial]: config for trial, config in tuning.configs.items()}
    trials_with = results.trials.assign(validation_loss=results.trials["test_loss"])
    spec = {"search": "tuned", "space": space}
    return replace(
        results, tuning=rows.drop(columns="arm"), curves=curves, configs=configs, spec=spec, trials=trials_with
    )


def test_what_was_tuned_is_judged_by_its_tuning_trials() -> None:
    results = tuned()
    assert searched_fields(results.spec) == ["lr"]
    made = section(results)
    assert made.effects[["factor", "from", "to"]].to_numpy().tolist() == [["rank", "1", "10"]]
    shares = made.importance
    assert set(shares["variance of"]) == {"last validation loss of 40 trials"}
    assert shares["source"][0] == "lr"
    assert any("read from the tuning trials" in note for note in made.notes)
    assert any(name.startswith("validation loss gained") for name in made.costs)
    assert made.costs.iloc[0, 1].startswith(f"{START - 2 + 0.1:.4f}")


def test_a_grid_has_nothing_tuned() -> None:
    assert searched_fields({"search": "random", "space": [{"lr": {"low": 1, "high": 2}}]}) == []
    assert searched_fields({}) == []


def test_a_sweep_that_reports_neither_cost_nor_start_still_has_its_effects() -> None:
    results = planted(lambda c: 2.0 + c["rank"] / 100, grid(rank=[1, 10]))
    made = section(replace(results, curves=pd.DataFrame(columns=["trial", "arm", "seed", "step"])))
    assert made.costs.empty
    assert any("no finished arm has a loss at step 0" in note for note in made.notes)
    assert len(made.effects) == 1
