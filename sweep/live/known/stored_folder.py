"""Experiments in object storage as pages look at them: copies on this machine, brought up to date while somebody looks.

Weights, reports and what trackers keep stay in the store. An experiment in which a sweep of this machine works is read
where it works.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from filelock import Timeout

from basis.directory import EVENTS_FILE, INPUTS_DIR, REPORT_DIR, SPEC_FILE, SWEEP_FILE, TENSORBOARD, TRACKING_DIR
from basis.errors import UserError, name_failure
from basis.stored.address import Address
from basis.stored.copy import Copy
from basis.stored.kinds import is_weights
from basis.stored.places import LOCK_SECONDS, copy_of, folder_of, is_swept, is_swept_in, lock_of
from sweep.live.known.folder import Folder

REFRESH_SECONDS = 15.0
"""Least time between two listings of the store. Each takes a request for 1,000 files, and of large folders so many
seconds pass at least."""

UNSEEN = (REPORT_DIR, TRACKING_DIR, INPUTS_DIR)
"""Folders of an experiment that no page shows; nor does one show TensorBoard's files."""


class StoredFolder(Folder):
    """A stored experiment, or a stored folder of several. `root` is its copy."""

    def __init__(self, address: Address, what: str, say: Callable[[str], None], one: bool = False) -> None:
        """Nothing is brought yet.

        Args:
            address: of the experiment, or of the folder.
            what: what the user set it by, for messages.
            say: told when the store can't be read any more.
            one: it will be an experiment, see `Folder`.
        """
        self._copy = copy_of(address, what)
        super().__init__(self._copy.folder, one)
        self._address, self._say = address, say
        self._task: asyncio.Task[None] | None = None
        self._due, self._is_away = 0.0, False
        self._worked_in: dict[str, Path] = {}

    @property
    def may_start(self) -> bool:
        """Not here: what a form starts has its results on this machine."""
        return False

    def experiments(self) -> dict[str, Path]:
        """See `Folder`; those that sweeps of this machine work in are where they do."""
        return {name: self._worked_in.get(name, path) for name, path in super().experiments().items()}

    def place_of(self, directory: Path) -> Address:
        """See `Folder`."""
        return self._address if directory == self.root else self._within(directory.name)

    def bring(self) -> None:
        """Bring what pages show.

        Raises:
            UserError: no experiment is stored there, the store can't be read, or others use the copy for long.
        """
        if not is_swept(self._copy):
            try:
                self._pull(LOCK_SECONDS)
            except Timeout:
                raise UserError(f"{self._address}: another command of this machine uses its copy") from None
        if not self.experiments():
            raise UserError(f"{self._address}: no experiment is stored there, nor a folder of some")

    async def refresh(self) -> None:
        """See `Folder`. Returns at once; what has changed is there a moment later."""
        is_busy = self._task is not None and not self._task.done()
        if not is_busy and time.monotonic() >= self._due:
            self._task = asyncio.get_running_loop().create_task(asyncio.to_thread(self._pull_or_say))

    def _pull_or_say(self) -> None:
        try:
            self._pull(0)
            self._is_away = False
        except Timeout:  # a sweep works in it, or another command brings the same
            self._due = time.monotonic() + REFRESH_SECONDS
        except (UserError, OSError) as error:
            self._due = time.monotonic() + REFRESH_SECONDS
            if not self._is_away:
                self._say(f"{name_failure(error)}; pages stay as they are until it can be read again")
            self._is_away = True

    def _pull(self, patience: float) -> None:
        """Bring what has changed; raises as `bring`, and Timeout where others use the copy for so many seconds."""
        with lock_of(self._copy).acquire(timeout=patience):
            store = self._copy.store
            before = store.requests["list"]
            listed = store.list()
            self._due = time.monotonic() + max(REFRESH_SECONDS, store.requests["list"] - before)
            homes = homes_in(listed)
            here = {name: stamp for name, stamp in listed.items() if _home_of(name) in homes or "" in homes}
            depth = 0 if "" in homes else 1
            Copy(store, self.root).pull(lambda name: _is_seen(name, depth), here)  # as others have left it
        folders = {home: folder_of(self._within(home)) for home in homes if home}
        self._worked_in = {home: folder for home, folder in folders.items() if is_swept_in(folder)}

    def _within(self, name: str) -> Address:
        return replace(self._address, path=f"{self._address.path}/{name}")


def homes_in(names: Iterable[str]) -> set[str]:
    """The experiments among files by their paths: "" where the folder itself is one, or names of folders in it."""
    signs = {SPEC_FILE, SWEEP_FILE, EVENTS_FILE}
    homes = {home for home, _, name in (path.rpartition("/") for path in names) if name in signs and "/" not in home}
    return {""} if "" in homes else homes


def _home_of(name: str) -> str:
    return name.partition("/")[0]


def _is_seen(name: str, depth: int) -> bool:
    """Whether a page shows a file; `depth` is how many folders lead to its experiment."""
    parts = name.split("/")[depth:]
    return parts[0] not in UNSEEN and not parts[-1].startswith(TENSORBOARD) and not is_weights(name)
