"""Test losses of models whose tokenizers differ are compared by the text: in bits per byte, row by row where it is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.arms import Arm
from analysis.comparison.fields import windows
from analysis.comparison.grouping import group_arms
from analysis.comparison.loss_metric import by_one_metric
from tests.synthetic_experiment import of_models


def arms(**models: tuple[str, str]) -> list[Arm]:
    return group_arms(of_models(models))


def test_arms_of_one_tokenizer_are_compared_in_nats_per_token() -> None:
    one = arms(small=("words", "rows"), large=("words", "rows"))
    assert by_one_metric(one) == one
    assert [arm.loss_metric for arm in one] == ["test_loss", "test_loss"]


def test_arms_of_two_tokenizers_are_compared_in_bits_per_byte_and_the_share_of_a_row_adds_up_to_it() -> None:
    for arm in by_one_metric(arms(A=("words", "rows"), B=("letters", "rows"))):
        told = arm.used.frame["test_bits_per_byte"]
        assert arm.test_loss.estimate == pytest.approx(told.mean())
        assert arm.test_loss.estimate != pytest.approx(arm.mean("test_loss").estimate)
        for seed, shares in arm.losses_by_seed.items():
            assert shares.mean() == pytest.approx(arm.by_seed("test_bits_per_byte")[seed])
            assert np.corrcoef(shares, arm.window_losses[seed])[0, 1] == pytest.approx(1)
        assert arm.best_test_loss.estimate == pytest.approx(told.mean())  # its last loss is its lowest


def test_an_arm_that_did_not_report_bytes_has_no_loss_to_compare() -> None:
    results = of_models({"A": ("words", "rows"), "B": ("letters", "rows")})
    results.trials.loc[results.trials["model"] == "B", "test_bits_per_byte"] = math.nan
    of_words, of_letters = by_one_metric(group_arms(replace(results, trials=results.trials)))
    assert of_words.has_test_loss
    assert not of_letters.has_test_loss
    assert of_letters.losses_by_seed == {}


def test_tokenizers_that_make_the_same_test_tokens_have_one_unit() -> None:
    results = of_models({"small": ("words", "rows"), "large": ("words", "rows")})
    for trial, model in results.trials[["trial", "model"]].itertuples(index=False):
        results.records[trial]["hashes"]["tokenizer"] = f"hub/{model}@commit"
    assert [arm.loss_metric for arm in by_one_metric(group_arms(results))] == ["test_loss", "test_loss"]
    for record in results.records.values():
        del record["hashes"]["test_tokens"]  # without it the tokenizers alone decide
    assert {arm.loss_metric for arm in by_one_metric(group_arms(results))} == {"test_bits_per_byte"}


def test_without_a_digest_of_rows_the_same_tokens_in_other_windows_are_other_rows() -> None:
    results = of_models({"A": ("words", ""), "B": ("letters", "")}, {"block_size": 32}, {"block_size": 64})
    for record in results.records.values():
        record["hashes"]["test_tokens"] = record["hashes"]["tokenizer"]
        del record["test_rows"]
    arms_of_a = [arm for arm in by_one_metric(group_arms(results)) if arm.model == "A"]
    assert len({windows(arm) for arm in arms_of_a}) == 2
