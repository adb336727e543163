"""One process at a time works in an experiment directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basis.errors import UserError

LOCK_FILE = "sweep.lock"
MOST_PROBED_SECONDS = 1.0
"""For which a claim waits: whoever asks whether a directory is claimed holds its lock for a moment."""


@contextmanager
def claimed(experiment_dir: Path, key: str = "--output") -> Iterator[None]:
    """Make the directory if need be, and keep other sweeps out of it; the claim of a process that died is void.

    Args:
        experiment_dir: the directory.
        key: what an error names as the place where the user gave it.

    Raises:
        UserError: another process works there, or the directory can't be written.
    """
    lock = FileLock(experiment_dir / LOCK_FILE)
    try:
        experiment_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=MOST_PROBED_SECONDS)
    except Timeout:
        raise UserError(f"{experiment_dir}: another sweep is running in this directory") from None
    except OSError as error:
        raise UserError(f"{key} {experiment_dir}: can't be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def is_claimed(experiment_dir: Path) -> bool:
    """Whether some process works in an experiment directory: a sweep that runs, or one that judges its trials."""
    if not (experiment_dir / LOCK_FILE).is_file():
        return False
    try:
        with FileLock(experiment_dir / LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise UserError(f"{experiment_dir}: whether its sweep runs can't be told ({error.strerror})") from None
