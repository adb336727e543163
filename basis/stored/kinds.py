"""Which files of an experiment belong into object storage, which of them wait for others, and which are weights."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from basis.directory import CHECKPOINT_FILE, CONTROL_FILE, FINISHED_FILE, OUTCOME_FILE, TRAINED_FILE

LAST = (FINISHED_FILE, OUTCOME_FILE)
"""Files that say that others are complete, so they are sent after them."""

AT_ONCE = (CHECKPOINT_FILE, CONTROL_FILE, *LAST)
"""Files that are sent as they come, however often they change; somebody may wait for what was answered."""

NOT_OURS = (".partial", ".lock", "-journal", "-wal", "-shm")

LARGE = (TRAINED_FILE, CHECKPOINT_FILE)
"""Weights, which a report does without."""


def is_checkpoint(name: str) -> bool:
    """Whether a file, by its path in an experiment, is one that only the trial itself has a use for."""
    return Path(name).name == CHECKPOINT_FILE


def is_weights(name: str) -> bool:
    """Whether a file, by its path in an experiment, is one that reports do without."""
    return Path(name).name in LARGE


def files_in(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files that belong into the store; those that are being written, and locks, do not."""
    for place, folders, names in os.walk(folder, onerror=_unless_removed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place) / name for name in names):
            try:
                found = path.lstat()
            except FileNotFoundError:  # meanwhile
                continue
            if stat.S_ISREG(found.st_mode) and belongs(name := path.relative_to(folder).as_posix()):
                yield name, found


def _unless_removed(error: OSError) -> None:
    """A folder that can't be read is no empty one: what was in it would be deleted from the store."""
    if not isinstance(error, FileNotFoundError):
        raise error


def belongs(name: str) -> bool:
    """Whether a file, by its path, is one of the experiment's, and no lock, hidden or half-written one."""
    parts = name.split("/")
    return not any(part.startswith(".") for part in parts) and not parts[-1].endswith(NOT_OURS)
