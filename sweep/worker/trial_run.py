"""One trial from its TrialConfig to its last row of metrics, without Ray: train, report, checkpoint, finish, replay.

A trial keeps its state in its own directory, under a name made from its config. Whoever runs the same config in the
same experiment again, after a crash of the worker, the node or the driver, goes on from there: a finished trial
replays its rows, an unfinished one replays the rows up to its checkpoint and trains on.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from filelock import FileLock
from transformers import GPT2LMHeadModel

from basis.checksums import set_aside
from basis.directory import (
    BASE_RESPONSES_FILE,
    CHECKPOINT_FILE,
    DIVERGED_FILE,
    FINISHED_FILE,
    SUGGESTED_FILE,
    TRAINED_FILE,
    WINDOW_LOSSES_FILE,
)
from basis.disks import DiskError
from basis.errors import first_line, name_failure
from basis.files import write_atomically, write_text
from basis.metrics import NOT_JUDGED
from basis.stages import Stage
from model.gpt2_lora import save_trained, trained_parameters
from model.memory_limit import allocated_bytes, asked_bytes, limit_memory, ran_out_of_memory
from sweep.inputs import SweepInputs
from sweep.memory.attempts import (
    JUDGING,
    MOST_ATTEMPTS,
    TRAINING,
    Attempt,
    OutOfMemoryError,
    add_attempt,
    read_attempts,
    smaller_plan,
)
from sweep.memory.plan import MemoryPlan
from sweep.memory.shape import read_shape
from sweep.provenance.trial_record import begin_record, make_record, note_judged
from sweep.storage.checkpoint import read_checkpoint, tensor_bytes, write_checkpoint
from sweep.storage.finished import read_finished, write_finished
from sweep.storage.healing import heal_trial
from sweep.storage.responses import records_flaw
from sweep.trial.config import TrialConfig
from sweep.trial.model import as_configured
from sweep.worker.judging import accelerator_failed, base_answers, judge, kept_model, release_memory
from sweep.worker.training import Row, Training

T = TypeVar("T")


class TrialRun:
    """Call `advance` until it returns a row with `finished: true`; then the trial's directory holds all its results."""

    def __init__(
        self,
        config: TrialConfig,
        inputs: SweepInputs,
        suggested: dict[str, Any] | None = None,
        plan: MemoryPlan | None = None,
        limit_bytes: int | None = None,
    ) -> None:
        """Begin, or continue, the trial of `config`.

        Args:
            config: the trial.
            inputs: what the sweep's trials share.
            suggested: what a search algorithm chose the config by, kept with the trial for a resumed search.
            plan: how the trial is executed and what is predicted for it; without one it is executed as configured.
            limit_bytes: what the process may allocate for the trial; None: what there is.

        Raises:
            OutOfMemoryError: the trial has run out of memory, now or on every attempt that it is given.
            FloatingPointError: the trial's loss was found not to be finite by an earlier process.
        """
        self.config = config
        self.inputs = inputs
        self._device = torch.device(inputs.packing.device.type)
        self.folder = inputs.experiment_dir / config.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "trial.lock")  # a search may propose one config twice: the second waits,
        self._lock.acquire()  # then replays. The lock of a process that died is free.
        for leftover in self.folder.glob("*.partial"):
            leftover.unlink()
        self.remarks: list[str] = []
        """What is out of the ordinary and no failure, a line each; whoever tells the user takes them away."""
        for remark in heal_trial(self.folder):
            self._remark(remark)
        self.rows: list[Row] = []
        self._replayed = 0
        self._unjudged: Row | None = None
        self._judging = False  # before there is anything trained
        self._saved_at = time.monotonic()
        self._lacks_room = False
        self._training: Training | None = None
        self._plan = plan
        self._limit_bytes = limit_bytes
        attempts = read_attempts(self.folder, since=inputs.began)
        if suggested is not None and not (self.folder / SUGGESTED_FILE).exists():
            write_text(self.folder / SUGGESTED_FILE, json.dumps(suggested))
        finished, diverged = self.folder / FINISHED_FILE, self.folder / DIVERGED_FILE
        if finished.exists():
            self.rows = read_finished(finished).rows
            if inputs.reward.model is not None and NOT_JUDGED in self.rows[-1]:
                self._unjudged = {
                    name: v for name, v in self.rows.pop().items() if name not in (NOT_JUDGED, "finished")
                }
            elif "win_rate" in self.rows[-1] and records_flaw(
                inputs.experiment_dir / BASE_RESPONSES_FILE, inputs.prompts
            ):
                self._judging = True
                self._confine()
                self._surviving(lambda: base_answers(inputs, self._device))
        elif diverged.exists():
            raise FloatingPointError(diverged.read_text(encoding="utf-8"))
        elif len(attempts) >= MOST_ATTEMPTS:
            raise OutOfMemoryError(str(attempts[-1]))
        else:
            if attempts and attempts[-1].during == TRAINING:
                shape = read_shape(inputs.base_model, "model.name")
                self._plan = smaller_plan(config, shape, inputs.packing.device, attempts[-1])
            self._surviving(self._start)

    def advance(self) -> Row:
        """The next row: one that a former process reported already, or a new one after further training.

        Raises:
            FloatingPointError: the loss is not finite any more; the message names step and learning rate.
            OutOfMemoryError: memory has run out. Everything is let go of; a new TrialRun tries once more with less.
        """
        if self._replayed == len(self.rows):
            try:
                self.rows.append(self._surviving(self._next_row))
            except FloatingPointError as error:  # the same again on every retry, so it is not tried again
                write_text(self.folder / DIVERGED_FILE, str(error))
                raise
        self._replayed += 1
        return dict(self.rows[self._replayed - 1])

    def close(self) -> None:
        """Let go of everything that was allocated, so that the next trial in this process starts from zero."""
        self._training = None
        if self._limit_bytes is not None:
            limit_memory(self._device, None)
        self._lock.release()
        if self.config.compile:
            torch._dynamo.reset()  # compiled blocks stay allocated, and past a number of them blocks run uncompiled
        release_memory()

    def _surviving(self, work: Callable[[], T]) -> T:
        """Do a part of the trial; if memory runs out meanwhile, take it down, let go of everything, and say so."""
        try:
            return work()
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            asked = asked_bytes(error)
            reached = self._training.reached_bytes(error) if self._training else asked + allocated_bytes(self._device)
            traceback.clear_frames(error.__traceback__)  # they hold tensors
        execution = self._plan.execution if self._plan else as_configured(self.config)
        judging = self._judging or self._unjudged is not None
        attempt = Attempt(
            during=JUDGING if judging else TRAINING,
            micro_batch=execution.micro_batch,
            activation_checkpointing=execution.activation_checkpointing,
            predicted_bytes=self._plan.predicted.total if self._plan and not judging else None,
            reached_bytes=reached,
            asked_bytes=asked,
            limit_bytes=self._limit_bytes,
        )
        self.close()
        add_attempt(self.folder, attempt)
        raise OutOfMemoryError(str(attempt))

    # -------------------------------------------------------------------------------------------------------- rows

    def _start(self) -> None:
        transformers.utils.logging.disable_progress_bar()
        on_gpu = self._device.type == "cuda" and torch.cuda.is_available()
        if on_gpu and self.inputs.reward.model is not None and self.config.evaluate_on != Stage.TUNING:
            # The judge has been tried on the CPU alone. Here it shows what it does on the GPU before hours of training.
            self._confine()
            self._judging = True
            base_answers(self.inputs, self._device)
            self._judging = False
            release_memory()
        self._training = Training(self.config, self.inputs, self._plan, self._limit_bytes)
        goes_on = self._go_on(self.folder / CHECKPOINT_FILE)
        execution, threads = self._training.execution, torch.get_num_threads()
        record = make_record(self.config, self.inputs.provenance, execution, self._device, threads)
        begin_record(self.folder, record, goes_on)

    def _go_on(self, checkpoint: Path) -> bool:
        """Continue from a checkpoint if there is one; one that is damaged is set aside, and the trial starts afresh."""
        if not checkpoint.exists():
            return False
        try:
            self.load(checkpoint)
        except ValueError as error:
            self._training = None  # it may have taken a part of the checkpoint over
            release_memory()
            self._training = Training(self.config, self.inputs, self._plan, self._limit_bytes)
            self.rows, self._replayed, self._unjudged = [], 0, None
            self._remark(f"{error}{set_aside(checkpoint)}; the trial starts afresh")
            return False
        return True

    def _remark(self, remark: str) -> None:
        self.remarks.append(remark)
        print(remark, file=sys.stderr)

    def _confine(self) -> None:
        """Keep to the trial's share of the machine where there is no `Training`, which does so by itself."""
        torch.set_num_threads(max(1, int(self.inputs.cpus)))
        limit_memory(self._device, self._limit_bytes)

    def _next_row(self) -> Row:
        if self._training is None:  # trained by a former process, which could not judge it
            assert self._unjudged is not None, "a finished trial has all its rows"
            self._confine()
            return self._judge(self._unjudged, lambda: kept_model(self.config, self.inputs.base_model, self.folder))
        if not self.rows:
            return self._training.first_row()
        row = self._unjudged or self._training.next_row()
        if not self._training.done:
            if time.monotonic() - self._saved_at >= self.inputs.checkpoint_seconds:
                self._checkpoint([*self.rows, row])
            return row
        if self._unjudged is None:  # whatever goes wrong in judging, the training is kept
            self._unjudged = row
            self._checkpoint(self.rows)
        return self._finish(row, self._training)

    def _finish(self, row: Row, training: Training) -> Row:
        """Keep what was trained, judge the responses, and leave the rows for a later replay.

        A trial that only serves to choose settings sees no prompts, and its weights are of no further use.
        """
        training.drop_optimizer_state()
        if self.config.evaluate_on == Stage.TUNING:
            write_text(self.folder / WINDOW_LOSSES_FILE, json.dumps(training.window_losses))
            return self._keep(row)
        model = training.run.model
        write_atomically(
            self.folder / TRAINED_FILE,
            lambda partial: save_trained(model, partial),
            tensor_bytes(dict(trained_parameters(model))),
        )
        write_text(self.folder / WINDOW_LOSSES_FILE, json.dumps(training.window_losses))
        return self._judge(row, lambda: training.run.model)

    def _judge(self, row: Row, trained: Callable[[], GPT2LMHeadModel]) -> Row:
        """Judge what is trained, which has been kept; where that fails the losses stand, and the row says why."""
        try:
            judged = {**row, **judge(trained().to(self._device), self.config, self.inputs, self.folder)}
            if self.inputs.reward.model is not None:
                note_judged(self.folder)
        except Exception as error:
            unjudged = self._keep({**row, NOT_JUDGED: name_failure(error)})  # kept whether or not it is tried again
            tried = len(read_attempts(self.folder, since=self.inputs.began)) + 1
            if (ran_out_of_memory(error) and tried < MOST_ATTEMPTS) or accelerator_failed(error):
                raise  # a new process judges what is kept; this one has no memory, or no accelerator any more
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            return unjudged
        return self._keep(judged)

    def _keep(self, row: Row) -> Row:
        row["finished"] = True
        write_finished(self.folder, self.config, [*self.rows, row], known={})
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        return row

    # ------------------------------------------------------------------------------------------------- checkpoints

    def _checkpoint(self, rows: list[Row]) -> None:
        """Keep a checkpoint if the disk has room for it: a trial can do without, and may yet end well."""
        path = self.folder / CHECKPOINT_FILE
        try:
            self.save(path, rows)
        except DiskError as error:
            if not self._lacks_room:  # said once
                former = "with the one before" if path.exists() else "without one"
                self._remark(f"{error}; the trial goes on {former}")
            self._lacks_room = True
            self._saved_at = time.monotonic()

    def save(self, path: Path, rows: list[Row] | None = None) -> None:
        """Write all that a new process needs to continue to the bit."""
        assert self._training is not None
        state: Row = {
            "config": self.config.name,
            "training": self._training.state_dict(),
            "rows": self.rows if rows is None else rows,
            "unjudged": self._unjudged,
        }
        write_checkpoint(path, state)
        self._saved_at = time.monotonic()

    def load(self, path: Path) -> None:
        """Continue from a checkpoint; its rows are replayed first.

        Raises:
            ValueError: the checkpoint is damaged, another config's, or does not fit the model.
        """
        try:
            state = read_checkpoint(path)
            if state["config"] != self.config.name:
                raise ValueError(f"is of {state['config']}, not of {self.config.name}")
            self._restore(state)
        except LookupError as error:
            raise ValueError(f"{path} is damaged: {error} is missing") from None
        except Exception as error:  # torch.load and what takes the state over raise unrelated types
            if ran_out_of_memory(error) or isinstance(error, OSError):
                raise
            raise ValueError(f"{path} is damaged: {first_line(error)[:120]}") from error

    def _restore(self, state: Row) -> None:
        assert self._training is not None
        rows, unjudged = state["rows"], state["unjudged"]
        if not rows or not all(isinstance(row, dict) and "step" in row for row in [*rows, unjudged or rows[0]]):
            raise ValueError("its rows are not whole")
        self._training.load_state_dict(state["training"])
        if (unjudged or rows[-1])["step"] != self._training.run.step:
            raise ValueError("its rows are not those of its step")
        self.rows, self._replayed, self._unjudged = rows, 0, unjudged
