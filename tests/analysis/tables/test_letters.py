"""analysis.tables.letters: arms share a letter exactly if no test tells them apart, and one seed gives no letters."""

from itertools import combinations

import numpy as np
import pytest

from analysis.comparison.choices import looks_at
from analysis.comparison.comparisons import adjusted
from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_tests import compare_test_losses
from analysis.findings.forgetting import describe_forgetting_pairs
from analysis.results.experiment import Results
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.tables.letters import assign_letters, letters_of
from analysis.tables.pairwise import pairwise_table
from tests import synthetic_experiment as synthetic

LETTERS = "letters"


def table_of(results: Results, spec: dict[str, object] | None = None) -> ComparisonTable:
    (table,) = build_tables(group_arms(results), spec or {}, looks_at(spec or {}))
    return table


def test_letters_of_a_chain_by_hand() -> None:
    # The best and the worst differ, the middle one from neither.
    assert assign_letters(["best", "middle", "worst"], [("best", "worst")]) == {
        "best": "a",
        "middle": "ab",
        "worst": "b",
    }


@pytest.mark.parametrize("seed", range(5))
def test_arms_share_a_letter_exactly_if_they_are_not_told_apart(seed: int) -> None:
    labels = [f"arm {number}" for number in range(8)]
    pairs = list(combinations(labels, 2))
    told = [
        pair for pair, drawn in zip(pairs, np.random.default_rng(seed).random(len(pairs)), strict=True) if drawn < 0.4
    ]
    letters = assign_letters(labels, told)
    assert {pair for pair in pairs if not set(letters[pair[0]]) & set(letters[pair[1]])} == set(told)
    assert letters[labels[0]].startswith("a")


def test_more_than_26_arms_that_all_differ_have_letters_of_their_own() -> None:
    labels = [str(number) for number in range(28)]
    letters = assign_letters(labels, combinations(labels, 2))
    assert (letters["25"], letters["26"], letters["27"]) == ("z", "a1", "b1")


def test_arms_of_equal_losses_share_a_letter() -> None:
    results = synthetic.with_window_losses(
        synthetic.in_memory(*({"test_every": every, "seed": seed} for every in (10, 20) for seed in (1, 2)))
    )
    first = results.window_losses[results.window_losses["trial"] == "trial-0"]["test_loss"].to_numpy()
    results.window_losses["test_loss"] = np.tile(first, 4)
    table = table_of(results)
    assert list(table.frame[LETTERS]) == ["a", "a"]


def three_seeds(*changes: dict[str, object]) -> Results:
    made = [{**change, "seed": seed} for change in changes for seed in (1, 2, 3)]
    results = synthetic.in_memory(*made)
    jitter = np.random.default_rng(4).normal(0, 1e-4, len(made))  # without it all seeds would differ by the same
    results.trials["test_loss"] += jitter
    return synthetic.with_window_losses(results)


def test_table_says_which_arms_cannot_be_told_apart_and_by_which_test() -> None:
    table = table_of(three_seeds({"rank": 1}, {"rank": 1, "lr": 1e-2}, {"rank": 100}))
    names = list(table.frame.columns)
    assert names[names.index("test loss, nats/token") + 1] == LETTERS
    # The two of rank 1 have the same loss, 0.03 above that of rank 100
    assert dict(zip(table.frame["arm"], table.frame[LETTERS], strict=True)) == {
        "lora r1 adamw lr=0.001": "b", "lora r1 adamw lr=0.01": "b", "lora r100 adamw": "a",
    }  # fmt: skip
    (note,) = [note for note in table.notes if "share a letter" in note]
    assert "t test over common seeds and windows, both as samples; Holm-adjusted for 3 pairs; 5 % level" in note


def test_adaptive_seeds_are_adjusted_for_every_look() -> None:
    results = three_seeds({"rank": 1}, {"rank": 100})
    table = table_of(results, {"seeds": {"min": 2, "max": 5}})
    assert "each p-value first multiplied by 4 looks at the data" in " ".join(table.notes)
    arms = group_arms(results)
    (once,), (often,) = adjusted(compare_test_losses(arms), looks=1), adjusted(compare_test_losses(arms), looks=4)
    assert often.p_value == pytest.approx(4 * once.p_value)


def test_with_one_seed_there_are_no_letters_and_the_table_says_why() -> None:
    table = table_of(synthetic.with_window_losses(synthetic.in_memory({"rank": 1}, {"rank": 10})))
    assert LETTERS not in table.frame
    assert "one seed tells these trained models apart, not the arms" in " ".join(table.notes)


