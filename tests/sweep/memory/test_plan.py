"""Budgets: how a trial is made to fit, that its losses stay, and what is said when it can't."""

import time
from typing import Any

import pytest

from basis.errors import UserError
from model.gpt2_lora import gpt2_config
from sweep.inputs import SweepInputs
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, best_plan, plan_trial, predict
from sweep.memory.shape import read_shape
from sweep.trial.config import TrialConfig
from sweep.trial.model import Execution
from sweep.worker.opening import open_trial
from tests.sweep.worker.test_trial_run import config, finish

CPU = Device("cpu")
SHAPE = gpt2_config("gpt2", {"n_layer": 6, "n_embd": 128, "n_head": 2, "vocab_size": 2000})


def trial(**changes: Any) -> TrialConfig:
    values = {
        "method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-3, "steps": 2, "batch_size": 8, "block_size": 128,
        "test_every": 1, "test_windows": 1,
    }  # fmt: skip
    return TrialConfig.model_validate({**values, **changes})


def peak(execution: Execution, **changes: Any) -> int:
    return predict(trial(**changes), SHAPE, CPU, execution).total


def test_without_a_budget_a_trial_is_executed_as_configured() -> None:
    assert plan_trial(trial(), SHAPE, CPU, None).execution == Execution(8, False)
    asked = trial(micro_batch=2, activation_checkpointing=True)
    assert plan_trial(asked, SHAPE, CPU, None).execution == Execution(2, True)


@pytest.mark.parametrize("windows", [4, 3, 2, 1])
def test_the_largest_micro_batch_that_fits_is_taken_in_even_passes(windows: int) -> None:
    budget = peak(Execution(windows, False))
    assert plan_trial(trial(), SHAPE, CPU, budget).execution == Execution(windows, False)
    assert plan_trial(trial(), SHAPE, CPU, budget).predicted.total == budget


def test_a_configured_micro_batch_is_the_most_that_is_taken() -> None:
    assert plan_trial(trial(micro_batch=3), SHAPE, CPU, peak(Execution(8, False))).execution == Execution(3, False)


@pytest.mark.parametrize(("batch_size", "block_size", "windows"), [(2**26, 1, 256), (64, 2**20, 1)])
def test_a_step_of_any_size_is_planned_in_seconds_and_in_passes_no_larger_than_help(
    batch_size: int, block_size: int, windows: int
) -> None:
    shape = gpt2_config("gpt2", {"n_layer": 6, "n_embd": 64, "n_head": 2, "vocab_size": 500, "n_positions": 2**20})
    began = time.process_time()
    large = trial(batch_size=batch_size, block_size=block_size, micro_batch=batch_size)
    assert plan_trial(large, shape, CPU, None).execution == Execution(windows, False)
    assert best_plan(large, shape, CPU, 1).execution.activation_checkpointing  # nothing fits
    assert time.process_time() - began < 30  # by passes of one window it would be hours


@pytest.mark.slow
def test_blocks_are_computed_again_only_where_single_windows_do_not_fit() -> None:
    single = peak(Execution(1, False))
    plan = plan_trial(trial(), SHAPE, CPU, single - 1)
    assert plan.execution.activation_checkpointing
    assert plan.predicted.total < single
    larger = Execution(plan.execution.micro_batch + 1, True)
    assert peak(larger) >= single or plan.execution.micro_batch == 8


@pytest.mark.slow
def test_a_trial_that_cannot_fit_is_refused_with_its_least_and_what_would_fit() -> None:
    full = trial(method="full", rank=None)
    least = best_plan(full, SHAPE, CPU, 1).predicted.total
    with pytest.raises(UserError) as refused:
        plan_trial(full, SHAPE, CPU, least - 2**20)
    message = str(refused.value)
    assert message.startswith("memory.budget: full adamw is predicted to take ")
    assert "method lora, rank 8 (" in message
    assert "optimizer sgd (" in message
    assert message.endswith(f"or a budget of {-(-least // 2**20)}MiB")
    allowed = int(message.rsplit(" ", 1)[1].removesuffix("MiB")) * 2**20
    assert plan_trial(full, SHAPE, CPU, allowed).predicted.total == least


def test_a_plan_travels_as_plain_values() -> None:
    plan = plan_trial(trial(), SHAPE, CPU, peak(Execution(2, False)))
    assert MemoryPlan.from_mapping(plan.to_mapping()) == plan


def test_a_trial_made_to_fit_has_the_losses_of_one_that_had_room(inputs: SweepInputs) -> None:
    cfg = config(dropout=0.0)
    shape = read_shape(inputs.base_model, "model.name")
    free = finish(open_trial(cfg, inputs, plan=plan_trial(cfg, shape, CPU, None)))
    (inputs.experiment_dir / cfg.name / "finished.json").unlink()
    tight_plan = MemoryPlan(Execution(1, True), predict(cfg, shape, CPU, Execution(1, True)))
    tight = finish(open_trial(cfg, inputs, plan=tight_plan))
    assert [row["test_loss"] for row in tight] == pytest.approx([row["test_loss"] for row in free], rel=1e-5)
    assert (tight[-1]["micro_batch"], tight[-1]["activation_checkpointing"]) == (1, 1)
    assert tight[-1]["peak_bytes"] < free[-1]["peak_bytes"]
    for rows in (free, tight):
        assert rows[-1]["predicted_peak_bytes"] == pytest.approx(rows[-1]["peak_bytes"], rel=0.08)
