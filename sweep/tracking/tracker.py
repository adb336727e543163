"""What every tracker can be asked, and what it is asked with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweep.tracking.sent import SentTrial
from sweep.tracking.trials import Ended, Numbers, TrackedRow


@dataclass(frozen=True)
class RunToOpen:
    """A trial as a tracker's run is made of it.

    Attributes:
        name: of the trial.
        label: of its arm.
        time: when it started, in seconds since 1970.
        params: its config, flat.
        tags: what it is found by.
    """

    name: str
    label: str
    time: float
    params: Mapping[str, Any]
    tags: Mapping[str, str]


class Tracker(Protocol):
    """A store of runs. Each method may raise whatever the library raises; it is then called once more, later."""

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        """Begin the run of a trial, or go on with it; what is returned says from which step on it needs rows.

        Args:
            run: the trial.
            sent: what the tracker had of it, if it had anything.
        """

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        """Take further rows of an open run."""

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        """Close a run.

        Args:
            sent: what the tracker has of it.
            ended: how the trial ended; None: the sweep ended first.
            final: the last value of each metric.
            news: those among them that have changed since the run was closed before, as by judging later.
        """


@dataclass(frozen=True)
class Place:
    """Where trackers put what they keep on this disk, and under which name.

    Attributes:
        sweep: the sweep's name, which is that of the experiment or project.
        experiment_dir: the experiment directory.
        folder: of a tracker's own files, unless its environment variables name another.
    """

    sweep: str
    experiment_dir: Path
    folder: Path
