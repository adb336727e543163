"""When the losses of two runs count as the same."""

from dataclasses import replace
from typing import Any

import pytest

from sweep.inputs import SweepInputs
from sweep.provenance.loss_match import RELATIVE_TOLERANCE, judge_losses, pair_losses
from sweep.worker.opening import open_trial
from tests.sweep.worker.test_trial_run import config, finish


def row(step: int, **losses: float) -> dict[str, Any]:
    return {"step": step, "learning_rate": 0.1, **losses}


@pytest.mark.slow
def test_the_tolerance_lies_between_another_order_of_additions_and_another_seed(inputs: SweepInputs) -> None:
    stable = {"method": "full", "lr": 1e-3, "dropout": 0.0, "steps": 100, "test_every": 50, "micro_batch": 4}

    def worst(**changes: Any) -> float:
        again = finish(open_trial(config(**{**stable, **changes}), replace(inputs, checkpoint_seconds=1e9)))
        return max(pair.difference for pair in pair_losses(recorded, again))

    recorded = finish(open_trial(config(**stable), replace(inputs, checkpoint_seconds=1e9)))
    assert 0 < worst(micro_batch=1) < RELATIVE_TOLERANCE / 2
    assert worst(seed=4) > RELATIVE_TOLERANCE * 2


def test_the_first_step_that_does_not_match_is_named() -> None:
    then = [row(0, test_loss=4.0), row(5, train_loss=3.0, test_loss=2.0), row(9, train_loss=1.0)]
    again = [row(0, test_loss=4.0), row(5, train_loss=3.0, test_loss=2.0002), row(9, train_loss=2.0)]
    matches, verdict = judge_losses(pair_losses(then, again), 0.0)
    assert not matches
    assert "to the bit: first test loss at step 5, 2.0 then, 2.0002 now" in verdict
    matches, verdict = judge_losses(pair_losses(then, again), 1e-3)
    assert not matches
    assert "first train loss at step 9" in verdict


def test_validation_losses_count_and_a_loss_that_is_missing_matches_nothing() -> None:
    then = [row(0, validation_loss=4.0), row(5, validation_loss=3.0, test_loss=2.0)]
    assert judge_losses(pair_losses(then, then), 0.0) == (True, "the 3 losses match to the bit")
    matches, verdict = judge_losses(pair_losses(then, then[:1]), 1e-3)
    assert not matches
    assert "first validation loss at step 5, 3.0 then, missing now" in verdict


def test_what_is_no_number_matches_nothing() -> None:
    then, again = [row(0, test_loss=4.0)], [row(0, test_loss=float("nan"))]
    for one, other in ((then, again), (again, then), (again, again)):
        matches, verdict = judge_losses(pair_losses(one, other), 1e-3)
        assert not matches
        assert "first test loss at step 0" in verdict
