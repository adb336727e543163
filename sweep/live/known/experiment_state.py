"""Whether an experiment runs, has ended, or was killed: from its events, or from its files where it has none."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import psutil

from analysis.results.files import read_mapping
from basis.directory import FINISHED_FILE, SWEEP_FILE
from basis.scripts import as_called
from sweep.live.known.folder import is_experiment, trial_folders
from sweep.progress.progress import Progress, State

SILENT_SECONDS = 120.0
"""A sweep whose process is not on this machine is called silent when nothing has happened for so long."""


class Stage(StrEnum):
    """How far an experiment is, in the word that a user reads."""

    BEGINNING = "beginning"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    SILENT = "silent"
    GONE = "gone"


@dataclass(frozen=True)
class ExperimentState:
    """How far an experiment is.

    Attributes:
        stage: in a word.
        reason: what has to be known besides, in a sentence; empty where nothing has.
        done: how many of its trials have ended.
        total: how many it takes at least; 0 where that is unknown.
        began: when it began, in seconds since 1970; None where unknown.
        ended: when it ended, likewise.
    """

    stage: Stage
    reason: str = ""
    done: int = 0
    total: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def moves(self) -> bool:
        """Whether something may happen in it any second."""
        return self.stage in (Stage.BEGINNING, Stage.RUNNING)

    def at(self, stage: Stage, reason: str = "", ended: float | None = None) -> "ExperimentState":
        """The same at another stage."""
        return replace(self, stage=stage, reason=reason, ended=ended)


def state_by_events(named: str, progress: Progress, pid: int | None, last_event: float, now: float) -> ExperimentState:
    """How far an experiment is that writes events.

    Args:
        named: the experiment, as one types it to continue it.
        progress: what its events say; at least one has been read.
        pid: of its process, if that may be on this machine.
        last_event: when the last of them happened.
        now: in seconds since 1970.
    """
    counts = progress.counts()
    done = counts[State.FINISHED] + counts[State.FAILED] + counts[State.STOPPED]
    total = max(progress.total, len(progress.trials))
    running = ExperimentState(Stage.RUNNING, "", done, total, progress.began)
    if (over := progress.over) is not None:
        if over.interrupted or done < total:
            return running.at(Stage.INTERRUPTED, f"Continue it with: {_resume(named)}", over.time)
        return running.at(Stage.FINISHED, ended=over.time)
    if is_here(pid, progress.resumed) or now - last_event < SILENT_SECONDS:
        return running
    minutes = int((now - last_event) // 60)
    reason = (
        f"No word for {minutes:,} minutes, and its process is not on this machine. It was killed, or it is busy on "
        f"another one. If it was killed, continue it with: {_resume(named)}"
    )
    return running.at(Stage.SILENT, reason, last_event)


def state_by_files(directory: Path, named: str, now: float) -> ExperimentState:
    """How far an experiment is that writes no events: it has just begun, or an older version has run it.

    Args:
        directory: the experiment.
        named: the same, as one types it to continue it.
        now: in seconds since 1970.
    """
    if not directory.is_dir():
        log = directory.with_name(f"{directory.name}.log")  # of a sweep that a page has started
        if log.is_file():
            return ExperimentState(Stage.BEGINNING, f"It is being prepared; {log.name} says how far it is.")
        return ExperimentState(Stage.GONE, "The directory is not there any more, or not yet.")
    record = read_mapping(directory / SWEEP_FILE)
    began, ended = (_seconds(record, name) for name in ("started_at", "finished_at"))
    trials = trial_folders(directory)
    done = sum((path / FINISHED_FILE).exists() for path in trials)
    known = ExperimentState(Stage.RUNNING, "", done, len(trials), began)
    if ended is not None:
        stage = Stage.FINISHED if done == len(trials) else Stage.INTERRUPTED
        reason = "" if stage == Stage.FINISHED else f"{len(trials) - done} of its trials did not finish."
        return known.at(stage, reason, ended)
    changed = max([_changed(directory), *(_changed(path) for path in trials)])
    if not trials and (now - changed < SILENT_SECONDS or not is_experiment(directory)):
        return known.at(Stage.BEGINNING, "Nothing has been written yet.")
    if now - changed < SILENT_SECONDS:
        return known.at(Stage.RUNNING, "It writes no events, so that no trial's course is known.")
    return known.at(Stage.INTERRUPTED, f"Continue it with: {_resume(named)}", changed)


def is_here(pid: int | None, since: float | None) -> bool:
    """Whether a process that ran at some time runs on this machine; one that has its number since then is another."""
    if pid is None or since is None:
        return False
    with suppress(psutil.Error, ValueError, OverflowError):
        process = psutil.Process(pid)
        return process.create_time() <= since + 1 and process.status() != psutil.STATUS_ZOMBIE
    return False


def _resume(named: str) -> str:
    return as_called("sweep.run", "--resume", named)


def _seconds(record: Mapping[str, object], name: str) -> float | None:
    try:
        return datetime.fromisoformat(str(record[name])).timestamp()
    except (KeyError, ValueError):
        return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
