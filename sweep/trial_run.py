"""One trial from its TrialConfig to its last row of metrics, without Ray: train, report, checkpoint, finish, replay.

A trial keeps its state in its own directory, under a name made from its config. Whoever runs the same config in the
same experiment again, after a crash of the worker, the node or the driver, goes on from there: a finished trial
replays its rows, an unfinished one replays the rows up to its checkpoint and trains on.
"""

import json
import math
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from filelock import FileLock
from torch import Tensor

from model.gpt2_lora import save_trained
from model.memory_limit import asked_bytes, limit_memory, ran_out_of_memory
from model.peak_meter import PeakMeter
from model.sft import SFTRun
from sweep.base_shape import read_shape
from sweep.files import write_atomically, write_text
from sweep.inputs import SweepInputs
from sweep.judging import judge, release_memory
from sweep.memory_plan import MemoryPlan
from sweep.names import (
    CHECKPOINT_FILE,
    DIVERGED_FILE,
    FINISHED_FILE,
    SUGGESTED_FILE,
    TRAINED_FILE,
)
from sweep.out_of_memory import MOST_ATTEMPTS, Attempt, OutOfMemoryError, add_attempt, read_attempts, smaller_plan
from sweep.trial import TrialConfig
from sweep.trial_metrics import device_name, memory_metrics
from sweep.trial_model import Execution, as_configured, build_model, build_run
from sweep.windows import open_tokens, test_window_starts, train_window_starts, windows

