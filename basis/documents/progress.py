"""`progress`, `status` and `end`: how far a sweep is, while it runs, when asked, and when it is over."""

from typing import Literal

from pydantic import Field

from basis.documents.part import Document, Number, Part

Happened = Literal["sweep", "start", "row", "end", "over"]
"""A sweep begins or goes on; a trial starts, reports, ends; the sweep is over."""


class CountsPart(Part):
    """How many trials are how far."""

    waiting: int
    running: int
    finished: int
    failed: int
    stopped: int


class TrialPart(Part):
    """How far a trial is."""

    trial: str = Field(description="Its name, which is that of its directory.")
    arm: str
    seed: int
    state: Literal["waiting", "running", "finished", "failed", "stopped"]
    step: int = Field(description="Optimizer steps taken.")
    steps: int = Field(description="Optimizer steps that it takes.")
    metrics: dict[str, Number] = Field(description="The last value of each metric, by its name; units are in docs.")
    reason: str = Field(description="Why it ended; empty where nothing is to be said.")


class LeaderPart(Part):
    """The arm of the lowest loss so far."""

    arm: str
    loss: Number
    metric: str


class ProgressDocument(Document):
    """One of the lines that `sweep.run SPEC --json` prints while it runs: something happened."""

    document: Literal["progress"] = "progress"
    event: Happened
    time: str = Field(description="When, as ISO 8601 in UTC.")
    trial: TrialPart | None = Field(description="The trial that it happened to; null for the sweep as a whole.")
    counts: CountsPart
    total: int = Field(description="Trials that the sweep takes at least.")
    seconds_left: Number = Field(description="About how long the sweep takes yet; null while unknown.")
    leader: LeaderPart | None


class RequestPart(Part):
    """What somebody asked of the running sweep, and what came of it."""

    time: str = Field(description="When it was asked, as ISO 8601 in UTC.")
    origin: str = Field(description="Where it came from: command or page.")
    words: str
    refused: bool
    answer: str
    trials: list[str]


class StatusDocument(Document):
    """The answer of `sweep.control DIR status --json`."""

    document: Literal["status"] = "status"
    directory: str = Field(description="As it was given.")
    running: bool = Field(description="Whether a process runs the sweep now.")
    over: bool = Field(description="Whether the sweep has come to its end.")
    pid: int | None = Field(description="The process that runs it, or ran it last.")
    began: str | None = Field(description="When it began first, as ISO 8601 in UTC.")
    resumed: str | None = Field(description="When it began last.")
    counts: CountsPart
    total: int
    seconds_left: Number
    leader: LeaderPart | None
    trials: list[TrialPart]
    requests: list[RequestPart]


class EndDocument(Document):
    """The last line of `sweep.run SPEC --json` whose sweep has begun. All results are then where they are kept."""

    document: Literal["end"] = "end"
    directory: str = Field(description="The experiment directory, or its address in object storage.")
    counts: CountsPart
    exit_code: int
    go_on: str = Field(description="The command that continues the sweep.")
