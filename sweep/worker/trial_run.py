"""One trial under way, without Ray: it reports row after row, keeps checkpoints, and ends.

A trial keeps its state in its own directory, under a name made from its config. `sweep.worker.opening.open_trial` reads
that state and makes the TrialRun, which replays the rows of a former process and trains on behind them.
"""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import transformers
from filelock import BaseFileLock
from transformers import PreTrainedModel

from basis.checksums import set_aside
from basis.directory import CHECKPOINT_FILE, DIVERGED_FILE, WINDOW_LOSSES_FILE
from basis.errors import first_line, name_failure
from basis.files import write_text
from basis.metrics import NOT_JUDGED, Row
from basis.stages import Stage
from model.memory_limit import allocated_bytes, asked_bytes, limit_memory, ran_out_of_memory
from sweep.inputs import SweepInputs
from sweep.memory.attempts import JUDGING, TRAINING, Attempt, OutOfMemoryError, add_attempt, is_last_attempt
from sweep.memory.plan import MemoryPlan
from sweep.provenance.trial_record import begin_trial_record, make_trial_record, note_judged
from sweep.storage.checkpoint import URGENT_SECONDS, CheckpointFile, TrialCheckpoint
from sweep.storage.finished import write_finished
from sweep.trial.config import TrialConfig
from sweep.trial.model import as_configured
from sweep.worker.judging import accelerator_failed, base_answers, judge, keep_model, kept_model, release_memory
from sweep.worker.training import Training

T = TypeVar("T")


@dataclass(frozen=True)
class Host:
    """What a trial that runs under Ray has around it.

    Attributes:
        notice: why the machine will be taken away; None while nothing says so.
        kept: called when a checkpoint has been kept between two rows.
    """

    notice: Callable[[], str | None]
    kept: Callable[[], None]


NOBODY = Host(lambda: None, lambda: None)


