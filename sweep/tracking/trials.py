"""What a sweep's events say of each trial, as trackers are told it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from basis.directory import FINISHED_FILE, RECORD_FILE
from basis.metrics import METRIC
from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from basis.read_json import DamagedError, read_object
from basis.stages import Stage
from sweep.progress.events import LARGEST, EndEvent, EndState, Event, RowEvent, StartEvent

Numbers = dict[str, float]


class TrackedRow(NamedTuple):
    """Metrics of a trial at one step, by our names; `time` is in seconds since 1970."""

    step: int
    time: float
    metrics: Numbers


class Ended(NamedTuple):
    """How a trial ended, why in a line, and when in seconds since 1970."""

    outcome: Outcome
    reason: str
    time: float


@dataclass
class TrackedTrial:
    """A trial as its events have it so far.

    Attributes:
        name, label, seed, config: see `sweep.progress.events.StartEvent`.
        time: when it first started, in seconds since 1970.
        rows: by step. A trial that goes on from a checkpoint, or is replayed, reports a step again: it is the same row.
        ended: how it ended; None while it runs.
    """

    name: str
    label: str
    seed: int
    config: dict[str, Any]
    time: float
    rows: dict[int, TrackedRow] = field(default_factory=dict)
    ended: Ended | None = None

    def params(self) -> dict[str, Any]:
        """Its whole config, flat: `peft.r` is the option r of the mapping `peft`. A list is one text of JSON."""
        return dict(_flat("", self.config))

    def final(self) -> Numbers:
        """The last value of each metric."""
        return {name: value for step in sorted(self.rows) for name, value in self.rows[step].metrics.items()}

    @property
    def last_step(self) -> int:
        """The last step that it has reported; -1: none."""
        return max(self.rows, default=-1)


def fold(trials: dict[str, TrackedTrial], events: Iterable[Event], experiment_dir: Path) -> None:
    """Take in further events of a sweep.

    Args:
        trials: by name; changed.
        events: in their order.
        experiment_dir: where the trials say how they ended.
    """
    for event in events:
        match event:
            case StartEvent():
                begun = TrackedTrial(event.trial, event.label, event.seed, event.config, event.time)
                trial = trials.setdefault(event.trial, begun)
                trial.ended = None
            case RowEvent() if event.trial in trials:
                rows = trials[event.trial].rows
                former = rows.get(event.step, TrackedRow(event.step, event.time, {}))
                rows[event.step] = former._replace(metrics={**event.metrics, **former.metrics})
            case EndEvent() if event.trial in trials and event.state != EndState.RETRIED:
                trial = trials[event.trial]
                trial.ended = Ended(outcome_of(event, experiment_dir), event.reason, event.time)
                if event.state == EndState.FINISHED:
                    take_kept_row(trial, experiment_dir)


def outcome_of(event: EndEvent, experiment_dir: Path) -> Outcome:
    """How a trial ended, from its event and what it has kept."""
    if event.state == EndState.FAILED:
        kept = read_outcome(experiment_dir / event.trial)
        return kept.outcome if kept and kept.outcome != Outcome.FINISHED else Outcome.FAILED
    return Outcome.FINISHED if event.state == EndState.FINISHED else Outcome.STOPPED_BY_REQUEST


def take_kept_row(trial: TrackedTrial, experiment_dir: Path) -> None:
    """Take the last row that a finished trial has kept: it has been judged later, or by another judge."""
    try:
        row = read_object(experiment_dir / trial.name / FINISHED_FILE)["rows"][-1]
        numbers = {n: row[n] for n in METRIC if n != "step" and isinstance(row.get(n), int | float)}
        step = int(row["step"])
    except (DamagedError, OSError, LookupError, TypeError, ValueError):
        return
    former = trial.rows.get(step)
    if former is not None and former.metrics.items() >= numbers.items():
        return
    before = trial.final()
    news = {n: v for n, v in numbers.items() if before.get(n) != v and abs(v) <= LARGEST}
    time = numbers.get("judged_clock_seconds", numbers.get("clock_seconds", trial.time))
    row_before = former or TrackedRow(step, time, {})
    trial.rows[step] = row_before._replace(metrics={**row_before.metrics, **news})


def tags_of(trial: TrackedTrial, sweep: str, experiment_dir: Path) -> dict[str, str]:
    """What a run is found by: sweep, trial, arm, seed, stage; and the code and data that it was made of."""
    tuning = trial.config.get("evaluate_on") == Stage.TUNING
    tags = {
        "sweep": sweep,
        "experiment": experiment_dir.name,
        "trial": trial.name,
        "arm": trial.label,
        "seed": str(trial.seed),
        "stage": "tuning" if tuning else "test",
    }
    try:
        record = read_object(experiment_dir / trial.name / RECORD_FILE)
        code, hashes = dict(record["code"]), dict(record["hashes"])
    except (DamagedError, OSError, LookupError, TypeError, ValueError):
        return tags
    tags |= {f"code.{name}": str(value) for name, value in code.items() if value is not None}
    return tags | {f"hash.{name}": value for name, value in hashes.items() if isinstance(value, str)}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", json.dumps(value)
        elif value is not None:
            yield f"{prefix}{name}", value
