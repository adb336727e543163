"""Made-up events of a sweep, with the fields that matter and plain values for the others."""

from collections.abc import Sequence
from typing import Any

from sweep.progress.events import EndEvent, EndState, Event, PlannedTrial, RowEvent, StartEvent, SweepEvent


def planned(trial: str, label: str = "full adamw", steps: int = 10, kind: str = "") -> PlannedTrial:
    return PlannedTrial(trial=trial, label=label, seed=0, steps=steps, kind=kind or label)


def sweep(trials: Sequence[PlannedTrial], time: float = 0.0, total: int | None = None, **others: Any) -> Event:
    return SweepEvent(time=time, total=total or len(trials), planned=tuple(trials), pid=1, **others)


def start(trial: PlannedTrial, time: float) -> Event:
    return StartEvent(time=time, device="cpu", config={}, **trial.model_dump())


def row(trial: PlannedTrial, time: float, step: int, **metrics: float) -> Event:
    return RowEvent(time=time, trial=trial.trial, step=step, metrics=metrics)


def end(trial: PlannedTrial, time: float, state: str = "finished", reason: str = "") -> Event:
    return EndEvent(time=time, trial=trial.trial, state=EndState(state), reason=reason)