class TrialRun:
    """Call `advance` until it returns a row with `finished: true`; then the trial's directory holds all its results.

    Attributes:
        config: the trial.
        folder: its directory.
        rows: what it has reported, and what it replays.
        remarks: what is out of the ordinary and no failure, a line each.
    """

    def __init__(
        self,
        config: TrialConfig,
        inputs: SweepInputs,
        lock: BaseFileLock,
        plan: MemoryPlan | None,
        limit_bytes: int | None,
        host: Host = NOBODY,
    ) -> None:
        """Build the run of a trial whose directory is locked by `lock`; see `open_trial` for the other arguments."""
        self.config = config
        self.inputs = inputs
        self.folder = inputs.experiment_dir / config.name
        self.rows: list[Row] = []
        self.remarks: list[str] = []
        self._device = torch.device(inputs.packing.device.type)
        self._lock = lock
        self._host = host
        self._plan = plan
        self._limit_bytes = limit_bytes
        self._training: Training | None = None
        self._replayed = 0
        self._unjudged: Row | None = None
        self._base_answers = False  # being made, when nothing is trained yet
        self._checkpoint_file = CheckpointFile(self.folder / CHECKPOINT_FILE, inputs.checkpoint_seconds)

    # ------------------------------------------------------------------------------------------------------ opening

    def replay(self, rows: list[Row], unjudged: Row | None = None) -> None:
        """Have `advance` return the rows of a former process first; an `unjudged` last row is then judged."""
        self.rows, self._replayed, self._unjudged = rows, 0, unjudged

    def answer_as_base(self) -> None:
        """Make the base model's answers, if they are not there.

        Raises:
            OutOfMemoryError: memory has run out.
        """
        self._confine()
        self._base_answers = True
        self._carry_out(lambda: base_answers(self.inputs, self._device))
        self._base_answers = False

    def begin(self, smaller: MemoryPlan | None = None) -> None:
        """Load what is trained, and continue from the checkpoint of a former process if there is one.

        Args:
            smaller: a plan that takes the place of the trial's own, under which memory ran out.

        Raises:
            OutOfMemoryError: memory has run out. Everything is let go of.
        """
        self._plan = smaller or self._plan
        transformers.utils.logging.disable_progress_bar()
        on_gpu = self._device.type == "cuda" and torch.cuda.is_available()
        if on_gpu and self.inputs.reward.judged_by is not None and self.config.evaluate_on != Stage.TUNING:
            # The judge has been tried on the CPU alone. Here it shows what it does on the GPU before hours of training.
            self.answer_as_base()
            release_memory()
        self._carry_out(self._begin)

    def _begin(self) -> None:
        self._training = self._load_training()
        goes_on = self._continue_from(self._checkpoint_file.path)
        execution, threads = self._training.execution, torch.get_num_threads()
        record = make_trial_record(self.config, self.inputs.provenance, execution, self._device, threads)
        if self._training.test_rows is not None:
            record["test_rows"] = self._training.test_rows
        begin_trial_record(self.folder, record, goes_on)

    def _load_training(self) -> Training:
        return Training(self.config, self.inputs, self._plan, self._limit_bytes)

    def _continue_from(self, checkpoint: Path) -> bool:
        """Continue from a checkpoint if there is one; one that is damaged is set aside, and the trial starts afresh."""
        if not checkpoint.exists():
            return False
        try:
            self.load(checkpoint)
        except ValueError as error:
            self._training = None  # it may have taken a part of the checkpoint over
            release_memory()
            self._training = self._load_training()
            self.replay([])
            self.remark(f"{error}{set_aside(checkpoint)}; the trial starts afresh")
            return False
        return True

    def remark(self, remark: str) -> None:
        """Keep a line for the user, and write it to the log."""
        self.remarks.append(remark)
        print(remark, file=sys.stderr)

    def take_remarks(self) -> list[str]:
        """The remarks since they were last taken."""
        taken, self.remarks = self.remarks, []
        return taken

    def _confine(self) -> None:
        """Keep to the trial's share of the machine where there is no `Training`, which does so by itself."""
        torch.set_num_threads(max(1, int(self.inputs.cpus)))
        limit_memory(self._device, self._limit_bytes)

    # --------------------------------------------------------------------------------------------------------- rows

    def advance(self) -> Row:
        """The next row: one that a former process reported already, or a new one after further training.

        Raises:
            FloatingPointError: the loss is not finite any more; the message names step and learning rate.
            OutOfMemoryError: memory has run out. Everything is let go of; `open_trial` tries once more with less.
        """
        if self._replayed == len(self.rows):
            self.rows.append(self._carry_out(self._next_row))
        self._replayed += 1
        return dict(self.rows[self._replayed - 1])

    def _next_row(self) -> Row:
        if self._training is None:  # trained by a former process, which could not judge it
            assert self._unjudged is not None, "a finished trial has all its rows"
            self._confine()
            return self._judge(self._unjudged, lambda: kept_model(self.config, self.inputs.base_model, self.folder))
        if not self.rows:
            return self._training.first_row()
        row = self._unjudged or self._training.next_row(self._is_due_between_rows, self._keep_between_rows)
        if not self._training.done:
            self._heed_notice()
            if self._checkpoint_file.is_due:
                self._keep_checkpoint([*self.rows, row])
            return row
        if self._unjudged is None:  # whatever goes wrong in judging, the training is kept
            self._unjudged = row
            self._keep_checkpoint(self.rows)
        return self._keep_and_judge(row, self._training)

    def _keep_and_judge(self, row: Row, training: Training) -> Row:
        """Keep what was trained, judge the responses, and leave the rows for a later replay.

        A trial that only serves to choose settings sees no prompts, and its weights are of no further use.
        """
        training.drop_optimizer_state()
        if self.config.evaluate_on == Stage.TUNING:
            write_text(self.folder / WINDOW_LOSSES_FILE, json.dumps(training.window_losses))
            return self._finish(row)
        keep_model(training.run.model, self.folder)
        write_text(self.folder / WINDOW_LOSSES_FILE, json.dumps(training.window_losses))
        return self._judge(row, lambda: training.run.model)

    def _judge(self, row: Row, trained: Callable[[], PreTrainedModel]) -> Row:
        """Judge what is trained, which has been kept; where that fails the losses stand, and the row says why."""
        try:
            judged = {**row, **judge(trained().to(self._device), self.config, self.inputs, self.folder)}
            if self.inputs.reward.judged_by is not None:
                note_judged(self.folder)
        except Exception as error:
            unjudged = self._finish({**row, NOT_JUDGED: name_failure(error)})  # kept whether or not it is tried again
            last = is_last_attempt(self.folder, since=self.inputs.began)
            if (ran_out_of_memory(error) and not last) or accelerator_failed(error):
                raise  # a new process judges what is kept; this one has no memory, or no accelerator any more
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            return unjudged
        return self._finish(judged)

    # --------------------------------------------------------------------------------------------- how a trial ends

    def _finish(self, row: Row) -> Row:
        """The trial has trained to its end: keep all rows. `row` is the last; without rewards it says why."""
        row["finished"] = True
        write_finished(self.folder, self.config, [*self.rows, row], known={})
        self._checkpoint_file.remove()
        return row

    def _carry_out(self, part: Callable[[], T]) -> T:
        """Carry out a part of the trial. Every error that ends the trial passes here: diverged, out of memory, failed.

        Raises:
            FloatingPointError: the loss is not finite; noted, since it would be the same on every retry.
            OutOfMemoryError: memory has run out; noted, and everything is let go of.
            Exception: the trial has failed in another way.
        """
        try:
            return part()
        except FloatingPointError as error:
            write_text(self.folder / DIVERGED_FILE, str(error))
            raise
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            attempt = self._attempt(error)
            traceback.clear_frames(error.__traceback__)  # they hold tensors
        self.close()
        add_attempt(self.folder, attempt)
        raise OutOfMemoryError(str(attempt))

    def _attempt(self, error: Exception) -> Attempt:
        """What was planned, allowed and reached when memory ran out with `error`."""
        asked = asked_bytes(error)
        reached = self._training.reached_bytes(error) if self._training else asked + allocated_bytes(self._device)
        execution = self._plan.execution if self._plan else as_configured(self.config)
        judging = self._base_answers or self._unjudged is not None
        predicted = self._plan.predicted if self._plan else None
        return Attempt(
            during=JUDGING if judging else TRAINING,
            micro_batch=execution.micro_batch,
            activation_checkpointing=execution.activation_checkpointing,
            predicted_bytes=predicted.total if predicted and not judging else None,
            reached_bytes=reached,
            asked_bytes=asked,
            limit_bytes=self._limit_bytes,
        )

    def close(self) -> None:
        """Let go of everything that was allocated, so that the next trial in this process starts from zero."""
        self._training = None
        self._lock.release()  # first, whatever an accelerator says of the rest
        if self._limit_bytes is not None:
            limit_memory(self._device, None)
        if self.config.compile:
            torch._dynamo.reset()  # compiled blocks stay allocated, and past a number of them blocks run uncompiled
        release_memory()

    # ------------------------------------------------------------------------------------------------- checkpoints

    def _heed_notice(self) -> None:
        """Once the machine is known to be taken away, checkpoints are kept in short order."""
        if not self._checkpoint_file.is_urgent and (notice := self._host.notice()) is not None:
            self._checkpoint_file.is_urgent = True
            self.remark(f"its machine will be taken away ({notice}); a checkpoint is kept every {URGENT_SECONDS:.0f} s")

    def _is_due_between_rows(self) -> bool:
        self._heed_notice()
        return self._checkpoint_file.is_due_between_rows

    def _keep_between_rows(self) -> None:
        self._keep_checkpoint(self.rows)
        self._host.kept()

    def _keep_checkpoint(self, rows: list[Row]) -> None:
        if remark := self._checkpoint_file.replace(self._checkpoint(rows)):
            self.remark(remark)

    def save(self, path: Path) -> None:
        """Write all that a new process needs to continue to the bit."""
        self._checkpoint(self.rows).write(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint; its rows are replayed first.

        Raises:
            ValueError: the checkpoint is damaged, another config's, or does not fit the model.
        """
        assert self._training is not None
        try:
            checkpoint = TrialCheckpoint.read(path, self.config.name)
            self._training.load_state_dict(checkpoint.training)
            if checkpoint.step + self._training.steps_since_row != self._training.run.step:
                raise ValueError("its rows are not those of its step")
        except LookupError as error:
            raise ValueError(f"{path} is damaged: {error} is missing") from None
        except Exception as error:  # torch.load and what takes the state over raise unrelated types
            if ran_out_of_memory(error) or isinstance(error, OSError):
                raise
            raise ValueError(f"{path} is damaged: {first_line(error)[:120]}") from error
        self.replay(checkpoint.rows, checkpoint.unjudged)

    def _checkpoint(self, rows: list[Row]) -> TrialCheckpoint:
        assert self._training is not None
        return TrialCheckpoint(self.config.name, self._training.state_dict(), rows, self._unjudged)
