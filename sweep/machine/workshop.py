"""Temporary folders in which something is made that gets its own name only when it is complete.

A process that is killed leaves its folder behind; the next process that makes one removes it. A folder's owner holds a
lock in it. The system releases the lock when the owner ends, however it ends.
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
"""A folder without a lock is left alone for this long: its owner may be about to lock it."""


@contextmanager
def workshop(parent: Path) -> Iterator[Path]:
    """Make a folder within `parent`, and remove it with all that is still in it after the block.

    Args:
        parent: made if it does not exist; folders of dead owners in it are removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_dead_workshops(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_dead_workshops(parent: Path) -> None:
    """Remove the workshops within `parent` whose owners are dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):  # its owner is alive, or another process has removed it
            if not (folder / LOCK).exists() and time.time() - folder.stat().st_mtime < LOCKED_WITHIN_SECONDS:
                continue
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def end_with_parent() -> None:
    """End this process when its parent ends, even if the parent is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
