"""The table of pairs shows differences, intervals, adjusted p-values, and whom they speak of."""

import re

import pytest

from analysis.comparison.comparisons import adjusted
from analysis.comparison.grouping import group_arms
from analysis.comparison.pair_choice import MOST_ARMS
from analysis.comparison.pair_tests import compare_pairs, compare_rewards, compare_test_losses
from analysis.tables.pairwise import (
    MOST_PAIRS,
    TOLD_APART,
    WINS,
    pairwise_table,
)
from analysis.wording.numbers import show_p
from tests import synthetic_experiment as synthetic

TEST_LOSS_DIFFERENCE = "test loss, nats/token: first − second"


def test_pair_shows_differences_intervals_and_adjusted_p_values() -> None:
    results = synthetic.in_memory(*[{"rank": rank, "seed": seed} for rank in (1, 10) for seed in (1, 2, 3)])
    results.trials["test_loss"] += [0.0, 0.001, 0.0, 0.001, 0.0, 0.0]
    arms = group_arms(synthetic.with_window_losses(results))
    table = pairwise_table(arms, compare_pairs(arms, looks=2))
    assert table is not None
    (row,) = table.frame.to_dict("records")
    assert (row["first"], row["second"]) == ("lora r10 adamw", "lora r1 adamw")  # the lower test loss comes first
    (loss,) = adjusted(compare_test_losses(arms[::-1]), looks=2)
    estimate, low, high = loss.difference
    assert row[TEST_LOSS_DIFFERENCE] == f"{estimate:+.4f} [{low:+.4f}, {high:+.4f}], {show_p(loss.p_value)}"
    (reward,) = adjusted(compare_rewards(arms[::-1]), looks=2)
    estimate, low, high = reward.difference
    assert row["reward: first − second"] == f"{estimate:+.2f} [{low:+.2f}, {high:+.2f}], {show_p(reward.p_value)}"
    wins = re.fullmatch(r"(\d+)/(\d+)/(\d+), p [<=] [\d.]+", row[WINS])
    assert wins
    assert sum(map(int, wins.groups())) == synthetic.PROMPTS
    notes = " ".join(table.notes)
    assert "Holm-adjusted for 1 pair, each p-value first multiplied by 2 looks at the data" in notes


def test_what_speaks_of_the_trained_models_alone_is_marked() -> None:
    arms = group_arms(synthetic.with_window_losses(synthetic.in_memory({"rank": 1}, {"rank": 10})))
    table = pairwise_table(arms, compare_pairs(arms, looks=1))
    assert table is not None
    # Rank 10 has 0.02 less test loss, with noise of 0.01 on 40 windows; rank 1 wins 8 prompts to none and ties 32
    assert list(table.frame[TOLD_APART]) == ["first better in test loss*; second better in reward*, wins*"]
    assert "* Told apart as these trained models" in " ".join(table.notes)


def test_of_many_arms_the_pairs_with_the_leader_are_shown_and_all_are_counted() -> None:
    changes = [{"rank": rank, "lr": lr} for rank in (1, 10, 100) for lr in (1e-4, 1e-3, 1e-2)]
    table = pairwise_table(
        group_arms(synthetic.in_memory(*changes)), compare_pairs(group_arms(synthetic.in_memory(*changes)), looks=1)
    )
    assert table is not None
    assert MOST_PAIRS < 9 * 8 // 2
    assert len(table.frame) == 8
    assert set(table.frame["first"]) == {"lora r100 adamw lr=0.0001"}
    assert "Of 36 pairs these are the 8 with lora r100 adamw lr=0.0001" in table.notes[0]
    assert "Wins: exact sign test over prompts, ties set apart, Holm-adjusted for 36 pairs." in table.notes
    assert TEST_LOSS_DIFFERENCE not in table.frame  # single seeds without window losses permit no test


def test_without_a_pair_there_is_no_table() -> None:
    assert (
        pairwise_table(group_arms(synthetic.in_memory({})), compare_pairs(group_arms(synthetic.in_memory({})), looks=1))
        is None
    )
    assert (
        pairwise_table(
            group_arms(synthetic.in_memory({"rank": 1}, {"rank": 10}, answered=False)),
            compare_pairs(group_arms(synthetic.in_memory({"rank": 1}, {"rank": 10}, answered=False)), looks=1),
        )
        is None
    )


def test_the_command_that_tests_all_pairs_is_named_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = group_arms(synthetic.in_memory(*({"lr": 1e-4 * (place + 1)} for place in range(MOST_ARMS + 1))))
    for argv, command in (("report.py", "python -m analysis.report"), ("sft-sweep", "sft-sweep")):
        monkeypatch.setattr("sys.argv", [argv])
        table = pairwise_table(arms, compare_pairs(arms))
        assert table is not None
        assert f"pairs are tested; {command}" in table.notes[0]
        assert "EXPERIMENT_DIR --all-pairs tests and shows them all." in table.notes[0]
