"""How a trial ends, and how that is told from what it ended with."""

import re
from enum import StrEnum
from typing import NamedTuple

OUT_OF_MEMORY_ERROR = "OutOfMemoryError"
"""Name of the exception that a trial ends with when it has run out of memory for good; PyTorch's own has it too."""

_EXCEPTION_LINE = re.compile(r"^(?:ray\.exceptions\.RayTaskError\()?([A-Za-z_][\w.]*)\)?: (.*)")


class Outcome(StrEnum):
    """What became of a trial, as tables, CSV files and outcome.json have it."""

    FINISHED = "finished"
    """It trained to its last step; whether it was judged, its last row says."""

    DIVERGED = "diverged"
    """Its loss was no finite number any more."""

    STOPPED = "stopped early"
    """Whoever scheduled it ended it before its last step."""

    STOPPED_BY_REQUEST = "stopped by request"
    """Somebody had the running sweep end it before its last step."""

    FAILED = "failed"
    """It ended with an error, or its process died."""

    OUT_OF_MEMORY = "out of memory"
    """Memory ran out on every attempt."""

    INTERRUPTED = "interrupted"
    """It has reported, and then the sweep ended."""

    NOT_STARTED = "not started"
    """It has never reported."""

    REPEATED = "repeated"
    """A search proposed its config a second time, so that it is no replicate."""


FAILURES = (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
"""Outcomes of trials that ended somewhere by accident."""

NOT_COMPARED = (*FAILURES, Outcome.STOPPED_BY_REQUEST)
"""Outcomes of trials that ended somewhere by accident or at somebody's word, whose numbers no comparison has."""


class Ending(NamedTuple):
    """How a trial ended last.

    Attributes:
        outcome: one of those that a process can tell of its own trial: finished, diverged, failed, out of memory.
        reason: why, in one line; "" for a trial that finished and was judged, where it was to be.
        at: when, in seconds since 1970; 0 where that is unknown.
    """

    outcome: Outcome
    reason: str
    at: float = 0.0


def ending_of_finished(not_judged: str | None) -> Ending:
    """The ending of a trial that trained to its last step; `not_judged` is why it has no rewards, if judging failed."""
    return Ending(Outcome.FINISHED, f"trained, but not judged: {not_judged}" if not_judged else "")


def ending_of_exception(line: str) -> Ending:
    """The ending of a trial that an exception ended.

    Args:
        line: the exception as the last line of its traceback has it, "Type: message".
    """
    name, colon, message = line.partition(":")
    if name.endswith(OUT_OF_MEMORY_ERROR):
        return Ending(Outcome.OUT_OF_MEMORY, f"{name.split('.')[-1]}{colon}{message}")
    # A sweep ends a trial with this exception as soon as its loss is no finite number.
    return Ending(Outcome.DIVERGED if line.startswith(FloatingPointError.__name__) else Outcome.FAILED, line)


def ending_in_traceback(text: str | None) -> Ending:
    """The ending of a trial that has kept none: of a directory made before outcome.json, or before the trial began.

    Args:
        text: Ray's error.txt, with a traceback for each failure of the trial; None if there is none.
    """
    return ending_of_exception(exception_in_traceback(text))


def exception_in_traceback(text: str | None) -> str:
    """Type and message of the exception under Ray's wrapper, from the text of a trial's last failure."""
    lines = [line.rstrip() for line in (text or "").split("Failure # ")[-1].splitlines() if line.strip()]
    for line in reversed(lines):
        if found := _EXCEPTION_LINE.match(line):
            return f"{found[1]}: {found[2]}"
    dead = next((line.strip() for line in lines if "is dead because" in line), None)
    return dead.partition(". ")[0] if dead else lines[-1].strip() if lines else "no error was recorded"
