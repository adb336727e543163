"""Folders in which something is made that appears under its own name only when complete.

Whoever is killed leaves one behind; the next who starts takes it away. Its owner is alive as long as it holds a lock,
which the system takes from a process that ends, however it ends.
"""

import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = ".unfinished-"
LOCK = "owner.lock"
LOCKED_WITHIN_SECONDS = 60
"""A folder without a lock is younger if its owner is about to lock it."""


@contextmanager
def workshop(parent: Path) -> Iterator[Path]:
    """A new folder within `parent`, which is made if need be; gone after the block, with all that is still in it."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Take away the workshops within `parent` whose owners are dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):  # alive, or taken away by another
            if not (folder / LOCK).exists() and time.time() - folder.stat().st_mtime < LOCKED_WITHIN_SECONDS:
                continue
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def end_with_parent() -> None:
    """Have this process end when the one that began it does, even if that is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
