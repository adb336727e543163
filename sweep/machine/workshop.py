"""Temporary folders in which something is made that gets its own name only when it is complete.

A process that is killed leaves its folder behind; the next process that makes one removes it (`OwnedFolders`).
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
    """Make a folder within `parent`, and remove it with all that is still in it after the block.

    Args:
        parent: made if it does not exist; folders of dead owners in it are removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with WORKSHOPS.new(parent) as folder:
        yield folder


def is_workshop(path: Path) -> bool:
    """Whether a folder is one of these, in use or left behind by a process that was killed."""
    return path.name.startswith(WORKSHOPS.prefix)


def end_with_parent() -> None:
    """End this process when its parent ends, even if the parent is killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
