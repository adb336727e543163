"""The ledger of the published study's own runs: each of its known faults is found, and gone once the fault is.

The faults are those that a close reading found: "GPU memory" is a retained delta (1), LoRA trains more than adapters
(2), one learning rate and a scaling that falls with the rank (3), optimizer rows that differ in weight decay and
learning rate (4), adapters dropped before judging (5), win rates that its own counts contradict, ties, one seed, no
interval (6), and test windows drawn anew (7). That its generation and its tokenising were slow (8) is no matter of
fairness.
"""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.fairness import flags as fairness_flags
from analysis.fairness import ledger as fairness
from analysis.fairness import rows as ledger_rows
from analysis.fairness import tuning_flags as fairness_tuning
from analysis.fairness import words as ledger_words
from analysis.fairness.ledger import Ledger
from analysis.fairness.rows import LedgerRow
from analysis.published.runs import load_settings, published_ledgers, published_rows

RANKS, OPTIMIZERS = "LoRA rank", "Optimizer at LoRA rank 1"
Change = Callable[[LedgerRow], LedgerRow]


def configured(**values: object) -> Change:
    """Rows with other values in their config, where the field applies."""
    return lambda row: replace(row, config={**row.config, **{k: v for k, v in values.items() if k in row.config}})


def known(**facts: object) -> Change:
    return lambda row: replace(row, facts={**row.facts, **{name: (value,) for name, value in facts.items()}})


def without(*names: str) -> Change:
    return lambda row: replace(row, numbers={name: row.numbers[name] for name in row.numbers if name not in names})


def counted(row: LedgerRow) -> LedgerRow:
    """A row that states the rate of its counts."""
    rate = {"win_rate": row.numbers["wins"] / row.numbers["asked"]} if "wins" in row.numbers else {}
    return replace(row, numbers={**row.numbers, **rate})


def lower_rate(row: LedgerRow) -> LedgerRow:
    """A tenth of the learning rate for full fine-tuning."""
    return configured(lr=row.config["lr"] / 10)(row) if row.config["method"] == "full" else row


def scaled(row: LedgerRow) -> LedgerRow:
    """An alpha that grows with the rank."""
    return configured(alpha=row.config["rank"])(row)


def peaked(row: LedgerRow) -> LedgerRow:
    return replace(row, numbers={**row.numbers, "peak_bytes": 42e9})


def bounded(row: LedgerRow) -> LedgerRow:
    return replace(row, numbers={**row.numbers, "win_rate_low": 0.4})


def moved(row: LedgerRow) -> LedgerRow:
    """Nesterov's losses as those of a run of its own."""
    own = {name: value + 0.001 for name, value in row.numbers.items() if name.startswith("test_loss")}
    return replace(row, numbers={**row.numbers, **own}) if row.config["optimizer"] == "nesterov" else row


def said(ledger: Ledger, words: str) -> list[str]:
    return [entry for entry in (*ledger.confounds, *ledger.flags) if words in entry]


