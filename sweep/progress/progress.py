"""How far a sweep is, folded from its events."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any, NamedTuple

from sweep.progress.events import (
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


class State(StrEnum):
    """How far a trial is, in the word that a user reads."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


_AFTER = {
    EndState.FINISHED: State.FINISHED,
    EndState.STOPPED: State.STOPPED,
    EndState.FAILED: State.FAILED,
    EndState.RETRIED: State.WAITING,
}


@dataclass
class TrialProgress:
    """How far one trial is.

    Attributes:
        planned: what was known beforehand: name, arm, seed, steps, kind.
        state: how far it is.
        metrics: the last value of each metric that it has reported, by name; another mapping after each row.
        config: the fields of its config; empty before it starts.
        device, place: what it runs on, and where (see `basis.metrics.PLACE`); before its first row "cpu" or "cuda",
            and empty.
        predicted_peak_bytes: its peak memory as predicted.
        started, reported, ended: when it started, reported and ended last, in seconds since 1970.
        retries: how often it was started again.
        reason: why it ended last.
    """

    planned: PlannedTrial
    state: State = State.WAITING
    metrics: dict[str, float] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    place: str = ""
    predicted_peak_bytes: int | None = None
    started: float | None = None
    reported: float | None = None
    ended: float | None = None
    retries: int = 0
    reason: str = ""

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return int(self.metrics.get("step", 0))


class Standing(NamedTuple):
    """An arm among those that compare with it.

    Attributes:
        label: the arm.
        loss: the mean of the last loss over its finished trials; where none has finished, over those that run.
        trials: names of the trials that the mean is over.
        is_final: whether they have finished.
    """

    label: str
    loss: float
    trials: tuple[str, ...]
    is_final: bool


@dataclass
class Progress:
    """How far a sweep is. Another thread may read it while it grows.

    Attributes:
        total: how many trials it takes at least.
        trials: each trial by its name, in the order in which they became known.
        devices: what trials run on.
        losses: the metrics that may rank its arms, the one that decides first.
        began, resumed: when it began first, and last; in seconds since 1970.
        pid: the process that runs it.
        over: how it ended; None while it runs.
    """

    total: int = 0
    trials: dict[str, TrialProgress] = field(default_factory=dict)
    devices: tuple[DeviceMemory, ...] = ()
    losses: tuple[str, ...] = ()
    began: float | None = None
    resumed: float | None = None
    pid: int | None = None
    over: OverEvent | None = None

    def add(self, event: Event) -> None:
        """Take in what happened next."""
        match event:
            case SweepEvent():
                self._begin(event)
            case StartEvent():
                self._start(event)
            case RowEvent():
                self._report(event)
            case EndEvent() if event.trial in self.trials:
                trial = self.trials[event.trial]
                trial.state, trial.ended, trial.reason = _AFTER[event.state], event.time, event.reason
                trial.retries += event.state == EndState.RETRIED
            case OverEvent():
                self.over = event

    def in_state(self, state: State) -> list[TrialProgress]:
        """The trials in a state."""
        return [trial for trial in list(self.trials.values()) if trial.state == state]

    def counts(self) -> dict[State, int]:
        """How many trials are in each state; those that nobody knows yet are waiting."""
        states = Counter(trial.state for trial in list(self.trials.values()))
        states[State.WAITING] += max(0, self.total - states.total())
        return {state: states[state] for state in State}

    @property
    def deciding_loss(self) -> str | None:
        """The metric that ranks arms now: the first of `losses` that some trial has; None before the first row."""
        counted = [trial.metrics for trial in list(self.trials.values()) if _counts(trial)]
        return next((name for name in self.losses if any(name in metrics for metrics in counted)), None)

    def standings(self) -> list[Standing]:
        """The arms that have the deciding loss, lowest first. Failed and stopped trials count for none."""
        arms: dict[str, list[tuple[TrialProgress, float]]] = {}
        metric = self.deciding_loss
        for trial in list(self.trials.values()):
            if _counts(trial) and (loss := trial.metrics.get(metric or "")) is not None:
                arms.setdefault(trial.planned.label, []).append((trial, loss))
        standings = []
        for label, trials in arms.items():
            finished = [(trial, loss) for trial, loss in trials if trial.state == State.FINISHED]
            used = finished or trials
            names = tuple(trial.planned.trial for trial, _ in used)
            standings.append(Standing(label, fmean(loss for _, loss in used), names, bool(finished)))
        return sorted(standings, key=lambda standing: standing.loss)

    def capacity_bytes(self, trial: TrialProgress) -> int | None:
        """The memory of the device that a trial runs on; None where nobody knows that."""
        of_kind = {kind.device: kind.capacity_bytes for kind in self.devices}
        return of_kind.get(trial.device, self.devices[0].capacity_bytes if len(self.devices) == 1 else None)

    @property
    def leader(self) -> Standing | None:
        """The arm with the lowest deciding loss; None before any trial has one."""
        return next(iter(self.standings()), None)

    def _begin(self, event: SweepEvent) -> None:
        """What ran when the last driver died waits; what has ended stays."""
        self.began = event.time if self.began is None else self.began
        self.total, self.devices, self.losses = event.total, event.devices, event.losses
        self.resumed, self.pid, self.over = event.time, event.pid, None
        for planned in event.planned:
            self.trials.setdefault(planned.trial, TrialProgress(planned)).planned = planned
        for trial in self.in_state(State.RUNNING):
            trial.state = State.WAITING

    def _start(self, event: StartEvent) -> None:
        planned = PlannedTrial(
            trial=event.trial, label=event.label, seed=event.seed, steps=event.steps, kind=event.kind
        )
        trial = self.trials.setdefault(event.trial, TrialProgress(planned))
        trial.planned, trial.state, trial.config, trial.reason = planned, State.RUNNING, event.config, ""
        trial.device, trial.place = event.device, ""
        trial.started, trial.ended, trial.predicted_peak_bytes = event.time, None, event.predicted_peak_bytes
        trial.metrics = {}  # it replays its rows, or begins again

    def _report(self, event: RowEvent) -> None:
        if (trial := self.trials.get(event.trial)) is None:
            return  # its start stood in a damaged line
        trial.metrics = {**trial.metrics, **event.metrics, "step": event.step}
        trial.reported = event.time
        trial.device, trial.place = event.device or trial.device, event.place or trial.place


def _counts(trial: TrialProgress) -> bool:
    return trial.state in (State.RUNNING, State.FINISHED)


def fold(events: Iterable[Event]) -> Progress:
    """How far a sweep is after these events."""
    progress = Progress()
    for event in events:
        progress.add(event)
    return progress
