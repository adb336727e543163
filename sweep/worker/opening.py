"""How a trial is opened: its directory is locked and mended, and what is recorded in it says how the trial goes on.

Whoever runs the same config in the same experiment again, after a crash of the worker, the node or the driver, goes on
from what the former process has left:

    finished.json, judged               the rows are replayed
    finished.json, not judged           the rows are replayed, and the kept model is judged
    diverged.txt                        refused: the loss would become the same NaN again
    out_of_memory.json, all attempts    refused
    out_of_memory.json, one attempt     planned for less memory, then as the two below
    checkpoint.pt                       the rows up to the checkpoint are replayed, and the trial trains on
    none of these                       the trial begins
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock

from basis.directory import DIVERGED_FILE, FINISHED_FILE, SUGGESTED_FILE
from basis.files import write_text
from basis.metrics import NOT_JUDGED, Row
from basis.outcome_file import forget_outcome
from sweep.inputs import SweepInputs
from sweep.memory.attempts import MOST_ATTEMPTS, TRAINING, Attempt, OutOfMemoryError, read_attempts, smaller_plan
from sweep.memory.plan import MemoryPlan
from sweep.memory.shape import read_shape
from sweep.storage.finished import read_finished
from sweep.storage.healing import heal_trial
from sweep.storage.responses import answers_flaw
from sweep.trial.config import TrialConfig
from sweep.worker.trial_run import NOBODY, Host, TrialRun


@dataclass(frozen=True)
class Complete:
    """The trial has all its rows; its rewards may compare with base answers that are damaged."""

    rows: list[Row]
    base_answers_damaged: bool


@dataclass(frozen=True)
class Unjudged:
    """The trial has trained to its end and lacks rewards. `trained` is its last row, without marks of an end."""

    rows: list[Row]
    trained: Row


@dataclass(frozen=True)
class Diverged:
    """The loss was found not to be finite; the message names step and learning rate."""

    message: str


@dataclass(frozen=True)
class GivenUp:
    """The trial ran out of memory on every attempt that it is given; this is the last."""

    attempt: Attempt


@dataclass(frozen=True)
class Unfinished:
    """The trial is to be trained, from its checkpoint if there is one; `ran_out`: the last attempt lacked memory."""

    ran_out: Attempt | None


def open_trial(
    config: TrialConfig,
    inputs: SweepInputs,
    suggested: dict[str, Any] | None = None,
    plan: MemoryPlan | None = None,
    limit_bytes: int | None = None,
    host: Host = NOBODY,
) -> TrialRun:
    """Lock the trial of `config`, mend its directory, and have it begin or continue.

    Args:
        config: the trial.
        inputs: what the sweep's trials share.
        suggested: what a search algorithm chose the config by, kept with the trial for a resumed search.
        plan: how the trial is executed and what is predicted for it; without one it is executed as configured.
        limit_bytes: what the process may allocate for the trial; None: what there is.
        host: what the trial has around it.

    Raises:
        OutOfMemoryError: the trial has run out of memory, now or on every attempt that it is given.
        FloatingPointError: the trial's loss was found not to be finite by an earlier process.
    """
    folder = inputs.experiment_dir / config.name
    run = TrialRun(config, inputs, lock_trial(folder), plan, limit_bytes, host)
    try:
        forget_outcome(folder)  # of an earlier try
        for leftover in folder.glob("*.partial"):
            leftover.unlink(missing_ok=True)
        for remark in heal_trial(folder):
            run.remark(remark)
        if suggested is not None and not (folder / SUGGESTED_FILE).exists():
            write_text(folder / SUGGESTED_FILE, json.dumps(suggested))
        go_on(run, recorded_state(folder, inputs))
    except BaseException:
        with suppress(Exception):  # an accelerator that has failed fails again; what is raised says why
            run.close()
        raise
    return run


def lock_trial(folder: Path) -> BaseFileLock:
    """The trial's directory, made if need be, is ours until the lock is released; the lock of a dead process is free.

    A search may propose one config twice: the second waits here, then replays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "trial.lock")
    lock.acquire()
    return lock


def recorded_state(folder: Path, inputs: SweepInputs) -> Complete | Unjudged | Diverged | GivenUp | Unfinished:
    """What former processes have left in a trial's directory. The caller has locked and mended it."""
    attempts = read_attempts(folder, since=inputs.began)
    finished, diverged = folder / FINISHED_FILE, folder / DIVERGED_FILE
    if finished.exists():
        *rows, last = read_finished(finished).rows
        if inputs.reward.judged_by is not None and NOT_JUDGED in last:
            return Unjudged(rows, {name: v for name, v in last.items() if name not in (NOT_JUDGED, "finished")})
        asked = [prompt.text for prompt in inputs.prompts]
        damaged = "win_rate" in last and answers_flaw(inputs.base_answers, asked) is not None
        return Complete([*rows, last], damaged)
    if diverged.exists():
        return Diverged(diverged.read_text(encoding="utf-8"))
    if len(attempts) >= MOST_ATTEMPTS:
        return GivenUp(attempts[-1])
    return Unfinished(attempts[-1] if attempts and attempts[-1].during == TRAINING else None)


def go_on(run: TrialRun, state: Complete | Unjudged | Diverged | GivenUp | Unfinished) -> None:
    """Have a trial go on from what is recorded of it; raises as `open_trial`."""
    match state:
        case Complete(rows, base_answers_damaged):
            run.replay(rows)
            if base_answers_damaged:
                run.answer_as_base()
        case Unjudged(rows, trained):
            run.replay(rows, unjudged=trained)
        case Diverged(message):
            raise FloatingPointError(message)
        case GivenUp(attempt):
            raise OutOfMemoryError(str(attempt))
        case Unfinished(ran_out):
            run.begin(None if ran_out is None else _plan_with_less(run.config, run.inputs, ran_out))


def _plan_with_less(config: TrialConfig, inputs: SweepInputs, ran_out: Attempt) -> MemoryPlan:
    shape = read_shape(inputs.base_model, "model.name")
    return smaller_plan(config, shape, inputs.packing.device, ran_out)
