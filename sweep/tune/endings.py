"""How the trials of a sweep ended, and whether Ray itself failed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from basis.errors import RayDiedError, first_line
from basis.metrics import NOT_JUDGED, Row
from basis.outcome_file import forget_outcome, keep_outcome, read_outcome
from basis.outcomes import Ending, Outcome
from basis.stages import Stage
from sweep.tune.counts import SweepCounts
from sweep.tune.event_log import EventLog
from sweep.tune.pickled_empty import PickledEmpty
from sweep.worker.death import KernelKills
from sweep.worker.failure import failure_of


class Endings(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """How each trial ended, as Ray tells it. What Ray says after `fit` it reads from files, which a full disk cuts.

    Keeps the outcome.json of trials that could not keep their own, and has the log of events tell why a trial failed.
    """

    def __init__(self, log: EventLog, began: float = 0.0) -> None:
        """`began` is when the sweep began or went on; what a trial kept before is history (see `SweepInputs`)."""
        self._log, self._began = log, began
        self._kernel_kills = KernelKills()
        self._last_rows: dict[str, Row] = {}
        """By the trial's id what is counted of its last row."""
        self.stopped: set[str] = set()
        """Ids of trials that were stopped by request."""
        self.failed: dict[str, bool] = {}
        """By the trial's id: whether it has only shown where the range that it tunes ends, for which it was run."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        self._last_rows[trial.trial_id] = _counted(result)

    def count_past(self, trial_id: str, row: Row) -> None:
        """A trial had finished before, with that last row."""
        self._last_rows[trial_id] = _counted(row)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has ended, and has not failed; one with steps left was stopped."""
        if not self._last_rows.get(trial.trial_id, {}).get("finished"):
            self.stopped.add(trial.trial_id)
        forget_averages(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        tuned, failure = (trial.config or {}).get("evaluate_on") == Stage.TUNING, self._failure(trial)
        self.failed[trial.trial_id] = tuned and failure is not None and failure.outcome == Outcome.DIVERGED
        if failure is not None and read_outcome(Path(trial.path)) != failure:  # the trial could not keep it itself
            keep_outcome(Path(trial.path), failure)
        self._log.fail(trial, failure, is_retried=False)
        forget_averages(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed and will be started again."""
        self._log.fail(trial, self._failure(trial), is_retried=True)
        forget_outcome(Path(trial.path))

    def _failure(self, trial: Any) -> Ending | None:
        error_file = Path(trial.error_file or "")
        kernel_killed = error_file.is_file() and self._kernel_kills.rose()
        return failure_of(Path(trial.path), error_file, kernel_killed, self._began)

    def counts(self, begun: int, is_exhausted: bool, disk: str | None) -> SweepCounts:
        """What becomes of the sweep.

        Args:
            begun: how many trials were asked for.
            is_exhausted: whether those are all.
            disk: what is wrong with a disk; None: nothing.
        """
        last_rows = [row for trial, row in self._last_rows.items() if trial not in self.failed]
        finished = sum(bool(row.get("finished")) for row in last_rows)
        unjudged = sum(bool(row.get("finished") and row.get(NOT_JUDGED)) for row in last_rows)
        failed = sum(not diverged for diverged in self.failed.values())
        lost = begun - finished - len(self.failed) - len(self.stopped)
        return SweepCounts(finished, failed, max(lost, int(not is_exhausted)), unjudged, disk, len(self.stopped))


def _counted(row: Row) -> Row:
    return {name: row[name] for name in ("finished", NOT_JUDGED) if name in row}


def forget_averages(trial: Any) -> None:
    """Let go of Ray's averages over a trial's rows, which are over, and of the rows from which it works them out.

    They are most of what a driver's memory grows by with each trial, and half of Ray's list of trials. Nobody reads
    them.
    """
    if (metadata := getattr(trial, "run_metadata", None)) is not None:
        metadata.metric_n_steps = {}
        metadata.metric_analysis = {}


class TrialsOver(Exception):  # noqa: N818 - no error
    """Ray Tune is through with the trials."""


class LeaveAtEnd(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Leaves Ray Tune once it is through with the trials, as its last callback.

    What it has left to do is a DataFrame of the rows of each trial, which nobody reads: of 10,000 trials those take
    0.4 GiB.
    """

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        """The trials are over, and Ray's files of them are written.

        Raises:
            TrialsOver: nothing has failed.
        """
        if sys.exc_info()[0] is None:
            raise TrialsOver


@contextmanager
def faults_of_ray_told() -> Iterator[None]:
    """Tell faults of Ray, at which Ray Tune gives up, from ours.

    Raises:
        RayDiedError: something failed within because Ray failed, such as a connection that is lost.
    """
    try:
        yield
    except Exception as error:
        fault: BaseException | None = error
        while fault is not None and not isinstance(fault, ray.exceptions.RayError | ConnectionError):
            fault = fault.__cause__
        if fault is None:
            raise
        raise RayDiedError(f"{type(fault).__name__}: {first_line(fault)}") from error
