"""Tables of several base models: bits per byte where their tokenizers differ, a test where their rows are the same."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.factors.pareto import fronts_of
from analysis.findings.differences import describe_test_losses
from analysis.findings.what_it_shows import findings_of
from analysis.tables.columns import console_columns
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.tables.pairwise import pairwise_table
from tests.synthetic_experiment import of_models

NATS, BITS = "test loss, nats/token", "test loss, bits/byte"
SAME_ROWS = {"A": ("words", "rows"), "B": ("letters", "rows")}
OTHER_ROWS = {"A": ("words", "rows of A"), "B": ("letters", "rows of B")}


def table(models: Mapping[str, tuple[str, str]], *changes: dict[str, Any]) -> ComparisonTable:
    spec = {"tables": [{"title": "Models", "factor": "model"}]}
    return build_tables(group_arms(of_models(models, *changes)), spec, 1)[0]


def told(made: ComparisonTable) -> str:
    return " ".join(describe_test_losses(made.finished, made.compared))


def test_the_test_losses_of_two_tokenizers_are_told_by_the_byte_and_paired_by_row() -> None:
    made = table(SAME_ROWS)
    assert made.title == "Models (test loss in bits per byte)"
    assert BITS in made.frame
    assert not {NATS, "perplexity"} & set(made.frame)
    of_words, of_letters = made.arms
    assert made.frame[BITS][0].startswith(f"{of_words.mean('test_bits_per_byte').estimate:.4f} [")
    assert made.frame["letters"].tolist() == ["a", "b"]  # four times the bytes by token at the same loss by token
    (pair,) = made.compared.losses
    assert (pair.cases, pair.seeds, pair.better) == (40, 2, of_words.label)
    assert pair.difference.estimate == pytest.approx(of_words.test_loss.estimate - of_letters.test_loss.estimate)
    assert made.notes[0].startswith("The models of these rows have different tokenizers")
    assert f"Lowest last test loss in bits per byte: {of_words.label}" in told(made)
    pairs = pairwise_table(made.arms, made.compared)
    assert pairs is not None
    assert f"{BITS}: first − second" in pairs.frame


def test_rows_of_other_text_leave_a_difference_without_a_test_and_a_line_says_why() -> None:
    made = table(OTHER_ROWS)
    (pair,) = made.compared.losses
    assert not pair.tested
    assert not pair.same_rows
    assert "letters" not in made.frame
    assert "rows of text that differ, since a row ends after so many tokens" in " ".join(made.notes)
    sentences = told(made)
    assert "Without a test of test loss in bits per byte" in sentences
    assert "no spread" not in sentences
    pairs = pairwise_table(made.arms, made.compared)
    assert pairs is not None
    assert pairs.frame[f"{BITS}: first − second"][0].endswith("no test")
    assert "tested on other rows of text are not tested against each other" in " ".join(pairs.notes)


def test_arms_of_one_model_are_told_apart_beside_a_model_of_other_rows() -> None:
    made = table(OTHER_ROWS, {"method": "full", "rank": None}, {"rank": 1})
    tested = {(pair.a, pair.b) for pair in made.compared.losses if pair.tested}
    models = {arm.label: arm.config["model"] for arm in made.arms}
    assert [tuple(models[label] for label in pair) for pair in sorted(tested)] == [("A", "A"), ("B", "B")]
    assert set(made.frame["letters"]) == {"a", "b", "c", "d"}


def test_a_narrow_terminal_shows_the_loss_that_is_compared() -> None:
    assert list(console_columns(table(SAME_ROWS).frame, 40))[:2] == ["arm", BITS]


def test_models_of_one_tokenizer_are_compared_as_arms_of_one_model_are() -> None:
    one = {"small": ("words", "rows"), "large": ("words", "rows")}
    made = table(one)
    assert made.title == "Models"
    assert {NATS, BITS} <= set(made.frame)
    assert [pair.cases for pair in made.compared.losses] == [40]
    where = {"tables": [{"title": "Small", "where": {"model": "small"}}]}
    (small,) = build_tables(group_arms(of_models(one)), where, 1)
    assert [arm.config["model"] for arm in small.arms] == ["small"]


@pytest.mark.parametrize("models", [SAME_ROWS, OTHER_ROWS])
def test_arms_of_longer_windows_are_ranked_apart_by_the_byte_too(models: Mapping[str, tuple[str, str]]) -> None:
    made = table(models, {"block_size": 32}, {"block_size": 64})
    lengths = {arm.label: arm.config["block_size"] for arm in made.arms}
    assert [lengths[pair.a] == lengths[pair.b] for pair in made.compared.losses] == [True, True]
    sentences = told(made)
    assert sentences.count("Lowest last test loss in bits per byte with block_size=") == 2
    notes = " ".join(made.notes)
    assert "The rows are tested on different windows, across which test losses" in notes
    assert ("rows of text that differ" in notes) == (models is OTHER_ROWS)
    assert [front.points for front in fronts_of(made.finished)] == [[], []]


def test_what_a_report_rests_on_names_the_fields_and_the_rows_that_differ() -> None:
    def basis(*changes: dict[str, Any]) -> str:
        evidence = evidence_of(of_models(OTHER_ROWS, *changes))
        return " ".join(findings_of(evidence, [], None)[0].sentences)

    assert "The base models are tested on rows of text that differ" in basis()
    both = basis({"block_size": 32}, {"block_size": 64})
    assert "(block_size differs), so test losses are ranked only among like arms. The base models are tested" in both


def test_arms_that_counted_no_bytes_are_named_below_a_table_by_the_byte() -> None:
    results = of_models(SAME_ROWS)
    results.trials.loc[results.trials["model"] == "B", "test_bits_per_byte"] = math.nan
    (made,) = build_tables(group_arms(results), {}, 1)
    (without,) = [arm.label for arm in made.arms if arm.model == "B"]
    note = f"Without a test loss in bits per byte, for their trials did not count bytes: {without}."
    assert note in made.notes
    assert not any("did not count bytes" in said for said in table(SAME_ROWS).notes)
