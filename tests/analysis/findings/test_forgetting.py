"""What a report says of forgetting, in its tables and in its words, and that it says nothing where there is none."""

import json
from pathlib import Path

from analysis.comparison.forgetting import measure_forgetting
from analysis.comparison.grouping import group_arms
from analysis.findings.forgetting import describe_forgetting
from analysis.results.experiment import Results
from analysis.results.files import read_trial_files
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.tables.notes import FORGETTING_NOTE
from tests import synthetic_experiment as synthetic

HEADING = "forgetting, nats/token"
FORGETS, KEEPS = "lora r1 adamw", "lora r10 adamw"


def table_of(results: Results) -> ComparisonTable:
    (table,) = build_tables(group_arms(results), {}, 1)
    return table


def results_of(*, seeds: int, **rises: float) -> Results:
    changes = [{"rank": rank, "seed": seed} for rank in (1, 10) for seed in range(seeds)]
    of_arms = {FORGETS: rises["r1"], KEEPS: rises["r10"]}
    return synthetic.with_general_losses(synthetic.in_memory(*changes), of_arms)


def test_a_column_with_interval_and_test_stands_behind_the_losses_where_it_was_measured() -> None:
    assert HEADING not in table_of(synthetic.in_memory({"seed": 0})).frame
    table = table_of(results_of(seeds=2, r1=0.2, r10=0.0))
    cells = dict(zip(table.frame["arm"], table.frame[HEADING], strict=True))
    assert cells[FORGETS].startswith("+0.2000 [+0.19")
    assert cells[FORGETS].endswith("], p < 0.001")
    assert cells[KEEPS].startswith("+0.0000 [")
    assert float(cells[KEEPS].partition("p = ")[2]) > 0.05
    assert list(table.frame)[list(table.frame).index(HEADING) - 1] == "best test loss @ step"
    assert FORGETTING_NOTE.format(base="the base model") in table.notes


def test_the_sentence_names_the_arms_that_forget_most_and_least_and_the_test() -> None:
    [sentence] = describe_forgetting(table_of(results_of(seeds=2, r1=0.2, r10=0.05)).forgotten, 1)
    assert sentence.startswith(
        "Against the base model, and beyond chance, loss on general text rose in 2 of 2 arms, most in lora r1 adamw, by"
    )
    assert ", p < 0.001, least in lora r10 adamw, by +0.0500 [" in sentence
    assert sentence.endswith("(t test over common seeds and windows, both as samples; Holm-adjusted for 2 arms).")


def test_a_fall_is_no_rise_and_one_seed_speaks_of_its_trained_models_alone() -> None:
    [sentence] = describe_forgetting(table_of(results_of(seeds=1, r1=0.2, r10=-0.1)).forgotten, 1)
    assert "rose in 1 of 2 arms, most in lora r1 adamw, by +0.2000" in sentence
    assert "and fell in 1 of 2 arms, most in lora r10 adamw, by -0.1000" in sentence
    assert "(paired t test over windows, which speaks of these trained models alone;" in sentence


def test_what_chance_explains_is_called_that() -> None:
    [sentence] = describe_forgetting(table_of(results_of(seeds=2, r1=0.0, r10=0.0)).forgotten, 1)
    assert "loss on general text rises most in " in sentence
    assert "; in no arm is that more than chance (" in sentence
    assert describe_forgetting([], 1) == []


def test_losses_by_window_are_read_in_pairs_or_not_at_all(tmp_path: Path) -> None:
    kept = {"test_loss": [1.0], "general_loss": [2.0, 3.0], "general_loss_base": [1.5, 2.5]}
    path = tmp_path / "window_losses.json"
    path.write_text(json.dumps(kept))
    assert read_trial_files(tmp_path).general_losses == [(2.0, 1.5), (3.0, 2.5)]
    path.write_text(json.dumps({**kept, "general_loss_base": [1.5]}))
    assert read_trial_files(tmp_path).general_losses == []
    path.write_text(json.dumps({"test_loss": [1.0]}))
    assert read_trial_files(tmp_path).general_losses == []


def test_one_row_of_general_text_is_told_as_one_row() -> None:
    results = synthetic.with_general_losses(synthetic.in_memory({"seed": 0}), {FORGETS: 0.2}, windows=1)
    (sentence,) = describe_forgetting(measure_forgetting(group_arms(results), 1), 1)
    assert sentence.endswith("; of one row one seed can't tell.")
