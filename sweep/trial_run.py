"""One trial from its TrialConfig to its last row of metrics, without Ray: train, report, checkpoint, finish, replay.

A trial keeps its state in its own directory, under a name made from its config. Whoever runs the same config in the
same experiment again, after a crash of the worker, the node or the driver, goes on from there: a finished trial
replays its rows, an unfinished one replays the rows up to its checkpoint and trains on.
"""

import gc
import json
import math
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock
from torch import Tensor

from model.gpt2_lora import save_trained
from model.memory import PeakMeter, gradient_bytes, optimizer_state_bytes, weight_bytes
from model.optimizers import OptimizerSettings, build_optimizers
from model.sft import SFTRun, SFTSettings
from sweep.files import write_atomically, write_text
from sweep.hardware import cpu_name
from sweep.inputs import SweepInputs
from sweep.names import (
    CHECKPOINT_FILE,
    DEVICE,
    DIVERGED_FILE,
    FINISHED_FILE,
    PEAK_SOURCE,
    SUGGESTED_FILE,
    TRAINED_FILE,
)
from sweep.reward_metric import base_records, evaluate_reward
from sweep.tokens import load_tokenizer
from sweep.trial import TrialConfig
from sweep.trial_model import build_model, in_fp32
from sweep.windows import open_tokens, test_window_starts, train_window_starts, windows

Row = dict[str, Any]


