"""Forgetting: how far the loss on general text rises above the base model's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basis.directory import WINDOW_LOSSES_FILE
from basis.stages import Stage
from sweep.data.batches import held_out
from sweep.inputs import SweepInputs
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import TrialRun
from tests.sweep.worker.test_trial_run import config, finish


@pytest.fixture
def with_general(inputs: SweepInputs) -> SweepInputs:
    """The train set stands for general text, for its loss changes the most."""
    return replace(inputs, general_tokens=inputs.train_tokens)


def in_folder(folder: Path, inputs: SweepInputs, **changes: Any) -> SweepInputs:
    """The inputs for a directory of its own: in a common one a trial that has finished would be replayed."""
    folder.mkdir()
    return replace(inputs, experiment_dir=folder, **changes)


def losses_of(trial: TrialRun) -> dict[str, list[float]]:
    losses: dict[str, list[float]] = json.loads((trial.folder / WINDOW_LOSSES_FILE).read_text())
    return losses


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if "second" not in name}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_general_text_is_evaluated_before_the_first_and_after_the_last_step_alone(
    with_general: SweepInputs, method: str
) -> None:
    trial = open_trial(config(method=method), with_general)
    rows = finish(trial)
    assert [row["step"] for row in rows if "general_loss" in row] == [0, 9]
    assert [row["step"] for row in rows if "forgetting" in row] == [9]
    base, last = rows[0]["general_loss"], rows[-1]["general_loss"]
    assert rows[-1]["forgetting"] == last - base != 0
    kept = losses_of(trial)
    assert (np.mean(kept["general_loss_base"]), np.mean(kept["general_loss"])) == (base, last)
    assert len(kept["general_loss"]) == len(kept["general_loss_base"]) == 4


def test_it_is_the_base_models_loss_to_the_bit_and_changes_nothing_in_training(
    inputs: SweepInputs, tmp_path: Path
) -> None:
    plain = finish(open_trial(config(), inputs))
    rows = finish(open_trial(config(), in_folder(tmp_path / "general", inputs, general_tokens=inputs.test_tokens)))
    assert rows[0]["general_loss"] == rows[0]["test_loss"] == plain[0]["test_loss"]
    assert rows[-1]["forgetting"] == plain[-1]["test_loss"] - plain[0]["test_loss"]
    of_general = {"general_loss", "forgetting"}
    for row, alone in zip(rows, plain, strict=True):
        assert {k: v for k, v in without_times(row).items() if k not in of_general} == without_times(alone)


def test_a_resumed_trial_forgets_as_much_as_one_that_never_stopped(with_general: SweepInputs, tmp_path: Path) -> None:
    whole = open_trial(config(), with_general)
    rows = finish(whole)
    elsewhere = in_folder(tmp_path / "elsewhere", with_general)
    stopped = open_trial(config(), elsewhere)
    while stopped.advance()["step"] < 4:
        pass
    stopped.close()
    resumed = open_trial(config(), elsewhere)
    assert finish(resumed)[-1]["forgetting"] == rows[-1]["forgetting"]
    assert losses_of(resumed) == losses_of(whole)


def test_a_tuning_trial_leaves_general_text_alone_and_the_final_one_measures_it(with_general: SweepInputs) -> None:
    tuned = replace(with_general, validation_tokens=with_general.test_tokens)
    stages = {stage: finish(open_trial(config(evaluate_on=stage), tuned)) for stage in (Stage.TUNING, Stage.FINAL)}
    assert not any("general_loss" in row for row in stages[Stage.TUNING])
    assert [row["step"] for row in stages[Stage.FINAL] if "general_loss" in row] == [0, 9]


def test_general_text_is_one_sample_for_every_packing_and_loss(with_general: SweepInputs) -> None:
    assert with_general.general_tokens is not None
    path = with_general.general_tokens
    first = held_out(path, config())
    other: TrialConfig = config(batch_size=2, seed=8)
    assert held_out(path, other).batch.tokens.equal(first.batch.tokens)
