"""What another base model changes by itself is named as that, and is no confound of a table of models."""

from dataclasses import replace
from typing import Any

import pytest

from analysis.comparison.evidence import evidence_of
from analysis.fairness.ledger import Ledger, table_ledgers
from analysis.page.content import content_of
from analysis.results.experiment import Results
from analysis.tables.comparison_table import build_tables
from tests.synthetic_experiment import of_models

MODELS = {"A": ("words", "rows"), "B": ("letters", "rows")}
HASHED = ("base weights", "tokenizer", "train set", "test set", "general text")


def results_of(*changes: dict[str, Any]) -> Results:
    results = of_models(MODELS, *changes)
    results.trials["test_loss"] += [0.001 * number**2 for number in range(len(results.trials))]
    results.trials.loc[results.trials["model"] == "B", "tokens_seen"] *= 4
    return results


def ledger_of(results: Results, factor: str) -> Ledger:
    evidence = evidence_of(results)
    tables = build_tables(evidence.arms, {"tables": [{"title": "Table", "factor": factor}]}, 1)
    return table_ledgers(evidence, tables)["table"]


def test_what_follows_from_the_model_is_told_and_is_no_confound() -> None:
    ledger = ledger_of(results_of(), "model")
    assert ledger.confounds == []
    (told,) = [remark for remark in ledger.remarks if remark.startswith("Follows from model, and is no confound: ")]
    assert all(f"{title} (hash" in told for title in HASHED)
    assert "base_weights of A" not in told
    assert "train tokens seen: 20,480 (" in told
    assert "81,920 (" in told


def test_what_differs_besides_the_model_is_a_confound_still() -> None:
    results = results_of({"rank": 1})
    results.configs["trial-2"]["lr"] = results.configs["trial-3"]["lr"] = 0.1
    (confound,) = ledger_of(results, "model").confounds
    assert confound.startswith("lr: 0.001")


def test_data_that_differ_between_arms_of_one_model_do_not_follow_from_it() -> None:
    results = results_of({"rank": 1}, {"rank": 10})
    changed = results.records["trial-0"]
    hashes = {**changed["hashes"], "train_tokens": "others"}
    results.records.update({trial: {**changed, "hashes": hashes} for trial in ("trial-0", "trial-1")})
    (confound,) = ledger_of(results, "model").confounds
    assert confound.startswith("train set (hash of its tokens): others")


def test_models_that_every_level_of_a_factor_has_are_no_confound() -> None:
    assert ledger_of(results_of({"rank": 1}, {"rank": 10}), "rank").confounds == []


@pytest.mark.parametrize("written", [["A", "B"], "", 5, None])
def test_a_model_that_is_no_name_is_none(written: object) -> None:
    results = results_of()
    results.configs["trial-0"]["model"] = results.configs["trial-1"]["model"] = written
    content = content_of(results)
    assert [arm.model for arm in content.tables[0].arms] == [None, "B"]
    assert ledger_of(results, "model").remarks


def test_base_answers_and_token_counts_that_differ_within_a_model_do_not_follow_from_it() -> None:
    results = results_of({"rank": 1}, {"rank": 10})
    first = results.responses["trial"].isin(["trial-0", "trial-1"])
    results.responses.loc[first, "base_response"] = "Another answer."
    results.trials.loc[results.trials["trial"].isin(["trial-0", "trial-1"]), "tokens_seen"] += 1
    confounds = ledger_of(results, "model").confounds
    assert [confound.partition(":")[0] for confound in confounds] == [
        "train tokens seen",
        "the base model's responses (hash)",
    ]


def test_token_counts_follow_from_the_model_among_rows_of_one_batch_size() -> None:
    results = results_of({"batch_size": 8}, {"batch_size": 16})
    results.trials.loc[results.trials["batch_size"] == 16, "tokens_seen"] *= 2
    ledger = ledger_of(results, "model")
    assert not any("tokens seen" in confound for confound in ledger.confounds)


def test_counts_of_rows_stand_in_their_flag_and_not_among_the_data() -> None:
    results = replace(results_of(), sweep={"data": {"train_dialogues": 3, "rows": [{"model": "A"}]}})
    assert content_of(results).details == {"data": {"train_dialogues": "3"}}
