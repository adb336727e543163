"""The training of one trial: it runs on its data, is timed, evaluated and measured, and gives a row of metrics."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basis.metrics import GENERAL_LOSS_BASE, Row
from basis.stages import Stage
from model.library_optimizers import move_to_average
from model.memory_limit import asked_bytes, limit_memory
from model.peak_meter import PeakMeter, start_threads
from model.precision import LEAST_SCALE
from sweep.data.batches import HeldOut, TrainBatches, held_out
from sweep.inputs import SweepInputs
from sweep.machine.gpu_facts import lacking, precisions_of
from sweep.memory.plan import MemoryPlan
from sweep.trial.config import TrialConfig
from sweep.trial.metrics import device_name, memory_metrics
from sweep.trial.model import as_configured, build_model, build_run
from sweep.worker.row_clock import RowClock


class Training:
    """A trial's training in this process, from its first step, or from a later one after `load_state_dict`.

    Attributes:
        config: the trial.
        execution: how its steps are divided, and what is computed twice.
        run: the model in training.
        window_losses: of the last evaluation, by metric: the loss of each held-out window in nats per token; and of
            general text before the first step, `GENERAL_LOSS_BASE`.
    """

    def __init__(
        self, config: TrialConfig, inputs: SweepInputs, plan: MemoryPlan | None, limit_bytes: int | None
    ) -> None:
        """Load and build what is trained; see `open_trial` for the arguments.

        Raises:
            RuntimeError: the trial is to run on a GPU that is not there or cannot do what it asks.
        """
        self.config = config
        self.execution = plan.execution if plan else as_configured(config)
        self._predicted = plan.predicted if plan else None
        device = torch.device(inputs.packing.device.type)
        _check_device(device, config)
        torch.set_num_threads(max(1, int(inputs.cpus)))
        torch.manual_seed(config.seed)
        if device.type == "cpu" and limit_bytes is not None:
            start_threads()
        limit_memory(device, limit_bytes)
        self.run = build_run(build_model(config, inputs.base_model), config, self.execution, device)
        self._batches = TrainBatches(inputs.train_tokens, config)
        self._held_out: dict[str, HeldOut] = {}
        if config.evaluate_on != Stage.TUNING:
            self._held_out["test_loss"] = held_out(inputs.test_tokens, config)
        if config.evaluate_on != Stage.PLAIN:
            assert inputs.validation_tokens is not None, "a sweep that tunes has prepared validation windows"
            self._held_out["validation_loss"] = held_out(inputs.validation_tokens, config)
        self._general = None
        if inputs.general_tokens is not None and config.evaluate_on != Stage.TUNING:
            self._general = held_out(inputs.general_tokens, config)
        self.window_losses: dict[str, list[float]] = {}
        self._tokens_seen = self._scored_tokens_seen = 0
        self._train_seconds = self._evaluation_seconds = 0.0
        self._first_step = 0  # of this process
        self._row_losses: list[Tensor] = []  # of the steps since the last row
        self._row_tokens = 0  # that went through the model in them
        self._meter = PeakMeter(self.run)

    @property
    def test_rows(self) -> str | None:
        """Which text each test row holds, see `HeldOut.text_digest`; None where there are no test rows."""
        return self._held_out["test_loss"].text_digest if "test_loss" in self._held_out else None

    @property
    def done(self) -> bool:
        """Whether the last step has been taken."""
        return self.run.step >= self.config.steps

    def first_row(self) -> Row:
        """The metrics of the base model as it is, before the first step."""
        return self._row({})

    @property
    def steps_since_row(self) -> int:
        """How many steps have been taken since the last row."""
        return len(self._row_losses)

    def next_row(self, is_due: Callable[[], bool] = lambda: False, keep: Callable[[], None] = lambda: None) -> Row:
        """Train until the next step at which a row is due, and evaluate.

        Args:
            is_due: asked between two steps: whether a checkpoint is to be kept now.
            keep: keeps it; its time is none of the training's.

        Raises:
            FloatingPointError: the loss is not finite any more, or gradients overflow fp16 whatever they are scaled
                by; the message names step and learning rate.
        """
        run, meter, config, losses = self.run, self._meter, self.config, self._row_losses
        until = min(config.steps, run.step - run.step % config.test_every + config.test_every)
        steps_before = run.step
        clock = RowClock()
        while run.step < until:
            if run.step > steps_before and is_due():
                losses[-1].item()  # reads back, so that the time of the steps stays with them
                self._train_seconds += clock.lap()
                keep()
                clock.go_on()
            untimed = meter.accounting or run.step == self._first_step
            batch = self._batches.at(run.step)
            losses.append(meter.train_step(batch))
            self._row_tokens += batch.input_count
            self._tokens_seen += batch.input_count
            self._scored_tokens_seen += batch.scored_count
            clock.timed_steps += 1
            if untimed:  # accounting and compiling slow a step down, so the speed is taken from the others
                losses[-1].item()  # reads back: a GPU must have done this step before the clock starts
                clock.time_from_here()
        train_loss = float(torch.stack(losses).mean())  # reads back, so waits for the device
        self._train_seconds += clock.lap()
        if not math.isfinite(train_loss):
            raise FloatingPointError(f"train loss became {train_loss} by step {run.step} (lr {config.lr:g})")
        self._check_scale()
        seconds = clock.step_seconds(run.step - steps_before)
        tokens = self._row_tokens / len(losses)  # of a step
        losses.clear()  # they are small, but would count as retained
        self._row_tokens = 0
        return self._row(
            {
                "learning_rate": run.learning_rate_at(run.step - 1),
                "train_loss": train_loss,
                "step_seconds": seconds,
                "tokens_per_second": tokens / seconds,
            }
        )

    def _check_scale(self) -> None:
        """Refuse to go on in fp16 where no scale helps, and to end where no step has changed anything."""
        run = self.run
        skipped = run.scaler.skipped_steps()
        if skipped and (run.scaler.last_scale() < LEAST_SCALE or (self.done and skipped == run.step)):
            raise FloatingPointError(
                f"gradients overflow in fp16 by step {run.step} (lr {self.config.lr:g}): {skipped} steps changed "
                f"nothing, and the loss scale fell to {run.scaler.last_scale():g}; accepted: bf16, tf32 or fp32"
            )

    def _row(self, trained: Row) -> Row:
        """All metrics but the reward at the run's present step, around those of the training since the last row."""
        run = self.run
        losses = self._evaluate()
        return {
            "step": run.step,
            "tokens_seen": self._tokens_seen,
            "scored_tokens_seen": self._scored_tokens_seen,
            **trained,
            **losses,
            **_present("skipped_steps", run.scaler.skipped_steps()),
            "train_seconds": self._train_seconds,
            "evaluation_seconds": self._evaluation_seconds,
            "clock_seconds": time.time(),
            **memory_metrics(run, self._meter, self._predicted),
        }

    def _evaluate(self) -> dict[str, float]:
        """The losses on held-out windows that are due at the present step, by metric."""
        run, row = self.run, {}
        started = time.perf_counter()
        for metric, rows in self._held_out.items():
            if metric == "test_loss" and self.config.evaluate_on != Stage.PLAIN and not self.done:
                continue
            by_row = run.evaluate(rows.batch)
            self.window_losses[metric] = _window_losses(by_row)
            row[metric] = float(np.mean(self.window_losses[metric]))
            if metric == "test_loss" and rows.text_bytes:
                row["test_bits_per_byte"] = sum(nats for nats, _ in by_row) / math.log(2) / rows.text_bytes
            self._check_finite(metric, row[metric])
        if self._general is not None and (run.step == 0 or self.done):
            row |= self._evaluate_general(self._general)
        self._evaluation_seconds += time.perf_counter() - started
        if "test_loss" in row:
            row["test_perplexity"] = math.exp(min(row["test_loss"], 700.0))  # exp overflows a float above 709
        return row

    def _evaluate_general(self, general: HeldOut) -> dict[str, float]:
        """The loss on general text, and after the last step how far it has risen since before the first."""
        losses = _window_losses(self.run.evaluate(general.batch))
        self.window_losses["general_loss" if self.done else GENERAL_LOSS_BASE] = losses
        loss = float(np.mean(losses))
        self._check_finite("general_loss", loss)
        if not self.done:
            return {"general_loss": loss}
        return {"general_loss": loss, "forgetting": loss - float(np.mean(self.window_losses[GENERAL_LOSS_BASE]))}

    def _check_finite(self, metric: str, loss: float) -> None:
        if not math.isfinite(loss):
            name, run = metric.replace("_", " "), self.run
            raise FloatingPointError(f"{name} became {loss} by step {run.step} (lr {self.config.lr:g})")

    def drop_optimizer_state(self) -> None:
        """Free the optimizer's state before the model is kept and judged, at its average where the optimizer averages.

        Nothing is trained afterwards.
        """
        move_to_average(self.run.optimizers)
        for optimizer in self.run.optimizers:
            optimizer.state.clear()

    def reached_bytes(self, error: BaseException) -> int:
        """The most bytes that tensors had, the allocation that failed with `error` included."""
        peak_bytes, live_bytes = self._meter.at_failure()
        return max(peak_bytes, live_bytes + asked_bytes(error))

    def state_dict(self) -> dict[str, Any]:
        """All that a new process needs to continue to the bit."""
        return {
            "run": self.run.state_dict(),
            "meter": self._meter.state_dict(),
            "execution": asdict(self.execution),
            "train_seconds": self._train_seconds,
            "evaluation_seconds": self._evaluation_seconds,
            "window_losses": self.window_losses,
            "tokens_seen": self._tokens_seen,
            "scored_tokens_seen": self._scored_tokens_seen,
            "row_losses": torch.stack(self._row_losses) if self._row_losses else None,
            "row_tokens": self._row_tokens,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; under another execution, memory is measured anew."""
        self.run.load_state_dict(state["run"])
        self._first_step = self.run.step
        self._meter.load_state_dict(state["meter"], as_before=state["execution"] == asdict(self.execution))
        self._train_seconds, self._evaluation_seconds = state["train_seconds"], state["evaluation_seconds"]
        self.window_losses = state["window_losses"]
        all_tokens = self.run.step * self.config.batch_size * self.config.block_size  # when a checkpoint kept no count
        self._tokens_seen = state.get("tokens_seen", all_tokens)
        self._scored_tokens_seen = state.get("scored_tokens_seen", all_tokens)
        losses = state.get("row_losses")  # absent from the checkpoints of a former version, which were kept at rows
        self._row_losses = [] if losses is None else list(losses.to(self.run.device).unbind())
        self._row_tokens = state.get("row_tokens", 0)


def _window_losses(by_window: list[tuple[float, int]]) -> list[float]:
    """Each window's share of the mean loss, in nats per scored token: their mean is that of all scored tokens.

    Args:
        by_window: nats and scored tokens of each, as `SFTRun.evaluate` gives them.
    """
    scored_each = sum(scored for _, scored in by_window) / len(by_window)  # on average
    return [nats / scored_each for nats, _ in by_window]


def _present(name: str, value: int | None) -> Row:
    return {} if value is None else {name: value}


def _check_device(device: torch.device, config: TrialConfig) -> None:
    if device.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise RuntimeError("the trial was given a GPU, but torch finds no CUDA device: is this a CPU build of torch?")
    has = precisions_of(torch.cuda.get_device_capability(device))
    if flaw := lacking(config.precision, device_name(device), has):  # of a GPU that could not be asked beforehand
        raise RuntimeError(flaw)
