"""How many trials of a sweep ended in which way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SweepCounts:
    """How many trials of a sweep ended in which way; `interrupted` ones were cut short or never started.

    A tuning trial that diverged is none of these: that some settings do is what a sweep tunes to find out.
    """

    finished: int
    failed: int
    interrupted: int
    unjudged: int = 0
    """Of those that finished, trials that have no rewards since judging failed."""
    disk: str | None = None
    """What is wrong with a disk, where that made trials fail or ended the sweep."""
    stopped: int = 0
    """Trials that were stopped by request."""