Row = dict[str, Any]
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
        self.rows: list[Row] = []
        self._replayed = 0
        self._unjudged: Row | None = None
        self._saved_at = time.monotonic()
        self._run: SFTRun | None = None
        self._meter: PeakMeter | None = None
        self._plan = plan
        self._limit_bytes = limit_bytes
        attempts = read_attempts(self.folder)
        if suggested is not None and not (self.folder / SUGGESTED_FILE).exists():
            write_text(self.folder / SUGGESTED_FILE, json.dumps(suggested))
        finished, diverged = self.folder / FINISHED_FILE, self.folder / DIVERGED_FILE
        if finished.exists():
            self.rows = json.loads(finished.read_text(encoding="utf-8"))["rows"]
        elif diverged.exists():
            raise FloatingPointError(diverged.read_text(encoding="utf-8"))
        elif len(attempts) >= MOST_ATTEMPTS:
            raise OutOfMemoryError(str(attempts[-1]))
        else:
            if attempts:
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
        self._run = self._meter = None
        self._lock.release()
        if self.config.compile:
            torch._dynamo.reset()  # compiled blocks stay allocated, and past a number of them blocks run uncompiled
        limit_memory(self._device, None)
        release_memory()

    @property
    def _execution(self) -> Execution:
        return self._plan.execution if self._plan else as_configured(self.config)

    def _surviving(self, work: Callable[[], T]) -> T:
        """Do a part of the trial; if memory runs out meanwhile, take it down, let go of everything, and say so."""
        try:
            return work()
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            peak_bytes, live_bytes = self._meter.at_failure() if self._meter else (0, 0)
            asked = asked_bytes(error)
            reached = max(peak_bytes, live_bytes + asked)
            traceback.clear_frames(error.__traceback__)  # they hold tensors
        during = "judging" if self._unjudged is not None else "training"
        attempt = Attempt(
            during=during,
            windows_per_pass=self._execution.micro_batch,
            blocks_recomputed=self._execution.activation_checkpointing,
            predicted_bytes=self._plan.predicted.total if self._plan else None,
            reached_bytes=reached,
            asked_bytes=asked,
            limit_bytes=self._limit_bytes,
        )
        self.close()
        add_attempt(self.folder, attempt)
        raise OutOfMemoryError(str(attempt))

    # ---------------------------------------------------------------------------------------------------- training

    def _start(self) -> None:
        config, inputs = self.config, self.inputs
        transformers.utils.logging.disable_progress_bar()
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(
                "the trial was given a GPU, but torch finds no CUDA device: is this a CPU build of torch?"
            )
        device = self._device
        if (
            config.precision == "bf16"
            and device.type == "cuda"
            and not torch.cuda.is_bf16_supported(including_emulation=False)
        ):
            raise RuntimeError(f"precision bf16: {device_name(device)} has no bf16 arithmetic; accepted here: fp32")
        torch.set_num_threads(max(1, int(inputs.cpus)))
        torch.manual_seed(config.seed)
        limit_memory(device, self._limit_bytes)
        self._run = build_run(build_model(config, inputs.base_model), config, self._execution, device)
        self._train_tokens = open_tokens(inputs.train_tokens)
        test_tokens = open_tokens(inputs.test_tokens)
        starts = test_window_starts(len(test_tokens), config.block_size, config.test_windows)
        self._test = torch.from_numpy(windows(test_tokens, starts, config.block_size))
        self._train_seconds = self._evaluation_seconds = 0.0
        self._first_step = 0  # of this process
        self._meter = PeakMeter(self._run)
        checkpoint = self.folder / CHECKPOINT_FILE
        if checkpoint.exists():
            try:
                state = _read_checkpoint(checkpoint)
            except (pickle.UnpicklingError, EOFError, RuntimeError) as error:  # what torch.load raises for a torn file
                checkpoint.replace(checkpoint.with_suffix(".damaged"))
                print(f"{checkpoint} is damaged ({error}); the trial starts afresh", file=sys.stderr)
            else:
                self._restore(state, checkpoint)

    def _next_row(self) -> Row:
        if not self.rows:  # the base model as it is, before the first step
            return self._row({})
        row = self._unjudged or self._train_to_next_row()
        assert self._run is not None
        if self._run.step < self.config.steps:
            if time.monotonic() - self._saved_at >= self.inputs.checkpoint_seconds:
                self.save(self.folder / CHECKPOINT_FILE, [*self.rows, row])
            return row
        if self._unjudged is None:  # whatever goes wrong in judging, the training is kept
            self._unjudged = row
            self.save(self.folder / CHECKPOINT_FILE)
        return self._finish(row)

    def _train_to_next_row(self) -> Row:
        """Train until the next step at which a row is due, and evaluate."""
        assert self._run is not None  # a finished trial has no further row to train for
        assert self._meter is not None
        run, meter, config = self._run, self._meter, self.config
        until = min(config.steps, run.step - run.step % config.test_every + config.test_every)
        losses: list[Tensor] = []
        started = timed_from = time.perf_counter()
        timed_steps = 0
        while run.step < until:
            untimed = meter.accounting or run.step == self._first_step
            losses.append(meter.measure(lambda: run.train_step(self._batch(run.step))))
            timed_steps += 1
            if untimed:  # accounting and compiling slow a step down, so the speed is taken from the others
                losses[-1].item()  # reads back: a GPU must have done this step before the clock starts
                timed_from, timed_steps = time.perf_counter(), 0
        train_loss = float(torch.stack(losses).mean())  # reads back, so waits for the device
        now = time.perf_counter()
        self._train_seconds += now - started
        if not math.isfinite(train_loss):
            raise FloatingPointError(f"train loss became {train_loss} by step {run.step} (lr {config.lr:g})")
        seconds = (now - timed_from) / timed_steps if timed_steps else (now - started) / len(losses)
        tokens = config.batch_size * config.block_size
        losses.clear()  # they are small, but would count as retained
        return self._row(
            {
                "learning_rate": run.learning_rate_at(run.step - 1),
                "train_loss": train_loss,
                "step_seconds": seconds,
                "tokens_per_second": tokens / seconds,
            }
        )

    def _batch(self, step: int) -> Tensor:
        """The train windows of optimizer step `step`: (batch, block + 1) token ids."""
        config, tokens = self.config, self._train_tokens
        starts = train_window_starts(config.seed, step, config.batch_size, len(tokens), config.block_size)
        return torch.from_numpy(windows(tokens, starts, config.block_size))

    def _row(self, trained: Row) -> Row:
        """All metrics but the reward at the run's present step, around those of the training since the last row."""
        assert self._run is not None
        assert self._meter is not None
        run = self._run
        started = time.perf_counter()
        test_loss = run.evaluate(self._test)
        self._evaluation_seconds += time.perf_counter() - started
        if not math.isfinite(test_loss):
            raise FloatingPointError(f"test loss became {test_loss} by step {run.step} (lr {self.config.lr:g})")
        return {
            "step": run.step,
            "tokens_seen": run.step * self.config.batch_size * self.config.block_size,
            **trained,
            "test_loss": test_loss,
            "test_perplexity": math.exp(min(test_loss, 700.0)),  # exp overflows a float above 709
            "train_seconds": self._train_seconds,
            "evaluation_seconds": self._evaluation_seconds,
            **memory_metrics(run, self._meter, self._plan.predicted if self._plan else None),
        }

    def _finish(self, row: Row) -> Row:
        """Judge the responses, keep what was trained, and leave the rows for a later replay."""
        assert self._run is not None
        model = self._run.model
        for optimizer in self._run.optimizers:
            optimizer.state.clear()  # judging needs the room, and the checkpoint has it
        row = {**row, **judge(model, self.config, self.inputs, self.folder)}
        save_trained(model, self.folder / TRAINED_FILE)
        row["finished"] = True
        whole = {"config": self.config.model_dump(mode="json"), "rows": [*self.rows, row]}
        write_text(self.folder / FINISHED_FILE, json.dumps(whole))
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        return row

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save(self, path: Path, rows: list[Row] | None = None) -> None:
        """Write all that a new process needs to continue to the bit."""
        assert self._run is not None
        assert self._meter is not None
        state = {
            "config": self.config.name,
            "run": self._run.state_dict(),
            "meter": self._meter.state_dict(),
            "execution": asdict(self._execution),
            "rows": self.rows if rows is None else rows,
            "unjudged": self._unjudged,
            "train_seconds": self._train_seconds,
            "evaluation_seconds": self._evaluation_seconds,
        }
        write_atomically(path, lambda partial: torch.save(state, partial))
        self._saved_at = time.monotonic()

    def load(self, path: Path) -> None:
        """Continue from a checkpoint; its rows are replayed first.

        Raises:
            ValueError: the checkpoint is another config's, or does not fit the model.
        """
        self._restore(_read_checkpoint(path), path)

    def _restore(self, state: Row, path: Path) -> None:
        assert self._run is not None
        assert self._meter is not None
        if state["config"] != self.config.name:
            raise ValueError(f"{path} is a checkpoint of {state['config']}, not of {self.config.name}")
        self._run.load_state_dict(state["run"])
        self._first_step = self._run.step
        self._meter.load_state_dict(state["meter"], as_before=state["execution"] == asdict(self._execution))
        self.rows, self._replayed, self._unjudged = state["rows"], 0, state["unjudged"]
        self._train_seconds, self._evaluation_seconds = state["train_seconds"], state["evaluation_seconds"]


def _read_checkpoint(path: Path) -> Row:
    state: Row = torch.load(path, map_location="cpu", weights_only=True)  # random states must stay on the CPU
    return state
