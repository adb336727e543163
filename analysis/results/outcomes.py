"""What became of a trial, and why, from Ray's record of it and from the rows that it reported."""

import math
import re
from typing import Any

from basis.outcomes import OUT_OF_MEMORY as OUT_OF_MEMORY_ERROR

Rows = list[dict[str, Any]]

FINISHED = "finished"
DIVERGED = "diverged"
STOPPED = "stopped early"
FAILED = "failed"
OUT_OF_MEMORY = "out of memory"
INTERRUPTED = "interrupted"
NOT_STARTED = "not started"
REPEATED = "repeated"

FAILURES = (FAILED, OUT_OF_MEMORY)
"""Outcomes of trials that ended somewhere by accident, whose numbers are therefore out of every comparison."""

LOSS_COLUMNS = ("train_loss", "test_loss")
_EXCEPTION_LINE = re.compile(r"^(?:ray\.exceptions\.RayTaskError\()?([A-Za-z_][\w.]*)\)?: (.*)")


def outcome_of(status: str, error: str | None, rows: Rows) -> tuple[str, str]:
    """What became of a trial, and the reason where it did not finish.

    Args:
        status: Ray's status of the trial.
        error: the text of its last failure, if Ray has one.
        rows: what it reported.

    Returns:
        The outcome, and why; no reason for a trial that finished.
    """
    if status != "ERROR":
        outcome = _outcome(status, rows)
        return outcome, _why(outcome, rows)
    reason = failure_reason(error)
    exception, colon, message = reason.partition(":")
    if exception.endswith(OUT_OF_MEMORY_ERROR):
        return OUT_OF_MEMORY, f"{exception.split('.')[-1]}{colon}{message}"
    # A sweep ends a trial with this exception as soon as its loss is no finite number.
    return DIVERGED if reason.startswith(FloatingPointError.__name__) else FAILED, reason


def failure_reason(error: str | None) -> str:
    """Type and message of the exception under Ray's wrapper, from the text of the trial's last failure."""
    lines = [line.rstrip() for line in (error or "").split("Failure # ")[-1].splitlines() if line.strip()]
    for line in reversed(lines):
        if match := _EXCEPTION_LINE.match(line):
            return f"{match[1]}: {match[2]}"
    dead = next((line.strip() for line in lines if "is dead because" in line), None)
    return dead.partition(". ")[0] if dead else lines[-1].strip() if lines else "no error was recorded"


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


def _outcome(status: str, rows: Rows) -> str:
    if first_divergence(rows) is not None:
        return DIVERGED
    if has_finished(rows):
        return FINISHED
    if status == "TERMINATED":
        return STOPPED
    return INTERRUPTED if rows else NOT_STARTED


def _why(outcome: str, rows: Rows) -> str:
    last = rows[-1].get("step", 0) if rows else 0
    if outcome == DIVERGED:
        return f"the loss was no finite number from step {first_divergence(rows)} on"
    if outcome in (STOPPED, INTERRUPTED):
        return f"{outcome} after step {last}"
    return "never reported" if outcome == NOT_STARTED else ""
