"""The copy of a stored experiment that this machine works in: it is brought here, and what changes goes back.

An experiment directory is written by rename and by append, which object storage has neither of. So a sweep, a report
or an export works in a folder of this machine, and whole files go to and fro. What both sides had in common
last is noted (see `basis.stored.index`); whatever differs from it has changed since. A folder in a copy may be a copy
itself, with notes of its own: so what trials on other machines have stored is brought one by one.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from basis.directory import SPEC_FILE
from basis.stored.index import INDEX_FILE, SECOND_NS, Common, keep_index, read_index
from basis.stored.kinds import AT_ONCE, LARGE, LAST, belongs, files_in
from basis.stored.stamp import Stamp
from basis.stored.store import Store, StoreError

THREADS = 16
"""Requests at a time; most of a small object's time is waiting."""

GROWING_SECONDS = 60.0
"""How often a file that goes on changing is sent, since each time all of it is; but for those of AT_ONCE."""

INDEX_SECONDS = 10.0
"""How often the index is kept while much is sent, so that a kill loses little of what is known."""


class Copy:
    """The copy of one stored experiment. One process at a time uses it.

    Attributes:
        store: where the experiment lies.
        folder: where it is worked in.
    """

    def __init__(self, store: Store, folder: Path, is_others: Callable[[str], bool] = lambda name: False) -> None:
        """Nothing is brought yet.

        Args:
            store: where the experiment lies.
            folder: where it is worked in; it need not be there.
            is_others: whether a file, by its path, is the business of another copy, and is let alone here.
        """
        self.store, self.folder, self._is_others = store, folder, is_others
        self._index = read_index(folder)
        self._index_lock, self._index_kept_at = Lock(), time.monotonic()
        self._apart: dict[Path, tuple[int, dict[str, Common]]] = {}

    def pull(
        self, wanted: Callable[[str], bool] = lambda name: True, listed: Mapping[str, Stamp] | None = None
    ) -> None:
        """Bring what has changed in the store since this copy and it had something in common.

        Where a file has changed on both sides, the later one stays: somebody has gone on with it from there.

        Args:
            wanted: whether a file is, by its path; others stay in the store.
            listed: what the store has, where that has just been asked.

        Raises:
            StoreError: the store can't be read.
            OSError: this disk can't be written.
        """
        found = self.store.list() if listed is None else listed
        stored = {name: stamp for name, stamp in found.items() if belongs(name) and not self._is_others(name)}
        for name in self._index.keys() - stored.keys():  # somebody has taken it away
            if self._is_as_common(name):
                (self.folder / name).unlink(missing_ok=True)
            del self._index[name]
        lacking = [name for name, stamp in stored.items() if self._differs(name, stamp, wanted)]
        try:
            _each(lacking, lambda name: self._get(name, stored[name]))
        finally:
            self._keep_index()

    def bring(self, name: str) -> None:
        """Bring a file that `pull` has left in the store, unless the store has none, or this copy has it.

        Raises:
            StoreError, OSError: as `pull`.
        """
        common = self._index.get(name)
        if common is None or common.mtime_ns or (self.folder / name).exists():
            return
        self._get(name, common.stored or Stamp(common.size, 0))
        self._keep_index()

    def bring_new(self, within: str) -> None:
        """Bring what somebody else has put into a folder of the experiment; once it is removed here, `push` removes it.

        Args:
            within: the folder, such as "control".

        Raises:
            StoreError, OSError: as `pull`.
        """
        stored = {name: stamp for name, stamp in self.store.list(within).items() if belongs(name)}
        new = [name for name in stored if name not in self._index and not (self.folder / name).exists()]
        _each(new, lambda name: self._get(name, stored[name]))

    def _differs(self, name: str, stamp: Stamp, wanted: Callable[[str], bool]) -> bool:
        """Whether an object has to be brought; one that need not be is noted."""
        common, path = self._index.get(name), self.folder / name
        if common is not None and (common.stored == stamp or common.is_of(stamp)):
            common.stored = stamp
            return wanted(name) and not path.is_file()
        if path.is_file() and not self._is_as_common(name) and path.stat().st_mtime_ns > stamp.mtime_ns + SECOND_NS:
            return False  # it has changed here since, and is sent
        if not wanted(name):
            path.unlink(missing_ok=True)  # of an earlier time
            self._index[name] = Common(stamp.size, 0, stamp)
            return False
        return True

    def _is_as_common(self, name: str) -> bool:
        """Whether a file is here, and has not changed since the store and this copy had it in common."""
        common, path = self._index.get(name), self.folder / name
        if common is None or not path.is_file():
            return False
        return common.is_here(path.stat())

    def _get(self, name: str, stamp: Stamp) -> None:
        path = self.folder / name
        try:
            self.store.get(name, path)
        except FileNotFoundError:  # taken away since it was listed, as by a trial that has finished
            return
        found = path.stat()
        self._index[name] = Common(found.st_size, found.st_mtime_ns, stamp)

    def push(self, is_end: bool = False, within: str = "") -> "Pushed":
        """Send what has changed here.

        Args:
            is_end: send all of it; otherwise what was sent less than GROWING_SECONDS ago waits.
            within: only what lies in this folder of the experiment, such as "report/".

        Returns:
            How much was sent, and what could not be; that is sent next time.
        """
        if not self.folder.is_dir():
            return Pushed(0, {})
        here = {
            name: found
            for name, found in files_in(self.folder)
            if name.startswith(within) and not self._is_others(name)
        }
        whole = {str(Path(name).parent) for name, found in here.items() if self._is_news(name, found, LAST)}
        changed = [
            name
            for name, found in here.items()
            if self._has_changed(name, found, is_end or str(Path(name).parent) in whole)
        ]
        failed: dict[str, StoreError] = {}
        if SPEC_FILE in changed:  # without it nobody can go on with an experiment
            try:
                self._put(SPEC_FILE, here[SPEC_FILE])
            except StoreError as error:
                return Pushed(0, dict.fromkeys(changed, error))
        first = [name for name in changed if Path(name).name not in LAST and name != SPEC_FILE]
        failed |= _each(first, lambda name: self._put(name, here[name]), keep_going=True)
        unfinished = {str(Path(name).parent) for name in failed}
        last = [name for name in changed if Path(name).name in LAST and str(Path(name).parent) not in unfinished]
        failed |= _each(last, lambda name: self._put(name, here[name]), keep_going=True)
        deleted = [name for name, common in self._index.items() if common.mtime_ns and name not in here]
        deleted = [name for name in deleted if name.startswith(within) and not self._brought_apart(name)]
        if failed or not (self.folder / INDEX_FILE).is_file():  # without it somebody has emptied this folder
            deleted = []
        failed |= _each(deleted, self._delete, keep_going=True)
        if changed or deleted:
            self._keep_index()
        return Pushed(len(changed) + len(deleted) - len(failed), failed)

    def _is_news(self, name: str, found: os.stat_result, names: tuple[str, ...]) -> bool:
        """Whether a file of one of these names has changed."""
        return Path(name).name in names and self._has_changed(name, found, is_end=True)

    def _has_changed(self, name: str, found: os.stat_result, is_end: bool) -> bool:
        common = self._index.get(name)
        if common is None or not common.is_here(found):
            apart = self._brought_apart(name).get(Path(name).name)
            if apart is not None and apart.is_here(found):
                self._index[name] = common = apart
        if common is None:
            return True
        if common.is_here(found):
            return False
        at_once = is_end or Path(name).name in AT_ONCE
        return at_once or time.time() - common.sent_at >= GROWING_SECONDS

    def _brought_apart(self, name: str) -> dict[str, Common]:
        """The index of a file's folder, where that is a copy of its own: of a trial that ran on another machine."""
        path = (self.folder / name).parent / INDEX_FILE
        if path.parent == self.folder:
            return {}
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return {}
        if self._apart.get(path, (0, {}))[0] != changed:
            self._apart[path] = changed, read_index(path.parent)
        return self._apart[path][1]

    def forget_apart(self) -> None:
        """From now on this copy alone says what is common of all its folders."""
        for path in self.folder.glob(f"*/**/{INDEX_FILE}"):
            path.unlink()

    def _put(self, name: str, found: os.stat_result) -> None:
        try:
            size = self.store.put(name, self.folder / name)
        except FileNotFoundError:  # removed since it was seen
            return
        # By the time before: what was written while it was sent is sent again.
        self._index[name] = Common(size, found.st_mtime_ns if size == found.st_size else 1, None, time.time())
        if time.monotonic() - self._index_kept_at > INDEX_SECONDS:
            self._keep_index()

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
        with self._index_lock:
            self._index_kept_at = time.monotonic()
            self.folder.mkdir(parents=True, exist_ok=True)
            keep_index(self.folder, self._index)


@dataclass(frozen=True)
class Pushed:
    """What `Copy.push` has done.

    Attributes:
        sent: files.
        failed: by the path of each file that could not be sent, why.
    """

    sent: int
    failed: dict[str, StoreError]


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
