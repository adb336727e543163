"""How the trials of a sweep ended, and whether Ray itself failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from basis.errors import RayDiedError, first_line
from basis.metrics import NOT_JUDGED
from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from basis.stages import Stage
from sweep.tune.counts import SweepCounts


class Endings(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """How each trial ended, as Ray tells it. What Ray says after `fit` it reads from files, which a full disk cuts."""

    def __init__(self, began: float = 0.0) -> None:
        """`began` is when the sweep began or went on; what a trial kept before is history (see `SweepInputs`)."""
        self._began = began
        self.rows: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, bool] = {}
        """By the trial's id: whether it has only shown where the range that it tunes ends, for which it was run."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        self.rows[trial.trial_id] = result

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        tuned = (trial.config or {}).get("evaluate_on") == Stage.TUNING
        ending = read_outcome(Path(trial.path))
        diverged = ending is not None and ending.at >= self._began and ending.outcome == Outcome.DIVERGED
        self.failed[trial.trial_id] = tuned and diverged

    def counts(self, begun: int, is_exhausted: bool, disk: str | None) -> SweepCounts:
        """What becomes of the sweep.

        Args:
            begun: how many trials were asked for.
            is_exhausted: whether those are all.
            disk: what is wrong with a disk; None: nothing.
        """
        last_rows = [row for trial, row in self.rows.items() if trial not in self.failed]
        finished = sum(bool(row.get("finished")) for row in last_rows)
        unjudged = sum(bool(row.get("finished") and row.get(NOT_JUDGED)) for row in last_rows)
        failed = sum(not diverged for diverged in self.failed.values())
        lost = begun - finished - len(self.failed)
        return SweepCounts(finished, failed, max(lost, int(not is_exhausted)), unjudged, disk)


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
