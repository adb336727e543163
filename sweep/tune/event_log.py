"""Tells what happens to trials, as Ray tells it: to the experiment's events.jsonl, and to whoever listens."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from analysis.results.arm_labels import arm_key, is_tuning, label_arms
from basis.metrics import DEVICE, METRIC, NOT_JUDGED, PLACE, REMARKS, Row
from basis.outcomes import Ending
from sweep.cluster.privacy import for_others
from sweep.inputs import SweepInputs
from sweep.memory.device import Device
from sweep.progress.event_file import append_events
from sweep.progress.events import (
    LARGEST,
    DeviceMemory,
    EndEvent,
    EndState,
    Event,
    OverEvent,
    PlannedTrial,
    RowEvent,
    StartEvent,
    SweepEvent,
)
from sweep.proposal import Proposal
from sweep.search_space import SweepPlan
from sweep.trial.config import TrialConfig
from sweep.tune.counts import SweepCounts
from sweep.tune.pickled_empty import PickledEmpty

LOSS_UNITS = ("nats/token", "bits/byte")


class EventLog(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Makes events of what Ray tells, and records them.

    A disk that is full ends no sweep: events are then lost, and the user is told so once.
    """

    def __init__(
        self,
        path: Path,
        hear: Callable[[Event], None],
        tell: Callable[[str], None],
        recall: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Nothing is written yet.

        Args:
            path: the file.
            hear: gets each event.
            tell: prints a line for the user.
            recall: gets each event of a trial that had finished before, instead of `hear`.
        """
        self._path, self._hear, self._tell, self._recall = path, hear, tell, recall
        self._device = "cpu"
        self._configs: list[TrialConfig] = []
        self._planned: dict[str, PlannedTrial] = {}
        self._told: dict[str, Row] = {}
        """The last row of each trial that runs."""
        self._is_damaged = False

    def record(self, event: Event) -> None:
        """Write an event, and have it heard."""
        self._write(event)
        self._hear(event)

    def _write(self, *events: Event) -> None:
        try:
            append_events(self._path, *events)
        except OSError as error:
            if not self._is_damaged:
                self._tell(f"{self._path.name}: events are lost ({error}); the sweep goes on")
            self._is_damaged = True

    def begin(self, plan: SweepPlan, inputs: Mapping[str | None, SweepInputs]) -> None:
        """The sweep begins, or goes on.

        Args:
            plan: its trials. The labels of arms name the fields in which those that it may run differ.
            inputs: what they share, by what they say of their base model.
        """
        device = next(iter(inputs.values())).packing.device  # of all alike
        self._device, self._configs = device.type, list(plan.candidates)
        self._planned = {trial.trial: trial for trial in planned_trials(self._configs)}
        self.record(
            SweepEvent(
                time=time.time(),
                total=plan.least_trials,
                planned=() if plan.spec.search == "optuna" else tuple(self._planned.values()),
                devices=device_memory(device),
                losses=ranking_losses(inputs),
                pid=os.getpid(),
            )
        )

    def end(self, counts: SweepCounts) -> None:
        """The sweep is over."""
        over = OverEvent(
            time=time.time(), finished=counts.finished, failed=counts.failed, interrupted=counts.interrupted
        )
        self.record(over)

    def record_past(self, proposal: Proposal, rows: Sequence[Row], *, is_told: bool) -> None:
        """Tell of a trial that had finished before the sweep went on, from its start to its end.

        Args:
            proposal: the trial.
            rows: all of it.
            is_told: the file has all that already. Who follows this start alone is told the rows as one.
        """
        name = proposal.config.name
        told: Sequence[Row] = [{name: value for row in rows for name, value in row.items()}] if is_told else rows
        past: list[Event] = [self._start(proposal), *(self._row(name, row) for row in told), self._end(name)]
        if not is_told:
            self._write(*past)
        for event in past:
            self._recall(event)

    # Ray calls these, with keyword arguments of these names.

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial starts, or starts again after a failure."""
        self.record(self._start(Proposal.from_ray(trial.config)))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        self.record(self._row(str(trial), result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has ended: finished, or stopped before its last step."""
        self.record(self._end(str(trial)))

    def _start(self, proposal: Proposal) -> StartEvent:
        predicted = proposal.plan.predicted if proposal.plan else None
        self._told[proposal.config.name] = {}
        return StartEvent(
            time=time.time(),
            **self._named(proposal.config).model_dump(),
            config=proposal.config.model_dump(mode="json"),
            device=self._device,
            predicted_peak_bytes=predicted.total if predicted else None,
        )

    def _row(self, trial: str, row: Row) -> RowEvent:
        before = self._told.get(trial, {})
        self._told[trial] = {**before, **row}
        return RowEvent(
            time=time.time(),
            trial=trial,
            step=row.get("step", 0),
            metrics=news(row, before),
            device="" if DEVICE in before else row.get(DEVICE, ""),
            place="" if PLACE in before else row.get(PLACE, ""),
            remarks=tuple(map(for_others, row.get(REMARKS, ()))),
        )

    def _end(self, trial: str) -> EndEvent:
        row = self._told.pop(trial, {})
        why = f"not judged: {row[NOT_JUDGED]}" if row.get(NOT_JUDGED) else ""
        state = EndState.FINISHED if row.get("finished") else EndState.STOPPED
        return EndEvent(time=time.time(), trial=trial, state=state, reason=for_others(why))

    def fail(self, trial: Any, failure: Ending | None, *, is_retried: bool) -> None:
        """A trial has failed: for good, or it is started again."""
        reason = failure.reason if failure else "for no reason on record"
        state = EndState.RETRIED if is_retried else EndState.FAILED
        self._told.pop(str(trial), None)
        self.record(EndEvent(time=time.time(), trial=str(trial), state=state, reason=for_others(reason)))

    def _named(self, config: TrialConfig) -> PlannedTrial:
        """The trial with its arm's label; one that nobody planned is named beside those known so far."""
        if config.name not in self._planned:
            self._configs.append(config)
            self._planned[config.name] = planned_trials(self._configs)[-1]
        return self._planned[config.name]


def planned_trials(configs: Iterable[TrialConfig]) -> list[PlannedTrial]:
    """Trials with the labels of their arms, as a report has them: tuning trials are told apart from each other."""
    trials = [(config, config.model_dump(mode="json")) for config in configs]
    labels: dict[str, str] = {}
    for tuning in (True, False):
        labels |= label_arms(fields for _, fields in trials if is_tuning(fields) == tuning)
    return [
        PlannedTrial(
            trial=config.name, label=labels[arm_key(fields)], seed=config.seed, steps=config.steps, kind=_kind(config)
        )
        for config, fields in trials
    ]


def news(row: Row, before: Row) -> dict[str, int | float]:
    """The metrics of a row that are numbers within reason: losses, and what differs from the last row's."""
    numbers = {name: row[name] for name in METRIC if isinstance(row.get(name), int | float) and name != "step"}
    return {
        name: value
        for name, value in numbers.items()
        if abs(value) <= LARGEST and (METRIC[name].unit in LOSS_UNITS or before.get(name) != value)
    }


def device_memory(device: Device) -> tuple[DeviceMemory, ...]:
    """The kinds of device that trials may get, each with the memory that they share."""
    if not device.gpus:
        return (DeviceMemory(device=device.type, capacity_bytes=device.capacity_bytes),)
    return tuple(DeviceMemory(device=gpu.name, capacity_bytes=device.capacity_bytes) for gpu in device.gpus)


def ranking_losses(inputs: Mapping[str | None, SweepInputs]) -> tuple[str, ...]:
    """The metrics that may rank arms: losses by token, or by byte of text where the tokens of base models differ."""
    hashes = [of_model.provenance.hashes for of_model in inputs.values()]
    tokenizers, tokens = ({of_model.get(name) for of_model in hashes} for name in ("tokenizer", "test_tokens"))
    return ("test_bits_per_byte",) if min(len(tokenizers), len(tokens)) > 1 else ("test_loss", "validation_loss")


def _kind(config: TrialConfig) -> str:
    """Equal for trials whose steps take about as long."""
    return f"{config.label} {config.batch_size}x{config.block_size} {config.precision}"
