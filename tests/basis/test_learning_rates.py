"""Default learning rates: where they come from, and the rule that they follow."""

from typing import get_args

import pytest

from basis.fields import OPTIMIZERS
from basis.learning_rates import DEFAULT_RANGES, Trains, default_range, trains_of

EVERY = [(optimizer, trains) for optimizer, ranges in DEFAULT_RANGES.items() for trains in ranges]


def test_ranges_are_of_optimizers_and_of_what_methods_train() -> None:
    assert set(DEFAULT_RANGES) <= set(OPTIMIZERS)
    assert {trains for _, trains in EVERY} == set(get_args(Trains))
    assert (trains_of("full"), trains_of("lora")) == ("full", "adapter")


@pytest.mark.parametrize(("optimizer", "trains"), EVERY)
def test_each_range_spans_two_decades_and_names_its_source(optimizer: str, trains: Trains) -> None:
    rates = default_range(trains, optimizer)
    assert rates is not None
    assert rates.high / rates.low == pytest.approx(100)
    assert any(mark in rates.source for mark in ("arXiv", "section", "http", "as adamw"))


def test_the_ranges_of_adaptive_optimizers_follow_the_rule_of_ten() -> None:
    for optimizer in ("adamw", "adafactor", "muon"):
        full, adapter = default_range("full", optimizer), default_range("adapter", optimizer)
        assert full is not None
        assert adapter is not None
        assert adapter.low / full.low == pytest.approx(10)


def test_an_optimizer_without_a_documented_range_has_none() -> None:
    assert default_range("full", "an optimizer of tomorrow") is None
