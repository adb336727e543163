"""analysis.comparison.pair_tests and findings: what is claimed follows from the numbers, and no more than that."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.comparisons import adjusted
from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_tests import compare_rewards, compare_test_losses, compare_wins
from analysis.findings.what_it_shows import findings_of
from analysis.results.experiment import Results, read_experiment
from analysis.statistics.bootstrap import bootstrap_test
from analysis.statistics.multiple_tests import holm
from analysis.tables.comparison_table import build_tables
from analysis.tables.tuning_trials import describe_tuning
from tests import synthetic_experiment as synthetic


def text_of(results: Results, tables: list[dict[str, object]]) -> dict[str, str]:
    """The sentences of each finding by its topic."""
    arms = group_arms(results)
    found = findings_of(
        evidence_of(results),
        build_tables(arms, {"tables": tables}, looks=1),
        describe_tuning(evidence_of(results)),
    )
    return {finding.topic: " ".join(finding.sentences) for finding in found}


def test_arm_that_wins_beyond_chance_is_named_and_one_that_does_not_is_too() -> None:
    results = read_experiment(synthetic.directory())
    said = text_of(results, [])["Against the base model"]
    assert "Wins exceed losses, and by more than chance, in full adamw (34 to 4, p < 0.001)." in said
    p_value = 6 * stats.binomtest(26, 38).pvalue  # the second smallest of seven: six hypotheses are left
    assert f"lora r1 adamw (26 to 12, p = {p_value:.3f})" in said.split("Not distinguishable")[1]


def test_rewards_are_compared_on_the_same_prompts_and_adjusted_for_all_pairs() -> None:
    arms = group_arms(synthetic.in_memory({"rank": 1}, {"rank": 10}, {"rank": 100}))
    margins = [np.array(synthetic.margins({**synthetic.CONFIG, "rank": rank})) for rank in (1, 10, 100)]
    expected = [bootstrap_test(a - b) for a, b in combinations(margins, 2)]
    found = adjusted(compare_rewards(arms), looks=1)
    assert [one.difference for one in found] == [pytest.approx(one[:3]) for one in expected]
    assert [one.p_value for one in found] == pytest.approx(holm([one.p_value for one in expected]))
    assert found[0].gap.estimate == pytest.approx(0.30)  # four prompts by 1 and four by 2, of 40
    assert (found[0].better, found[0].worse, found[0].over_seeds) == ("lora r1 adamw", "lora r10 adamw", False)


def test_reward_has_to_differ_over_seeds_too() -> None:
    seeds = [{"rank": rank, "seed": seed} for rank in (1, 10) for seed in (1, 2)]
    results = synthetic.in_memory(*seeds)
    rows = results.responses
    noise = np.random.default_rng(1).normal(size=len(rows))
    rows["reward"] = rows["base_reward"] + 0.1 * noise
    rows.loc[(rows["trial"] == "trial-0"), "reward"] += 2.0  # one seed of rank 1 is far better, the other is not
    (both,) = adjusted(compare_rewards(group_arms(results)), looks=1)
    (one,) = adjusted(compare_rewards(group_arms(synthetic_subset(results, ["trial-0", "trial-2"]))), looks=1)
    assert one.differs
    assert (both.over_seeds, both.differs) == (True, False)


def synthetic_subset(results: Results, trials: list[str]) -> Results:
    """The results of some of the trials alone."""
    kept = results.trials[results.trials["trial"].isin(trials)]
    return replace(results, trials=kept, responses=results.responses[results.responses["trial"].isin(trials)])


def test_wins_of_two_arms_are_counted_prompt_by_prompt() -> None:
    arms = group_arms(synthetic.in_memory({"rank": 1}, {"rank": 10}))
    (pair,) = adjusted(compare_wins(arms), looks=1)
    assert (pair.wins, pair.ties, pair.losses) == (8, 32, 0)
    assert pair.p_value == pytest.approx(2 / 2**8)


def test_with_one_seed_no_test_loss_difference_is_called_certain() -> None:
    said = text_of(synthetic.in_memory({"rank": 1}, {"rank": 10}), [{"title": "Ranks", "factor": "rank"}])
    assert "All arms are tested on the same sample of windows." in said["What it rests on"]
    assert "How far another seed or another sample would move a difference" in said["What it rests on"]
    assert "lora r10 adamw (1.9800), 0.0200 below lora r1 adamw, a difference without an interval" in said["Ranks"]


def test_with_one_seed_a_difference_of_rewards_is_one_of_these_trained_models() -> None:
    said = text_of(synthetic.in_memory({"rank": 1}, {"rank": 10}), [{"title": "Ranks"}])
    assert "1 of 1 pair differs by more than the choice of prompts explains" in said["Ranks"]
    assert "beyond uncertainty" not in said["Ranks"]
    for topic in ("Ranks", "Against the base model"):
        assert "it speaks of these trained models, and other seeds may change it" in said[topic]


def test_prompt_counts_as_won_where_it_is_won_in_more_seeds_than_lost() -> None:
    results = synthetic.in_memory({"seed": 1}, {"seed": 2}, {"seed": 3})
    rows = results.responses
    rows["reward"] = rows["base_reward"]
    lost = (rows["seed"] == 3) & (rows["index"] < 30)
    won = (rows["seed"] < 3) & (rows["index"] < 30)
    rows.loc[won, "reward"] += 1.0
    rows.loc[lost, "reward"] -= 9.0  # the mean margin is below zero where two seeds of three win
    said = text_of(results, [])["Against the base model"]
    assert "Prompts won in more seeds than lost exceed prompts lost in more seeds than won" in said
    assert "lora r1 adamw (30 to 0, p < 0.001)" in said
    assert "not that of seeds" in said


def test_prompts_that_could_not_be_compared_are_counted() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    lost = (results.responses["trial"] == "trial-0") & (results.responses["index"] == 5)
    results = replace(results, responses=results.responses[~lost])
    said = text_of(results, [{"title": "Ranks"}])
    assert "lora r1 adamw on 39 of 40 prompts" in said["Against the base model"]
    assert "the pairs are compared on 39 of 40 prompts" in said["Ranks"]


def with_test_losses(losses: dict[int, list[float]]) -> Results:
    """Trials of each rank with these test losses for seeds 1, 2 and so on."""
    seeds = [{"rank": rank, "seed": seed + 1} for rank, values in losses.items() for seed in range(len(values))]
    results = synthetic.in_memory(*seeds)
    results.trials["test_loss"] = [value for values in losses.values() for value in values]
    return results


LOSSES = {1: [2.00, 2.30, 2.61], 10: [1.98, 2.27, 2.60], 100: [1.90, 2.21, 2.50]}


def test_with_common_seeds_test_losses_are_compared_by_pairs_and_adjusted() -> None:
    results = with_test_losses(LOSSES)
    plain = sorted(stats.ttest_rel(LOSSES[a], LOSSES[b]).pvalue for a, b in ((1, 10), (1, 100), (10, 100)))
    expected = [3 * plain[0], max(3 * plain[0], 2 * plain[1]), max(3 * plain[0], 2 * plain[1], plain[2])]
    assert len({round(value, 12) for value in plain}) == 3
    assert sorted(one.p_value for one in adjusted(compare_test_losses(group_arms(results)), looks=1)) == pytest.approx(
        expected
    )
    said = text_of(results, [{"title": "R"}])["R"]
    assert (
        "In test loss (paired t test over common seeds, for these test windows; Holm-adjusted for 3 pairs; in brackets"
        in said
    )


def test_lowest_test_loss_says_what_it_cannot_be_told_apart_from() -> None:
    seeds = [{"rank": rank, "seed": seed} for rank in (1, 10, 100) for seed in (1, 2, 3)]
    results = synthetic.in_memory(*seeds)

    def told(*losses: float) -> str:
        results.trials["test_loss"] = losses
        return text_of(synthetic.with_window_losses(results), [{"title": "Ranks"}])["Ranks"]

    tied = told(2.200, 2.201, 2.202, 1.980, 1.981, 1.995, 1.970, 1.990, 1.985)
    assert "Lowest last test loss: lora r100 adamw (1.9817 [" in tied
    assert "do not tell apart from lora r10 adamw, with which it shares a letter." in tied
    assert "2 of 3 pairs differ beyond uncertainty" in tied
    alone = told(2.200, 2.201, 2.202, 1.980, 1.981, 1.982, 1.770, 1.770, 1.770)
    assert "which the tests that follow tell apart from every other arm." in alone
    none = told(2.0, 2.1, 2.2, 2.1, 2.0, 2.2, 2.2, 2.1, 2.03)
    assert "Last test loss singles out no arm: it goes from lora r1 adamw (2.1000 [" in none
    assert "Lowest" not in none.split("Learning rate")[0]


def test_with_one_seed_windows_tell_trained_models_apart_and_no_arms() -> None:
    results = synthetic.with_window_losses(synthetic.in_memory({"rank": 1}, {"rank": 10}))
    said = text_of(results, [{"title": "Ranks"}])
    assert "How far another seed would move a difference in test loss is unknown" in said["What it rests on"]
    assert "tell apart from every other arm, as far as these trained models go." in said["Ranks"]
    assert (
        "In test loss of these trained models alone (paired t test over windows; Holm-adjusted for 1 pair"
        in said["Ranks"]
    )
    assert "1 of 1 pair differs by more than the choice of windows explains: lora r10 adamw below" in said["Ranks"]


def test_without_common_seeds_test_losses_are_compared_by_welch() -> None:
    results = synthetic.in_memory(*[{"rank": r, "seed": s} for r, s in ((1, 1), (1, 2), (10, 3), (10, 4))])
    (pair,) = adjusted(compare_test_losses(group_arms(results)), looks=1)
    expected = stats.ttest_ind([2.00, 2.01], [2.00, 2.01], equal_var=False).pvalue
    assert (pair.method[:5], pair.p_value) == ("Welch", pytest.approx(expected))


def test_seeds_that_were_lost_are_named_where_losses_are_ranked() -> None:
    trials = [{"rank": 1, "seed": 1}, {"rank": 1, "seed": 2}, {"rank": 10, "seed": 1}]
    results = synthetic.in_memory(*trials, {"rank": 10, "seed": 2, "outcome": "diverged"})
    said = text_of(results, [{"title": "Ranks"}])["Ranks"]
    assert "lora r10 adamw, 1 of 2 seeds finished (1.9800), 0.0200 below lora r1 adamw on 1 common seed" in said
    assert "which may flatter: lora r10 adamw, 1 of 2 seeds finished." in said
    (pair,) = adjusted(compare_rewards(group_arms(results)), looks=1)
    (alone,) = adjusted(compare_rewards(group_arms(synthetic.in_memory(trials[0], trials[2]))), looks=1)
    assert pair == alone  # on the seed that both have
    one = text_of(synthetic.in_memory({"seed": 1}, {"seed": 2, "outcome": "failed"}), [])
    assert "Every arm has one finished seed." in one["What it rests on"]


def test_test_losses_on_different_windows_are_not_ranked() -> None:
    sizes = [{"block_size": size, "seed": seed} for size in (32, 64) for seed in (1, 2)]
    results = synthetic.in_memory(*sizes)
    assert adjusted(compare_test_losses(group_arms(results)), looks=1) == []
    said = text_of(results, [{"title": "Sizes"}])
    assert "tested on different windows (block_size differs)" in said["What it rests on"]
    assert "Lowest last test loss with block_size=32, test_windows=4: lora r1 adamw block_size=32" in said["Sizes"]
    assert "below" not in said["Sizes"]
    (table,) = build_tables(group_arms(results), {}, looks=1)
    assert "The rows are tested on different windows" in " ".join(table.notes)


def test_peak_memory_is_compared_as_a_ratio() -> None:
    said = text_of(synthetic.in_memory({"method": "full", "rank": None}, {}), [{"title": "Methods"}])["Methods"]
    # 2700 MiB beside 1230 MiB
    assert "from 1.20 GiB (lora r1 adamw) to 2.64 GiB (full adamw): 2.20 times as much, 1.44 GiB more" in said


def test_peaks_measured_in_different_ways_are_not_compared() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    results.trials["peak_source"] = ["cuda allocator", "cpu tensors"]
    assert "is not compared" in text_of(results, [{"title": "Ranks"}])["Ranks"]


def test_test_loss_that_rose_again_is_told() -> None:
    said = text_of(synthetic.in_memory({"method": "full", "rank": None}), [{"title": "Full"}])["Full"]
    ends = "Test loss ends above the lowest of its evaluations in full adamw"
    assert f"{ends}: from 1.6550 (step 30) to 1.6800, by 0.0250" in said
    assert "The lowest of 5 evaluations lies below the last by chance too, and one seed cannot tell." in said


def test_a_rise_of_test_loss_that_all_seeds_share_is_told_from_chance() -> None:
    def told(noise: float) -> str:
        results = synthetic.in_memory(*[{"method": "full", "rank": None, "seed": seed} for seed in (1, 2, 3)])
        results.curves["test_loss"] += noise * np.random.default_rng(0).normal(size=len(results.curves))
        return text_of(results, [{"title": "Full"}])["Full"]

    assert "Test loss rose again after its best in full adamw: from 1.6650 (step 30) to 1.6900" in told(1e-4)
    assert re.search(r"Beyond chance it rose in full adamw by 0\.02\d\d \[0\.02\d\d, 0\.02\d\d\], p ", told(1e-4))
    assert "rose" not in told(1.0)
    assert "In none is that more than chance (paired t test over seeds, for these test windows" in told(1.0)


def test_best_learning_rate_at_the_end_of_the_range_is_told() -> None:
    results = synthetic.in_memory({"lr": 1e-4}, {"lr": 1e-3}, {"lr": 1e-2})
    results.trials["test_loss"] = [2.2, 2.1, 2.0]
    said = text_of(results, [{"title": "Rates", "factor": "lr"}])["Rates"]
    assert "0.01 (an end of the range tried)" in said
    results.trials["test_loss"] = [2.2, 2.0, 2.1]
    assert "an end of the range" not in text_of(results, [{"title": "Rates", "factor": "lr"}])["Rates"]


def test_learning_rate_that_diverged_belongs_to_the_range_tried() -> None:
    results = synthetic.in_memory({"lr": 1e-4}, {"lr": 1e-3}, {"lr": 1e-2, "outcome": "diverged"})
    results.trials["test_loss"] = [2.2, 2.0, 2.1]
    said = text_of(results, [{"title": "Rates", "factor": "lr"}])["Rates"]
    assert "Learning rate with the lowest last test loss: 0.001 (0.01 diverged) for all. It is the best of" in said
    assert "an end of the range" not in said


def test_learning_rate_that_ran_out_of_memory_belongs_to_the_range_tried_and_is_told() -> None:
    results = synthetic.in_memory({"lr": 1e-4}, {"lr": 1e-3}, {"lr": 1e-2, "outcome": "out of memory"})
    results.trials["test_loss"] = [2.2, 2.0, 1.0]
    said = text_of(results, [{"title": "Rates", "factor": "lr"}])["Rates"]
    assert "Lowest last test loss: lora r1 adamw lr=0.001" in said
    assert "0.001 (0.01 out of memory) for all." in said
    assert "Ran out of memory for good: lora r1 adamw lr=0.01." in said


def test_best_steps_of_several_seeds_are_told_as_a_range() -> None:
    results = synthetic.in_memory(*[{"method": "full", "rank": None, "seed": seed} for seed in (1, 2)])
    results.trials["test_loss_best_step"] = [20, 40]
    assert "(step 20 to 40)" in text_of(results, [{"title": "Full"}])["Full"]


def test_tables_of_the_same_arms_are_told_once() -> None:
    said = text_of(
        synthetic.in_memory({"rank": 1}, {"rank": 10}), [{"title": "All"}, {"title": "Ranks", "factor": "rank"}]
    )
    assert list(said) == ["What it rests on", "Against the base model", "All"]


def test_many_pairs_are_counted_and_not_all_named() -> None:
    ranks = [{"rank": rank, "optimizer": name} for rank in (1, 10, 100) for name in ("sgd", "adamw", "momentum")]
    said = text_of(synthetic.in_memory(*ranks), [{"title": "All"}])["All"]
    assert re.search(r"(\d+) of 36 pairs differ: .* and \d+ more\.", said)


def test_wins_that_two_files_count_differently_are_reported() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    results.trials.loc[1, "wins"] += 1
    said = text_of(results, [])["What it rests on"]
    assert "The wins in result.json and in responses.jsonl disagree for lora r10 adamw." in said


def test_wins_of_several_seeds_that_two_files_count_differently_are_reported() -> None:
    results = synthetic.in_memory(*({"rank": rank, "seed": seed} for rank in (1, 10) for seed in (1, 2)))
    assert "disagree" not in text_of(results, [])["What it rests on"]
    results.trials.loc[3, "wins"] += 1
    assert "responses.jsonl disagree for lora r10 adamw." in text_of(results, [])["What it rests on"]


def test_sweep_in_which_nothing_finished_claims_nothing() -> None:
    results = synthetic.in_memory({"outcome": "failed"}, {"rank": 10, "outcome": "failed"})
    said = text_of(results, [{"title": "All"}])
    assert said == {
        "What it rests on": "0 of 2 trials finished (2 failed). Without a finished trial there is nothing to compare."
    }


def test_right_answers_are_told_in_their_own_words() -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    results = replace(
        results,
        spec={"reward": {"judge": {"match": "number", "reference": "answer"}}},
        trials=results.trials.assign(reward_mean=[0.75, 0.5], reward_base_mean=0.25),
    )
    said = text_of(results, [])
    told = " ".join(said.values())
    assert "Right answers of 40 prompts: 30 in lora r1 adamw, 20 in lora r10 adamw; 10 by the base model." in told
    assert "In share of right answers on the same prompts" in told
    del said["What it rests on"]
    assert "reward" not in " ".join(said.values())
    [table] = build_tables(group_arms(results), {}, looks=1)
    row = dict(table.frame.set_index("arm").loc["lora r1 adamw"])
    low, high = stats.binomtest(30, 40).proportion_ci(0.95, method="wilson")
    assert row["share of right answers"] == f"0.75 [{low:.2f}, {high:.2f}]"
    assert row["right answers against base"].startswith("+0.35 [")
    assert "reward margin" not in row
    assert "40 prompts whose response gives the reference's answer" in " ".join(table.notes)
    assert "the base model's is 0.25" in " ".join(table.notes)
