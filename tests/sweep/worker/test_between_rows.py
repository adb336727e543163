"""A trial keeps checkpoints between two rows of metrics too: where rows are far apart, and before its machine goes."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from basis.directory import TRAINED_FILE
from sweep.inputs import SweepInputs
from sweep.storage import checkpoint
from sweep.worker.opening import open_trial
from sweep.worker.row_clock import RowClock
from sweep.worker.trial_run import NOBODY, Host
from tests.sweep.worker.test_trial_run import config, finish, timeless


class KilledError(BaseException):
    """Stands for the end of the machine."""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kept_before", [1, 2, 5])
def test_a_trial_whose_machine_is_taken_away_between_two_rows_goes_on_to_the_bit(
    precision: str, kept_before: int, inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = config(test_every=7, precision=precision)
    whole = open_trial(rare, inputs)
    expected = finish(whole)
    (inputs.experiment_dir / "elsewhere").mkdir()
    inputs = replace(inputs, experiment_dir=inputs.experiment_dir / "elsewhere", checkpoint_seconds=1e9)
    monkeypatch.setattr(checkpoint, "URGENT_SECONDS", 0.0)

    taken = iter(range(1, kept_before))

    def kept() -> None:
        if next(taken, None) is None:
            raise KilledError

    stopped = open_trial(rare, inputs, host=Host(lambda: "a cloud says so", kept))
    with pytest.raises(KilledError):
        finish(stopped)
    stopped.close()
    remarks = stopped.take_remarks()
    assert remarks == ["its machine will be taken away (a cloud says so); a checkpoint is kept every 10 s"]

    torch.manual_seed(12345)  # whatever another trial left behind
    resumed = open_trial(rare, inputs)
    assert resumed._training is not None
    assert resumed._training.run.step == kept_before
    assert timeless(finish(resumed)) == timeless(expected)
    ours, theirs = load_file(resumed.folder / TRAINED_FILE), load_file(whole.folder / TRAINED_FILE)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_rows_that_are_far_apart_have_checkpoints_between_them(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    monkeypatch.setattr(checkpoint, "BETWEEN_ROWS_SECONDS", 0.0)
    trial = open_trial(config(test_every=4), inputs, host=replace(NOBODY, kept=lambda: steps.append(0)))
    finish(trial)
    assert len(steps) == 6  # after each of nine steps but the fourth, the eighth and the ninth, which have rows
    assert not trial.remarks


def test_time_between_the_laps_is_none_of_the_training_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds() -> Iterator[float]:
        yield from (100, 104, 110, 160, 162, 166)

    ticks = seconds()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    clock = RowClock()
    clock.time_from_here()  # at 104: the four seconds before are of a step that compiles
    clock.timed_steps = 2
    assert clock.lap() == 10
    clock.go_on()  # at 160, after a checkpoint of fifty seconds
    assert clock.lap() == 2
    assert clock.step_seconds(3) == (12 - 4) / 2
    clock.time_from_here()
    assert clock.step_seconds(3) == 12 / 3  # none was timed
