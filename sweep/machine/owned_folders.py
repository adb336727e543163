"""Folders that belong to a process for as long as it lives. What a process that was killed leaves, the next takes away.

The owner holds a lock (flock) on a file in the folder. The system takes it from a process that ends, however it ends.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OwnedFolders:
    """One kind of such folders.

    Attributes:
        prefix: how their names begin.
        lock: the name of the file that the owner locks.
        unlocked_seconds: a folder without that file is abandoned when it is older; None: it is somebody else's.
        kept_when_named: whether a folder stays if the error names it that its owner ends with.
    """

    prefix: str
    lock: str
    unlocked_seconds: float | None = None
    kept_when_named: bool = False

    @contextmanager
    def new(self, parent: Path) -> Iterator[Path]:
        """A new folder within `parent`, for its owner alone; gone after the block, with all that is still in it."""
        self.remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=self.prefix, dir=parent))
        lock, kept = os.open(folder / self.lock, os.O_CREAT | os.O_RDWR, 0o600), False
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        except BaseException as error:
            kept = self.kept_when_named and str(folder) in str(error)
            raise
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def remove_abandoned(self, parent: Path) -> None:
        """Take away the folders within `parent` that are ours and whose owners have ended."""
        for folder in parent.glob(f"{self.prefix}*"):
            with suppress(OSError):  # its owner lives, or another has taken it away
                status = folder.lstat()
                if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                    continue
                if not (folder / self.lock).exists() and self._is_young(status):
                    continue
                lock = os.open(folder / self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(lock)

    def _is_young(self, status: os.stat_result) -> bool:
        """Whether the owner of a folder without a lock may be about to lock it; or the folder is not ours at all."""
        return self.unlocked_seconds is None or time.time() - status.st_mtime < self.unlocked_seconds
