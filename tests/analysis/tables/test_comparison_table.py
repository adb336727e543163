"""analysis.tables.comparison_table: one row per arm, printable, with its uncertainty and its trace."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.arms import Arm
from analysis.comparison.choices import looks_at
from analysis.comparison.fields import matches, varying_fields
from analysis.comparison.frame_rows import FrameRows
from analysis.comparison.grouping import group_arms
from analysis.results.company import RAN_ALONE
from analysis.results.experiment import read_experiment
from analysis.statistics.intervals import Interval
from analysis.tables.columns import console_columns
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.wording.numbers import show_bytes, show_interval
from tests import synthetic_experiment as synthetic

TEST = "test loss, nats/token"
CLEAN = str.maketrans("", "", "[],")


@pytest.fixture(scope="module")
def tables() -> dict[str, ComparisonTable]:
    results = read_experiment(synthetic.directory())
    return {table.title: table for table in build_tables(group_arms(results), results.spec, looks_at(results.spec))}


def arms_of(*changes: dict[str, object], answered: bool = True) -> list[Arm]:
    return group_arms(synthetic.in_memory(*changes, answered=answered))


def cells(table: ComparisonTable, arm: str) -> dict[str, str]:
    return dict(table.frame.set_index("arm").loc[arm])


def test_tables_have_the_titles_and_rows_that_the_spec_asks_for(tables: dict[str, ComparisonTable]) -> None:
    rows = {title: list(table.frame["arm"]) for title, table in tables.items()}
    assert rows == {
        "Full fine-tuning": ["full adamw"],
        "LoRA rank": ["full adamw", "lora r1 adamw", "lora r10 adamw", "lora r100 adamw"],
        "Optimizer at LoRA rank 1": [
            f"lora r1 {name}"
            for name in ("sgd", "momentum", "nesterov", "adamw", "adafactor", "muon lr=0.1", "muon lr=1")
        ],
    }


def test_bits_per_byte_stand_beside_the_test_loss_where_a_trial_has_them(tables: dict[str, ComparisonTable]) -> None:
    heading = "test loss, bits/byte"
    assert not any(heading in table.frame for table in tables.values())  # rows as trials wrote them before
    results = synthetic.in_memory({"seed": 1}, {"seed": 2})
    results.trials["test_bits_per_byte"] = results.trials["test_loss"] / 2
    (table,) = build_tables(group_arms(results), {}, 1)
    mean, low, high = (float(part) for part in cells(table, "lora r1 adamw")[heading].translate(CLEAN).split())
    assert mean == pytest.approx(results.trials["test_loss"].mean() / 2, abs=1e-4)
    assert low < mean < high
    assert list(table.frame).index(heading) == list(table.frame).index(TEST) + 1


def test_win_rate_carries_its_wilson_interval_and_counts(tables: dict[str, ComparisonTable]) -> None:
    expected = stats.binomtest(34, 40).proportion_ci(0.95, method="wilson")
    row = cells(tables["LoRA rank"], "full adamw")
    assert row["win rate"] == f"0.85 [{expected.low:.2f}, {expected.high:.2f}]"
    assert row["wins / ties / losses"] == "34/2/4"


def test_reward_margin_carries_a_t_interval_over_prompts(tables: dict[str, ComparisonTable]) -> None:
    margins = np.array([1.0] * 26 + [0.0] * 2 + [-1.0] * 12)
    low, high = stats.t.interval(0.95, 39, margins.mean(), stats.sem(margins))
    assert cells(tables["LoRA rank"], "lora r1 adamw")["reward margin"] == f"+0.35 [{low:+.2f}, {high:+.2f}]"


def test_optimizer_table_shows_where_the_memory_goes(tables: dict[str, ComparisonTable]) -> None:
    row = cells(tables["Optimizer at LoRA rank 1"], "lora r1 adamw")
    # 500 MiB of weights, 10 of gradients, 20 of optimizer state and 700 of the rest are 1230 MiB
    assert (row["peak memory"], row["optimizer state"], row["retained delta"]) == ("1.20 GiB", "20.0 MiB", "36.0 MiB")


def test_failed_and_diverged_arms_stay_in_the_table_without_a_loss(tables: dict[str, ComparisonTable]) -> None:
    failed = cells(tables["Optimizer at LoRA rank 1"], "lora r1 adafactor")
    diverged = cells(tables["Optimizer at LoRA rank 1"], "lora r1 muon lr=1")
    ended = cells(tables["Optimizer at LoRA rank 1"], "lora r1 muon lr=0.1")
    assert (failed["state"], failed[TEST], failed["peak memory"]) == ("failed", "–", "–")
    assert (diverged["state"], diverged[TEST]) == ("diverged at step 20", "diverged")
    assert (ended["state"], ended[TEST]) == ("diverged after step 0", "diverged")
    assert ended["peak memory"] == "–"  # it took no step, so what it allocated is not what training takes


def test_arm_that_ran_out_of_memory_stays_in_the_table_without_its_numbers() -> None:
    (table,) = build_tables(arms_of({"rank": 10}, {"outcome": "out of memory"}), {}, looks=1)
    row = cells(table, "lora r1 adamw")
    assert (row["state"], row[TEST], row["win rate"], row["peak memory"]) == ("out of memory", "–", "–", "–")
    assert cells(table, "lora r10 adamw")["peak memory"] == "1.20 GiB"


def test_every_row_names_the_trial_directories_behind_it(tables: dict[str, ComparisonTable]) -> None:
    for label, directories in tables["LoRA rank"].trace:
        config = json.loads((synthetic.directory() / directories[0] / "params.json").read_text())
        assert config["rank"] == (int(label[6:].split(" ")[0]) if label.startswith("lora") else None)


def test_notes_name_how_the_peak_was_measured_and_the_one_seed(
    tables: dict[str, ComparisonTable],
) -> None:
    notes = " ".join(tables["LoRA rank"].notes)
    assert "Peak memory was measured by: cpu tensors." in notes
    assert "Each arm has one seed (1): one run cannot show how far another seed would move a loss" in notes


def test_one_seed_has_no_interval_and_several_have_that_of_student() -> None:
    arms = arms_of({"seed": 1}, {"seed": 2}, {"seed": 3}, {"rank": 10, "seed": 1})
    (table,) = build_tables(
        arms,
        {"tables": [{"title": "Ranks", "factor": "rank"}]},
        looks=1,
    )
    low, high = stats.t.interval(0.95, 2, 2.01, stats.sem([2.00, 2.01, 2.02]))
    assert cells(table, "lora r1 adamw")[TEST] == f"2.0100 [{low:.4f}, {high:.4f}]"
    assert cells(table, "lora r1 adamw")["seeds"] == "1, 2, 3"
    assert cells(table, "lora r10 adamw")[TEST] == "1.9800"


def test_seeds_that_were_lost_are_counted_beside_those_shown() -> None:
    arms = arms_of({"seed": 1}, {"seed": 2, "outcome": "failed"}, {"seed": 3, "outcome": "diverged"})
    (table,) = build_tables(arms, {"tables": [{"title": "All"}]}, looks=1)
    assert cells(table, "lora r1 adamw")["seeds"] == "1 (1 failed, 1 diverged)"
    assert "Each arm has one finished seed (1): one run cannot show" in " ".join(table.notes)
    assert cells(table, "lora r1 adamw")[TEST] == "2.0000"


def test_seeds_that_answered_the_same_prompts_do_not_narrow_the_win_rate() -> None:
    one, three = (arms_of(*[{"seed": seed} for seed in seeds])[0].wins for seeds in ([1], [1, 2, 3]))
    assert one is not None
    assert three is not None
    assert three.wins == 3 * one.wins  # and so says the note
    (table,) = build_tables(arms_of({"seed": 1}, {"seed": 2}), {}, looks=1)
    assert "Wins / ties / losses are summed over the seeds." in table.notes
    assert three.rate == one.rate


def test_columns_without_a_value_are_left_out() -> None:
    arms = arms_of({})
    without = [FrameRows.of(arm.used.frame.drop(columns="wins")) for arm in arms]
    bare = [replace(arm, used=used, seed_margins=arm.seed_margins[:0]) for arm, used in zip(arms, without, strict=True)]
    (table,) = build_tables(bare, {"tables": [{"title": "All"}]}, looks=1)
    assert TEST in table.frame
    assert "win rate" not in table.frame


def test_without_tables_in_the_spec_there_is_one_of_all_arms() -> None:
    arms = arms_of({"rank": 1}, {"rank": 10}, {"rank": 10, "lr": 1e-2})
    (table,) = build_tables(arms, {}, looks=1)
    assert table.title == "All arms"
    assert len(table.frame) == 3


def test_rows_of_a_factor_follow_its_levels() -> None:
    arms = arms_of({"lr": 1e-2}, {"rank": 100, "lr": 1e-4}, {"method": "full", "rank": None, "lr": 1e-3})
    order = {}
    for factor in ("rank", "lr"):
        (table,) = build_tables(arms, {"tables": [{"factor": factor}]}, looks=1)
        order[factor] = list(table.frame["arm"])
    assert order["rank"] == ["full adamw", "lora r1 adamw", "lora r100 adamw"]
    assert order["lr"] == ["lora r100 adamw", "full adamw", "lora r1 adamw"]


def test_field_that_does_not_apply_to_an_arm_is_no_difference() -> None:
    arms = arms_of({"alpha": 32.0}, {"method": "full", "rank": None, "alpha": None})
    assert varying_fields(arms) == ["method"]
    assert "clip_norm" in varying_fields(arms_of({"clip_norm": 1.0}, {"clip_norm": None}))


def test_table_that_no_trial_matches_says_so() -> None:
    (table,) = build_tables(
        arms_of({}),
        {"tables": [{"title": "Full", "where": {"method": "full"}}]},
        looks=1,
    )
    assert table.frame.empty
    assert table.notes == ["No trial of this sweep matches this table."]


def test_tables_of_the_same_title_have_anchors_of_their_own() -> None:
    anchors = [
        table.anchor
        for table in build_tables(
            arms_of({}),
            {"tables": [{"title": "A b"}, {"title": "A b"}]},
            looks=1,
        )
    ]
    assert anchors == ["a-b", "a-b-2"]


def test_anchor_is_short_and_free_whatever_the_titles_are() -> None:
    listed = [{"title": title} for title in ("A b", "A b 2", "A b", "x" * 300, "x" * 299)]
    anchors = [table.anchor for table in build_tables(arms_of({}), {"tables": listed}, looks=1)]
    assert anchors == ["a-b", "a-b-2", "a-b-3", "x" * 60, "x" * 60 + "-2"]


@pytest.mark.parametrize("tables", ["all", {"title": "One"}, [3], None])
def test_tables_that_are_no_list_of_tables_are_passed_over(tables: object) -> None:
    assert [table.title for table in build_tables(arms_of({}), {"tables": tables}, looks=1)] == ["All arms"]


def test_small_intervals_keep_significant_digits() -> None:
    assert show_interval(Interval(-0.0003, -0.0021, 0.0015), 2, signed=True) == "-0.0003 [-0.0021, +0.0015]"
    assert show_interval(Interval(-0.001, -0.4, 0.4), 2, signed=True) == "+0.00 [-0.40, +0.40]"
    assert show_interval(Interval(0.0, 0.0, 0.0), 2) == "0.00 [0.00, 0.00]"
    # what is left of additions in another order
    assert show_interval(Interval(-1e-16, -2e-15, 1e-15), 4, signed=True) == "+0.0000 [+0.0000, +0.0000]"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"rank": 1}, True),
        ({"rank": [1, 10]}, True),
        ({"rank": [10, 100]}, False),
        ({"targets": ["attn.c_attn"]}, True),
        ({"rank": None}, False),
        ({"no_such_field": 1}, False),
    ],
)
def test_where_takes_a_value_or_a_list_of_them(where: dict[str, object], found: bool) -> None:
    assert matches(synthetic.CONFIG, where) is found


def test_narrow_terminal_keeps_arm_test_loss_and_win_rate(tables: dict[str, ComparisonTable]) -> None:
    kept = console_columns(tables["LoRA rank"].frame, 50)
    assert list(kept) == ["arm", TEST, "win rate"]
    assert sum(kept.values()) + 2 * (len(kept) - 1) <= 50


def test_bytes_are_shown_in_the_largest_unit_of_which_there_is_one() -> None:
    values = (0.0, -512.0, 2**10, 3.5 * 2**20, 2**30 - 2**20, 2**30)
    assert [show_bytes(value) for value in values] == ["0 B", "-512 B", "1.0 KiB", "3.5 MiB", "1,023.0 MiB", "1.00 GiB"]


@pytest.mark.parametrize(
    ("alone", "told"),
    [
        ([True, True], "It compares where trials ran alone"),
        ([True, False], "Throughput was shared: trials of lora r10 adamw ran side by side"),
        ([False, False], "Throughput was shared: trials of every row ran side by side"),
        ([None, None], "It compares where trials ran alone"),  # nobody knows
    ],
)
def test_speeds_of_trials_that_shared_a_device_are_said_to_be_shared(alone: list[bool | None], told: str) -> None:
    results = synthetic.in_memory({"rank": 1}, {"rank": 10})
    arms = group_arms(replace(results, trials=results.trials.assign(**{RAN_ALONE: alone})))
    (table,) = build_tables(arms, {"tables": []}, looks=1)
    (note,) = [note for note in table.notes if note.startswith("tokens/s")]
    assert told in note


def test_margins_that_are_all_the_same_have_no_interval() -> None:
    results = synthetic.in_memory({})
    results.responses["reward"] = results.responses["base_reward"] + 1.0
    (arm,) = group_arms(results)
    assert arm.margin.estimate == 1.0
    assert not arm.margin.known
    (table,) = build_tables([arm], {}, looks=1)
    assert cells(table, "lora r1 adamw")["reward margin"] == "+1.00"