class TrialRun:
    """Call `advance` until it returns a row with `finished: true`; then the trial's directory holds all its results."""

    def __init__(self, config: TrialConfig, inputs: SweepInputs, suggested: dict[str, Any] | None = None) -> None:
        """Begin, or continue, the trial of `config`.

        Args:
            config: the trial.
            inputs: what the sweep's trials share.
            suggested: what a search algorithm chose the config by, kept with the trial for a resumed search.
        """
        self.config = config
        self.inputs = inputs
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
        if suggested is not None and not (self.folder / SUGGESTED_FILE).exists():
            write_text(self.folder / SUGGESTED_FILE, json.dumps(suggested))
        finished, diverged = self.folder / FINISHED_FILE, self.folder / DIVERGED_FILE
        if finished.exists():
            self.rows = json.loads(finished.read_text(encoding="utf-8"))["rows"]
        elif diverged.exists():
            raise FloatingPointError(diverged.read_text(encoding="utf-8"))
        else:
            self._start()

    def advance(self) -> Row:
        """The next row: one that a former process reported already, or a new one after further training.

        Raises:
            FloatingPointError: the loss is not finite any more; the message names step and learning rate.
        """
        if self._replayed == len(self.rows):
            try:
                self.rows.append(self._next_row())
            except FloatingPointError as error:  # the same again on every retry, so it is not tried again
                write_text(self.folder / DIVERGED_FILE, str(error))
                raise
        self._replayed += 1
        return dict(self.rows[self._replayed - 1])

    def close(self) -> None:
        """Let go of everything that was allocated, so that the next trial in this process starts from zero."""
        self._run = None
        self.__dict__.pop("_meter", None)
        self.__dict__.pop("_model", None)
        self._lock.release()
        if self.config.compile:
            torch._dynamo.reset()  # compiled blocks stay allocated, and past a number of them blocks run uncompiled
        gc.collect()
        if torch.cuda.is_available():
            torch._C._cuda_clearCublasWorkspaces()  # otherwise part of the next trial's baseline
            torch.cuda.empty_cache()

    # ---------------------------------------------------------------------------------------------------- training

    def _start(self) -> None:
        config, inputs = self.config, self.inputs
        transformers.utils.logging.disable_progress_bar()
        if inputs.gpus and not torch.cuda.is_available():
            raise RuntimeError(
                "the trial was given a GPU, but torch finds no CUDA device: is this a CPU build of torch?"
            )
        device = torch.device("cuda" if inputs.gpus else "cpu")
        if config.precision == "bf16" and inputs.gpus and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise RuntimeError(f"precision bf16: {device_name(device)} has no bf16 arithmetic; accepted here: fp32")
        torch.set_num_threads(max(1, int(inputs.cpus)))
        torch.manual_seed(config.seed)
        self._model = build_model(config, inputs.base_model).to(device)
        settings = OptimizerSettings(
            config.optimizer, config.lr, config.weight_decay, config.momentum or 0.0, config.betas or (0.0, 0.0)
        )
        self._run = SFTRun(
            self._model,
            build_optimizers(self._model, settings),
            SFTSettings(
                steps=config.steps,
                lr=config.lr,
                micro_batch=config.micro_batch or config.batch_size,
                schedule=config.schedule,
                warmup_steps=config.warmup_steps,
                clip_norm=config.clip_norm,
                precision=config.precision,
                compile=config.compile,
            ),
            device,
        )
        self._train_tokens = open_tokens(inputs.train_tokens)
        test_tokens = open_tokens(inputs.test_tokens)
        starts = test_window_starts(len(test_tokens), config.block_size, config.test_windows)
        self._test = torch.from_numpy(windows(test_tokens, starts, config.block_size))
        self._train_seconds = self._evaluation_seconds = 0.0
        self._first_step = 0  # of this process
        self._meter = PeakMeter(self._model, device)
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
        run, config = self._run, self.config
        until = min(config.steps, run.step - run.step % config.test_every + config.test_every)
        losses: list[Tensor] = []
        started = timed_from = time.perf_counter()
        timed_steps = 0
        while run.step < until:
            untimed = self._meter.profiling or run.step == self._first_step
            losses.append(self._meter.measure(lambda: run.train_step(self._batch(run.step))))
            timed_steps += 1
            if untimed:  # profiling and compiling slow a step down, so the speed is taken from the others
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
        run, meter = self._run, self._meter
        started = time.perf_counter()
        test_loss = run.evaluate(self._test)
        self._evaluation_seconds += time.perf_counter() - started
        if not math.isfinite(test_loss):
            raise FloatingPointError(f"test loss became {test_loss} by step {run.step} (lr {self.config.lr:g})")
        meter.read()
        measured = {
            "step": run.step,
            "tokens_seen": run.step * self.config.batch_size * self.config.block_size,
            **trained,
            "test_loss": test_loss,
            "test_perplexity": math.exp(min(test_loss, 700.0)),  # exp overflows a float above 709
            "train_seconds": self._train_seconds,
            "evaluation_seconds": self._evaluation_seconds,
            DEVICE: device_name(run.device),
            PEAK_SOURCE: meter.source,
            "peak_bytes": meter.peak_bytes,
            "reserved_peak_bytes": meter.reserved_peak_bytes,
            "retained_delta_bytes": meter.retained_delta_bytes,
            "weight_bytes": weight_bytes(run.model),
            "gradient_bytes": gradient_bytes(run.model),
            "optimizer_state_bytes": optimizer_state_bytes(run.optimizers),
            "trainable_parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
            "total_parameters": sum(p.numel() for p in run.model.parameters()),
        }
        return {name: value for name, value in measured.items() if value is not None}

    def _finish(self, row: Row) -> Row:
        """Judge the responses, keep what was trained, and leave the rows for a later replay."""
        inputs = self.inputs
        if inputs.reward.model is not None:
            base = base_records(inputs, self._model.device)
            started = time.perf_counter()
            model, tokenizer = in_fp32(self._model, self.config, inputs.base_model), load_tokenizer(inputs.tokenizer)
            row = row | evaluate_reward(model, tokenizer, inputs.prompts, inputs.reward, base, self.folder)
            row["reward_seconds"] = time.perf_counter() - started
        save_trained(self._model, self.folder / TRAINED_FILE)
        row["finished"] = True
        whole = {"config": self.config.model_dump(mode="json"), "rows": [*self.rows, row]}
        write_text(self.folder / FINISHED_FILE, json.dumps(whole))
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        return row

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save(self, path: Path, rows: list[Row] | None = None) -> None:
        """Write all that a new process needs to continue to the bit."""
        assert self._run is not None
        state = {
            "config": self.config.name,
            "run": self._run.state_dict(),
            "meter": self._meter.state_dict(),
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
        if state["config"] != self.config.name:
            raise ValueError(f"{path} is a checkpoint of {state['config']}, not of {self.config.name}")
        self._run.load_state_dict(state["run"])
        self._first_step = self._run.step
        self._meter.load_state_dict(state["meter"])
        self.rows, self._replayed, self._unjudged = state["rows"], 0, state["unjudged"]
        self._train_seconds, self._evaluation_seconds = state["train_seconds"], state["evaluation_seconds"]


def device_name(device: torch.device) -> str:
    """What the report calls the device: the GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def _read_checkpoint(path: Path) -> Row:
    state: Row = torch.load(path, map_location="cpu", weights_only=True)  # random states must stay on the CPU
    return state
