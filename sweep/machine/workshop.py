"""Folders in which something is made that appears under its own name only when complete.

Whoever is killed leaves one behind; the next who starts takes it away, see `sweep.machine.owned_folders`.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.machine.owned_folders import OwnedFolders

WORKSHOPS = OwnedFolders(prefix=".unfinished-", lock="owner.lock", unlocked_seconds=60)


@contextmanager
def workshop(parent: Path) -> Iterator[Path]:
    """A new folder within `parent`, which is made if need be; gone after the block, with all that is still in it."""
    parent.mkdir(parents=True, exist_ok=True)
    with WORKSHOPS.new(parent) as folder:
        yield folder


def end_with_parent() -> None:
    """Have this process end when the one that began it does, even if that is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