def test_arm_that_could_not_be_compared_has_no_letter() -> None:
    results = three_seeds({"rank": 1}, {"rank": 100}, {"rank": 10})
    alone = results.trials["trial"].isin(["trial-7", "trial-8"])  # two of the three seeds of rank 10
    results.trials.loc[alone, "outcome"] = "failed"
    table = table_of(results)
    assert dict(zip(table.frame["arm"], table.frame[LETTERS], strict=True)) == {
        "lora r1 adamw": "b", "lora r100 adamw": "a", "lora r10 adamw": "–",
    }  # fmt: skip


def test_arms_on_different_windows_share_no_letter() -> None:
    results = three_seeds(
        {"block_size": 32}, {"block_size": 32, "rank": 10}, {"block_size": 64}, {"block_size": 64, "rank": 10}
    )
    arms = group_arms(results)
    letters = letters_of(arms, adjusted(compare_test_losses(arms), looks=1))
    unlike = [
        pair for pair in combinations(letters, 2) if pair[0].split("block_size=")[1] != pair[1].split("block_size=")[1]
    ]
    assert len(unlike) == 4
    assert not any(set(letters[a]) & set(letters[b]) for a, b in unlike)


def test_arms_that_forget_alike_share_a_letter_and_those_of_another_base_model_share_none() -> None:
    ranks = [{"rank": rank, "seed": seed} for rank in (1, 10, 100) for seed in (1, 2, 3)]
    rises = {"lora r1 adamw": 0.1, "lora r10 adamw": 0.1, "lora r100 adamw": 0.3}
    (table,) = build_tables(group_arms(synthetic.with_general_losses(synthetic.in_memory(*ranks), rises)), {}, looks=1)
    letters = dict(zip(table.frame["arm"], table.frame["letters by forgetting"], strict=True))
    assert letters == {"lora r1 adamw": "a", "lora r10 adamw": "a", "lora r100 adamw": "b"}
    pairs = pairwise_table(table.arms, table.compared)
    assert pairs is not None
    cells = pairs.frame.set_index(["first", "second"])["forgetting, nats/token: first − second"]
    assert cells["lora r100 adamw", "lora r1 adamw"].startswith("+0.2000 [")
    (sentence,) = describe_forgetting_pairs(table.compared)
    assert "2 of 3 pairs differ beyond uncertainty" in sentence
    models = synthetic.of_models({"A": ("words", "rows"), "B": ("letters", "rows")}, seeds=3)
    told = synthetic.with_general_losses(models, dict.fromkeys(models.trials["arm"].unique(), 0.1))
    assert build_tables(group_arms(told), {}, looks=1)[0].compared.forgetting == []


def test_arms_that_saw_other_windows_of_general_text_are_not_compared_by_forgetting() -> None:
    results = three_seeds({"block_size": 32}, {"block_size": 32, "rank": 10}, {"block_size": 64})
    told = synthetic.with_general_losses(results, dict.fromkeys(results.trials["arm"].unique(), 0.1))
    (table,) = build_tables(group_arms(told), {}, looks=1)
    ((a, b),) = [(pair.a, pair.b) for pair in table.compared.forgetting]
    assert {a, b} == {arm.label for arm in table.arms if arm.config["block_size"] == 32}
    letters = dict(zip(table.frame["arm"], table.frame["letters by forgetting"], strict=True))
    assert letters[a] == letters[b]


def test_what_arms_forget_is_compared_from_the_losses_of_their_own_base() -> None:
    """Base losses differ where arms compute in another precision: arms that end alike then forget unlike."""
    results = synthetic.with_general_losses(
        three_seeds({"rank": 1}, {"rank": 10}), {"lora r1 adamw": 0.1, "lora r10 adamw": 0.1}
    )
    lower = results.general_losses["arm"] == "lora r10 adamw"
    results.general_losses.loc[lower, "general_loss_base"] -= 0.2
    results.trials.loc[results.trials["arm"] == "lora r10 adamw", "forgetting"] += 0.2
    (table,) = build_tables(group_arms(results), {}, looks=1)
    (pair,) = table.compared.forgetting
    assert pair.difference.estimate == pytest.approx(-0.2)
    letters = dict(zip(table.frame["arm"], table.frame["letters by forgetting"], strict=True))
    assert letters == {"lora r1 adamw": "a", "lora r10 adamw": "b"}
