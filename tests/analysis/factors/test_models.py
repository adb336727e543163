"""What mattered where base models differ: losses by the byte, and no test between rows of other text."""

from collections.abc import Mapping

import numpy as np
import pytest

from analysis.comparison.evidence import evidence_of
from analysis.factors.dominance import dominated_beyond_chance
from analysis.factors.pareto import fronts_of
from analysis.factors.what_mattered import WhatMattered, what_mattered
from tests.synthetic_experiment import of_models

SAME_ROWS = {"A": ("words", "rows"), "B": ("letters", "rows")}
OTHER_ROWS = {"A": ("words", "rows of A"), "B": ("letters", "rows of B")}
UNIT = "bits/byte"


def mattered(models: Mapping[str, tuple[str, str]]) -> WhatMattered:
    results = of_models(models, {"rank": 1}, {"rank": 10})
    results.trials["test_bits_per_byte"] += 1e-4 * (np.arange(len(results.trials)) % 3)  # seeds are not all alike
    evidence = evidence_of(results)
    told = what_mattered(evidence, fronts_of(evidence.finished))
    assert told is not None
    return told


def test_effects_shares_and_costs_are_by_the_byte_where_tokenizers_differ() -> None:
    told = mattered(SAME_ROWS)
    effects = told.effects.set_index("factor")
    assert set(effects.index) == {"model", "rank"}
    assert effects.loc["model", f"test loss, {UNIT}"].startswith("+")  # letters take more bits by byte
    assert effects.loc["model", "p"] != "–"
    assert set(told.importance["variance of"]) == {"last test bits per byte of 4 arms × 2 seeds"}
    assert f"test bits per byte gained, {UNIT}" in told.costs
    text = " ".join([*told.sentences, *told.notes])
    assert "nats/token" not in text


def test_the_effect_of_a_model_has_no_test_on_rows_of_other_text_and_that_of_a_rank_has() -> None:
    told = mattered(OTHER_ROWS)
    effects = told.effects.set_index("factor")
    assert effects.loc["model", "p"] == "–"
    assert effects.loc["rank", "p"] != "–"
    (sentence,) = [sentence for sentence in told.sentences if sentence.startswith("From model")]
    assert "rows of text that differ between tokenizers, so without a test" in sentence


@pytest.mark.parametrize("models", [SAME_ROWS, OTHER_ROWS])
def test_the_front_holds_arms_of_all_models_by_the_byte(models: Mapping[str, tuple[str, str]]) -> None:
    finished = evidence_of(of_models(models)).finished
    memory = fronts_of(finished)[0]
    assert [point.loss for point in memory.points] == pytest.approx(sorted(arm.test_loss.estimate for arm in finished))
    assert [point.arm.config["model"] for point in memory.points if point.dominated] == ["B"]


def test_win_rates_against_two_base_models_are_not_subtracted() -> None:
    told = mattered(SAME_ROWS)
    effects = told.effects.set_index("factor")
    assert effects.loc["model", ["win rate", "reward margin"]].tolist() == ["–", "–"]
    assert "–" not in effects.loc["rank", ["win rate", "reward margin"]].tolist()
    assert "against each arm's own base model, so rows of model have none" in " ".join(told.notes)


def test_an_arm_is_dominated_beyond_chance_by_one_of_its_own_rows() -> None:
    """Model A has the lowest loss by the byte at the lowest cost, and no test compares B with it."""
    results = of_models(OTHER_ROWS, {"optimizer": "adamw"}, {"optimizer": "sgd"})
    results.trials["test_bits_per_byte"] += 1e-4 * (np.arange(8) % 3)  # seeds are not all alike
    results.trials["peak_bytes"] = [1, 1, 2, 2, 3, 3, 4, 4]
    finished = evidence_of(results).finished
    memory = fronts_of(finished)[0]
    told = dominated_beyond_chance(memory.points, memory.price, looks=1)
    worse = [arm.label for arm in finished if arm.config["optimizer"] == "sgd"]
    assert sorted(told.labels) == sorted(worse)
    assert told.pairs == 2