@pytest.mark.parametrize(
    ("table", "words", "numbers", "repaired"),
    [
        pytest.param(
            OPTIMIZERS, "retained delta", ["1,663,992,832 (lora r1 sgd)", "2,090,215,424 (lora r1 adamw)",
                                           "1,877,104,128 (lora r1 momentum, lora r1 nesterov)"], peaked, id="1"),
        pytest.param(
            OPTIMIZERS, "More trains than the adapters", ["embeddings+biases+layernorms", "53,277,777", "444,497"],
            configured(also_train=()), id="2: more than adapters"),
        pytest.param(
            OPTIMIZERS, "untied from the embedding", ["every row; it has an adapter too in every row"],
            configured(tie_head=True), id="2: head"),
        pytest.param(RANKS, "share one learning rate", ["0.0002", "about ten times"], lower_rate, id="3: rate"),
        pytest.param(
            RANKS, "Rank and scaling", ["1 at rank 1, 0.1 at rank 10, 0.01 at rank 100"], scaled, id="3: scaling"),
        pytest.param(
            OPTIMIZERS, "weight_decay: ", ["0.1 (lora r1 sgd, lora r1 nesterov)",
                                           "1e-06 (lora r1 adamw, lora r1 momentum)"],
            configured(weight_decay=0.1), id="4: weight decay"),
        pytest.param(
            OPTIMIZERS, "lr: ", ["0.0001 (lora r1 sgd, lora r1 nesterov)", "0.0002 (lora r1 adamw, lora r1 momentum)"],
            configured(lr=1e-4), id="4: rate"),
        pytest.param(
            OPTIMIZERS, "agree in every digit", ["lora r1 momentum and lora r1 nesterov", "2.2158", "2.2436"],
            moved, id="4: two rows, one run"),
        pytest.param(
            RANKS, "without the adapters", ["lora r1 adamw, lora r10 adamw, lora r100 adamw"],
            known(judged_as_trained=True), id="5"),
        pytest.param(
            RANKS, "not those of the counts", ["98 of 166 is 59 %, stated 51 %", "83 of 166 is 50 %, stated 45 %",
                                               "91 of 166 is 55 %, stated 49 %"], counted, id="6: counts"),
        pytest.param(RANKS, "Ties", ["counted as wins", "lora r100 adamw"], known(ties="apart"), id="6: ties"),
        pytest.param(RANKS, "One seed", ["every row"], known(replicates=3), id="6: one seed"),
        pytest.param(RANKS, "without an interval", ["every row"], bounded, id="6: interval"),
        pytest.param(
            RANKS, "drawn anew at every evaluation", ["every row"], known(test_windows_drawn="once"), id="7"),
    ],
)  # fmt: skip
def test_known_fault_is_found_with_its_numbers_and_is_not_once_it_is_repaired(
    table: str, words: str, numbers: list[str], repaired: Change
) -> None:
    (entry,) = said(published_ledgers()[table], words)
    assert [number for number in numbers if number not in entry] == []
    ledger = published_ledgers([repaired(row) for row in published_rows()])[table]
    assert said(ledger, words) == []
    assert ledger.flags  # the other faults are still there


def test_stated_rate_that_its_counts_bear_out_is_not_flagged() -> None:
    (entry,) = said(published_ledgers()[RANKS], "not those of the counts")
    assert "full adamw" not in entry  # 141 of 166 are 0.849, stated as 0.85


def test_learning_rate_is_no_confound_among_the_ranks_nor_weight_decay() -> None:
    ledger = published_ledgers()[RANKS]
    assert {"lr: 0.0002", "weight_decay: 1e-06"} <= set(ledger.same)
    assert [one.split(":")[0] for one in ledger.confounds] == ["device"]  # an A100 and two A800


def test_runs_in_which_all_is_repaired_and_recorded_have_nothing_to_flag() -> None:
    changes = [
        configured(also_train=(), tie_head=True, lr=1e-4, weight_decay=0.0),
        lower_rate, scaled, peaked, bounded, moved, counted,
        known(judged_as_trained=True, ties="apart", replicates=3, test_windows_drawn="once", device="a GPU"),
    ]  # fmt: skip
    rows = published_rows()
    for change in changes:
        rows = [change(row) for row in rows]
    ledgers = published_ledgers(rows)
    assert [flag for ledger in ledgers.values() for flag in ledger.flags] == []
    assert ledgers[OPTIMIZERS].confounds == []
    assert ledgers[RANKS].confounds == [
        "lr: 1e-05 (full adamw), 0.0001 (lora r1 adamw, lora r10 adamw, lora r100 adamw)"
    ]


def test_what_the_study_did_not_record_is_not_taken_as_the_same() -> None:
    for ledger in published_ledgers().values():
        assert any("base weights (hash)" in entry and "schedule" in entry for entry in ledger.unknown)


def test_every_run_has_settings_and_every_table_its_runs() -> None:
    rows = published_rows()
    assert len(rows) == len(load_settings()["runs"]) == 7
    assert [title for title, ledger in published_ledgers().items() if not ledger.same] == []


def test_adapters_of_rank_one_are_counted_by_the_shapes_of_gpt2_medium() -> None:
    width, layers, tokens = 1024, 24, 50257
    projections = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    adapters = layers * sum(a + b for a, b in projections) + width + tokens
    biases = layers * sum(b for _, b in projections)
    norms = (2 * layers + 1) * 2 * width
    trained = adapters + biases + norms + (tokens + 1024) * width
    for run in ("AdamW_lora1", "SGD_lora1", "SGD_Mom_lora1", "SGD_Nest_lora1"):
        assert load_settings()["runs"][run]["numbers"] == {
            "trainable_parameters": trained,
            "adapter_parameters": adapters,
        }


def test_no_check_knows_which_study_it_reads() -> None:
    for module in (fairness, fairness_flags, fairness_tuning, ledger_rows, ledger_words):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not any("published" in name for name in imports), module
