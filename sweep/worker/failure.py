"""How a trial fails: kept by its own process while that lives, else by the driver, which hears of the death."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basis.errors import first_line
from basis.outcome_file import keep_outcome, read_outcome
from basis.outcomes import Ending, Outcome, ending_in_traceback, ending_of_exception
from sweep.worker.death import note_death


@contextmanager
def failure_kept(folder: Path) -> Iterator[None]:
    """Within, a part of a trial is done; an exception that ends the trial there is kept in its outcome.json."""
    try:
        yield
    except Exception as error:
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        keep_outcome(folder, ending_of_exception(f"{name}: {first_line(error)}"))
        raise


def failure_of(folder: Path, error_file: Path, kernel_killed: bool, since: float = 0.0) -> Ending | None:
    """How a trial failed last.

    Args:
        folder: the trial's directory.
        error_file: what Ray noted of the trial's failures.
        kernel_killed: whether the kernel has ended a process for memory meanwhile.
        since: when the sweep began or went on, in seconds since 1970; what was kept before is no failure of now.

    Returns:
        The ending; None where nothing is on record, as on a full disk.
    """
    if error_file.is_file() and (cause := note_death(error_file, folder, kernel_killed)):
        return ending_of_exception(cause)
    ending = read_outcome(folder)
    if ending and ending.at >= since and ending.outcome != Outcome.FINISHED:  # else it failed after its end
        return ending
    try:
        return ending_in_traceback(error_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
