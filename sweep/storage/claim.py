"""One process at a time works in an experiment directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basis.errors import UserError


@contextmanager
def claimed(experiment_dir: Path, key: str = "--output") -> Iterator[None]:
    """Make the directory if need be, and keep other sweeps out of it; the claim of a process that died is void.

    Args:
        experiment_dir: the directory.
        key: what an error names as the place where the user gave it.

    Raises:
        UserError: another process works there, or the directory can't be written.
    """
    lock = FileLock(experiment_dir / "sweep.lock")
    try:
        experiment_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{experiment_dir}: another sweep is running in this directory") from None
    except OSError as error:
        raise UserError(f"{key} {experiment_dir}: can't be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()
