"""How a trial fails: kept by its own process while that lives, else by the driver, which hears of the death."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basis.outcome_file import keep_outcome, read_outcome
from basis.outcomes import Ending, Outcome, ending_in_traceback, ending_of_exception
from sweep.worker.death import note_death


@contextmanager
def failure_kept(folder: Path) -> Iterator[None]:
    """Within, a part of a trial is done; an exception that ends the trial there is kept in its outcome.json."""
    try:
        yield
    except Exception as error:
        said = traceback.format_exception_only(error)[-1].strip().splitlines()
        keep_outcome(folder, ending_of_exception(said[0]))
        raise


def failure_of(folder: Path, error_file: Path, kernel_killed: bool) -> Ending | None:
    """How a trial failed last.

    Args:
        folder: the trial's directory.
        error_file: what Ray noted of the trial's failures.
        kernel_killed: whether the kernel has ended a process for memory meanwhile.

    Returns:
        The ending; None where nothing is on record, as on a full disk.
    """
    if error_file.is_file() and (cause := note_death(error_file, folder, kernel_killed)):
        return ending_of_exception(cause)
    if (ending := read_outcome(folder)) and ending.outcome != Outcome.FINISHED:  # else it failed after its end
        return ending
    try:
        return ending_in_traceback(error_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
