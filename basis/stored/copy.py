"""The copy of a stored experiment that this machine works in: it is brought here, and what changes goes back.

An experiment directory is written by rename and by append, which object storage has neither of. So a sweep, a report
or an export works in a folder of this machine, and whole files go to and fro. A file beside them, INDEX_FILE, notes
what both sides had in common last; whatever differs from it has changed since.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, OUTCOME_FILE, TRAINED_FILE
from basis.files import whole_file
from basis.read_json import DamagedError, read_object
from basis.stored.store import Stamp, Store, StoreError

INDEX_FILE = ".stored.json"
THREADS = 16
"""Requests at a time; most of a small object's time is waiting."""

GROWING_SECONDS = 60.0
"""How often a file that goes on changing is sent, since each time all of it is. Checkpoints are sent as they come."""

LAST = (FINISHED_FILE, OUTCOME_FILE)
"""Files that say that others are complete, so they are sent after them."""

LARGE = (TRAINED_FILE, CHECKPOINT_FILE)
"""Weights, which a report does without."""


@dataclass
class Common:
    """What this machine and the store last had in common of a file.

    Attributes:
        size: in bytes.
        mtime_ns: of the file here, when it was sent or brought; 0: it is not kept here.
        stored: the object's stamp; None: it was sent from here, and not listed since.
        sent_at: when it was sent from here, in seconds since 1970.
    """

    size: int
    mtime_ns: int
    stored: Stamp | None
    sent_at: float = 0.0


class Copy:
    """The copy of one stored experiment. One process at a time uses it.

    Attributes:
        store: where the experiment lies.
        folder: where it is worked in.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        """Nothing is brought yet; `folder` need not be there."""
        self.store, self.folder = store, folder
        self._index = _read_index(folder / INDEX_FILE)

    def pull(self, wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Bring what has changed in the store since this copy and it had something in common.

        Where a file has changed on both sides, the store's is taken: somebody has gone on with it from there.

        Args:
            wanted: whether a file is, by its path; others stay in the store.

        Raises:
            StoreError: the store can't be read.
            OSError: this disk can't be written.
        """
        stored = {name: stamp for name, stamp in self.store.list().items() if not name.startswith(".")}
        for name in self._index.keys() - stored.keys():  # somebody has taken it away
            (self.folder / name).unlink(missing_ok=True)
            del self._index[name]
        lacking = [name for name, stamp in stored.items() if self._differs(name, stamp, wanted)]
        try:
            _each(lacking, lambda name: self._get(name, stored[name]))
        finally:
            self._keep_index()

    def _differs(self, name: str, stamp: Stamp, wanted: Callable[[str], bool]) -> bool:
        """Whether an object has to be brought; one that need not be is noted."""
        common = self._index.get(name)
        is_ours = common is not None and common.stored is None and common.size == stamp.size
        if common is not None and (common.stored == stamp or is_ours):
            common.stored = stamp
            return common.mtime_ns == 0 and wanted(name)
        if not wanted(name):
            (self.folder / name).unlink(missing_ok=True)  # of an earlier time
            self._index[name] = Common(stamp.size, 0, stamp)
            return False
        return True

    def _get(self, name: str, stamp: Stamp) -> None:
        path = self.folder / name
        self.store.get(name, path)
        found = path.stat()
        self._index[name] = Common(found.st_size, found.st_mtime_ns, stamp)

    def push(self, is_end: bool = False) -> "Pushed":
        """Send what has changed here.

        Args:
            is_end: send all of it; otherwise what was sent less than GROWING_SECONDS ago waits.

        Returns:
            How much was sent, and what could not be; that is sent next time.
        """
        here = dict(_files_in(self.folder))
        changed = [name for name, found in here.items() if self._has_changed(name, found, is_end)]
        first = [name for name in changed if Path(name).name not in LAST]
        failed = _each(first, lambda name: self._put(name, here[name]), keep_going=True)
        unfinished = {str(Path(name).parent) for name in failed}
        last = [name for name in changed if Path(name).name in LAST and str(Path(name).parent) not in unfinished]
        failed |= _each(last, lambda name: self._put(name, here[name]), keep_going=True)
        deleted = [name for name, common in self._index.items() if common.mtime_ns and name not in here]
        if not failed:
            failed |= _each(deleted, self._delete, keep_going=True)
        if changed or deleted:
            self._keep_index()
        return Pushed(len(changed) + len(deleted) - len(failed), failed)

    def _has_changed(self, name: str, found: os.stat_result, is_end: bool) -> bool:
        common = self._index.get(name)
        if common is None:
            return True
        if (common.size, common.mtime_ns) == (found.st_size, found.st_mtime_ns):
            return False
        at_once = is_end or Path(name).name in (CHECKPOINT_FILE, *LAST)
        return at_once or time.time() - common.sent_at >= GROWING_SECONDS

    def _put(self, name: str, found: os.stat_result) -> None:
        try:
            size = self.store.put(name, self.folder / name)
        except FileNotFoundError:  # removed since it was seen
            return
        # By the time before: what was written while it was sent is sent again.
        self._index[name] = Common(size, found.st_mtime_ns if size == found.st_size else 1, None, time.time())

    def _delete(self, name: str) -> None:
        self.store.delete(name)
        del self._index[name]

    def drop_large(self) -> None:
        """Remove the weights that the store has from this machine; they are brought again when they are wanted."""
        for name, common in self._index.items():
            path = self.folder / name
            if path.name in LARGE and path.is_file() and path.stat().st_mtime_ns == common.mtime_ns:
                path.unlink()
                common.mtime_ns = 0
        self._keep_index()

    def extent(self) -> tuple[int, int]:
        """How many files the store has of this experiment, and their bytes, as far as this copy knows."""
        return len(self._index), sum(common.size for common in self._index.values())

    def _keep_index(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {name: asdict(common) for name, common in self._index.items()}
        with whole_file(self.folder / INDEX_FILE) as partial:
            partial.write_text(json.dumps(values), encoding="utf-8")


@dataclass(frozen=True)
class Pushed:
    """What `Copy.push` has done.

    Attributes:
        sent: files.
        failed: by the path of each file that could not be sent, why.
    """

    sent: int
    failed: dict[str, StoreError]


def is_weights(name: str) -> bool:
    """Whether a file, by its path in an experiment, is one that reports do without."""
    return Path(name).name in LARGE


def _files_in(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files that belong into the store; those that are being written, and locks, do not."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") or name.endswith((".partial", ".lock", "-journal", "-wal", "-shm")):
                continue
            path = Path(place) / name
            try:
                found = path.lstat()
            except OSError:  # removed meanwhile
                continue
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), found


def _each(names: Iterable[str], do: Callable[[str], None], keep_going: bool = False) -> dict[str, StoreError]:
    """Do something to each file, many at a time; the failures, or the first of them is raised."""
    failed: dict[str, StoreError] = {}

    def one(name: str) -> None:
        try:
            do(name)
        except StoreError as error:
            if not keep_going:
                raise
            failed[name] = error

    with ThreadPoolExecutor(THREADS) as pool:
        tasks = [pool.submit(one, name) for name in names]
        for task in tasks:
            try:
                task.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return failed


def _read_index(path: Path) -> dict[str, Common]:
    """By path; nothing where the file is missing or damaged: everything is then brought, or sent, again."""
    try:
        return {
            name: Common(**{**values, "stored": Stamp(*values["stored"]) if values["stored"] else None})
            for name, values in read_object(path).items()
        }
    except (DamagedError, OSError, TypeError, KeyError):
        return {}
