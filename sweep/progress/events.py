"""What happens in a sweep, as events: one JSON object a line of `events.jsonl`, written as it happens.

Every event has `event`, its kind, and `time`, in seconds since 1970.
"""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MOST_TRIALS = 2**20
LARGEST = 2.0**200
"""What no number of a trial exceeds; means and sums of such numbers are finite."""

Seconds = Annotated[float, Field(ge=0, lt=2**35)]
"""Since 1970, up to the year 3058: what calendars take."""
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class EndState(StrEnum):
    """How a trial's run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    RETRIED = "retried"
    """It failed, and will be started again."""


class _Part(BaseModel):
    """A frozen part of an event. Fields that a later version may add are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Event(_Part):
    time: Seconds


class PlannedTrial(_Part):
    """A trial that is known before it starts.

    Attributes:
        trial: its name, which is that of its directory.
        label: of its arm.
        seed: which of the arm's replicates it is.
        steps: its length in optimizer steps.
        kind: equal for trials that take about the same time a step.
    """

    trial: str
    label: str
    seed: Count
    steps: Count
    kind: str


class DeviceMemory(_Part):
    """A kind of device that trials may get, and its memory; None where nobody knows that.

    `device` is "cpu", a GPU's name, or "cuda" where no GPU could be asked.
    """

    device: str
    capacity_bytes: Count | None = None


class SweepEvent(_Event):
    """A sweep begins, or goes on with --resume.

    Attributes:
        total: how many trials it takes at least.
        planned: the trials that are known beforehand.
        devices: what trials run on.
        losses: the metrics that may rank its arms, the one that decides first.
        pid: the process that runs it.
    """

    event: Literal["sweep"] = "sweep"
    total: Annotated[int, Field(ge=0, le=MOST_TRIALS)]
    planned: tuple[PlannedTrial, ...] = ()
    devices: tuple[DeviceMemory, ...] = ()
    losses: tuple[str, ...] = ("test_loss", "validation_loss")
    pid: int


class StartEvent(_Event):
    """A trial starts, or starts again.

    Attributes:
        trial, label, seed, steps, kind: see `PlannedTrial`.
        config: the fields of its TrialConfig.
        device: what it asks for: "cpu" or "cuda". Its rows say where it runs.
        predicted_peak_bytes: its peak memory as predicted; None: nothing was predicted.
    """

    event: Literal["start"] = "start"
    trial: str
    label: str
    seed: Count
    steps: Count
    kind: str
    config: dict[str, Any]
    device: str
    predicted_peak_bytes: Count | None = None


class RowEvent(_Event):
    """A trial reports.

    Attributes:
        trial: its name.
        step: optimizer steps taken.
        metrics: numbers by the names of `basis.metrics.METRICS`, up to LARGEST alone. Losses are always there; others
            where they differ from the trial's row before.
        device, place: the device, and which one of which machine (see `basis.metrics.PLACE`); in the first row.
        remarks: what was out of the ordinary since the last row and no failure.
    """

    event: Literal["row"] = "row"
    trial: str
    step: Count
    metrics: dict[str, Number] = {}
    device: str = ""
    place: str = ""
    remarks: tuple[str, ...] = ()


class EndEvent(_Event):
    """A trial's run ends; `reason` is why in one line, or why a finished trial was not judged; else empty."""

    event: Literal["end"] = "end"
    trial: str
    state: EndState
    reason: str = ""


class OverEvent(_Event):
    """The sweep is over: how many trials ended in which way, see `sweep.tune.counts`."""

    event: Literal["over"] = "over"
    finished: Count
    failed: Count
    interrupted: Count


Event = SweepEvent | StartEvent | RowEvent | EndEvent | OverEvent

_ANY_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def to_line(event: Event) -> bytes:
    """The event as a line of JSON, with what ends it. Fields that have their default are left out."""
    told = {"event": event.event, **event.model_dump(mode="json", exclude_defaults=True)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def line_begin(kind: type[StartEvent] | type[EndEvent]) -> bytes:
    """How the line of each event of this kind begins."""
    return json.dumps({"event": kind.model_fields["event"].default}, separators=(",", ":")).encode()[:-1]


def read_lines(lines: Iterable[bytes]) -> tuple[list[Event], int]:
    """The events of whole lines, and how many lines are damaged; empty lines are neither."""
    events, damaged = [], 0
    for line in lines:
        if not line.strip():
            continue
        try:
            events.append(_ANY_EVENT.validate_json(line))
        except ValidationError:
            damaged += 1
    return events, damaged
