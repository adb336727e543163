"""What became of a trial, and why, from Ray's record of it and from the rows that it reported."""

import math
from typing import Any

from basis.control_record import Decision
from basis.outcomes import Ending, Outcome

Rows = list[dict[str, Any]]

LOSS_COLUMNS = ("train_loss", "test_loss")


def outcome_of(status: str, failure: Ending | None, rows: Rows, stop: Decision | None = None) -> tuple[Outcome, str]:
    """What became of a trial, and the reason where it did not finish.

    Args:
        status: Ray's status of the trial.
        failure: how it failed last, if Ray's status is ERROR.
        rows: what it reported.
        stop: the request by which it was to stop; None: there was none.

    Returns:
        The outcome, and why; no reason for a trial that finished.
    """
    if status == "ERROR" and failure is not None:
        return failure.outcome, failure.reason
    outcome = _outcome(status, rows)
    if stop is not None and outcome not in (Outcome.DIVERGED, Outcome.FINISHED):
        last = f"; its last step was {rows[-1].get('step', 0)}" if rows else ""
        return Outcome.STOPPED_BY_REQUEST, f"{Outcome.STOPPED_BY_REQUEST} {stop.asked}{last}"
    return outcome, _why(outcome, rows)


def first_divergence(rows: Rows) -> int | None:
    """Step of the first report whose loss is there but is no finite number."""
    for row in rows:
        # Before the first step there is no train loss; a search that aims at it gets a NaN there.
        if row.get("step") and any(name in row and not finite(row[name]) for name in LOSS_COLUMNS):
            return int(row["step"])
    return None


def has_finished(rows: Rows) -> bool:
    """Whether one of the rows is the last that a trial has to report."""
    return any(row.get("finished") for row in rows)


def finite(value: object) -> bool:
    """Whether a value is a number, and a finite one."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _outcome(status: str, rows: Rows) -> Outcome:
    if first_divergence(rows) is not None:
        return Outcome.DIVERGED
    if has_finished(rows):
        return Outcome.FINISHED
    if status == "TERMINATED":
        return Outcome.STOPPED
    return Outcome.INTERRUPTED if rows else Outcome.NOT_STARTED


def _why(outcome: Outcome, rows: Rows) -> str:
    last = rows[-1].get("step", 0) if rows else 0
    if outcome == Outcome.DIVERGED:
        return f"the loss was no finite number from step {first_divergence(rows)} on"
    if outcome in (Outcome.STOPPED, Outcome.INTERRUPTED):
        return f"{outcome} after step {last}"
    return "never reported" if outcome == Outcome.NOT_STARTED else ""
