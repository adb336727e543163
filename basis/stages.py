"""What a trial serves for, which says on which windows it is evaluated."""

from enum import StrEnum


class Stage(StrEnum):
    """The stage of a search that a trial belongs to. Its value is that of a config's `evaluate_on`."""

    PLAIN = "test"
    """A trial whose settings a spec gives: it is evaluated on test windows from first to last."""

    TUNING = "validation"
    """A trial by which settings are chosen: it never sees test windows or prompts."""

    FINAL = "validation, then test"
    """A trial of the chosen settings: it is evaluated on validation windows, and once, at its end, on test windows."""
