"""Where the copies of stored experiments lie on this machine, and who uses one."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basis.cache import cache_folder
from basis.errors import UserError
from basis.stored.address import Address
from basis.stored.claim import claimed
from basis.stored.copy import Copy
from basis.stored.store import Store, StoreError

ALL = ""
"""All of an experiment is sent."""

SWEEP_LOCK = "copy.sweep.lock"
PROBED_SECONDS = 1.0
"""For which a sweep waits for its lock: whoever asks whether a copy is swept holds it for a moment."""

LOCK_SECONDS = 120.0
"""What another command gets to end that uses the same copy."""


def copy_of(address: Address, what: str) -> Copy:
    """The copy of a stored experiment, in our cache; it need not be there yet.

    Raises:
        StoreError: the store's settings on this machine are of no use.
    """
    return Copy(Store(address, what), folder_of(address))


def folder_of(address: Address) -> Path:
    """Where the copy of a stored experiment lies."""
    return cache_folder() / "stored" / _name_of(address) / address.path.rpartition("/")[2]


def node_folder(address: Address) -> Path:
    """Where trials of a stored sweep work on a node of a cluster; what is sent goes from there."""
    return cache_folder() / "stored-trials" / _name_of(address) / address.path.rpartition("/")[2]


def contents_folder() -> Path:
    """Where a node keeps what all trials of a stored sweep need."""
    return cache_folder() / "contents"


def _name_of(address: Address) -> str:
    """Differs between two stores with buckets of one name."""
    names = (address.typed, os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL"))
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]


def lock_of(copy: Copy) -> FileLock:
    """What a process holds while it uses a copy."""
    copy.folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(copy.folder.with_name("copy.lock"))


def sweep_lock_of(copy: Copy) -> FileLock:
    """What a sweep holds besides, for as long as it works in a copy."""
    copy.folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(copy.folder.with_name(SWEEP_LOCK))


def is_swept(copy: Copy) -> bool:
    """Whether a sweep of this machine works in a copy."""
    return is_swept_in(copy.folder)


def is_swept_in(folder: Path) -> bool:
    """Whether a sweep of this machine works in the folder of a copy."""
    lock = folder.with_name(SWEEP_LOCK)
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def brought(
    address: Address,
    what: str,
    wanted: Callable[[str], bool],
    sends: str | None = None,
    unsent: Callable[[StoreError], None] | None = None,
) -> Iterator[Path]:
    """The copy of an experiment to read in, or with `sends` to write in too.

    While a sweep of this machine writes to the copy, it is as new as can be, and what is written is sent by the sweep.

    Args:
        address: where the experiment is stored.
        what: what the user set it by, for messages.
        wanted: which files are needed, by their paths.
        sends: the folder of the experiment whose files go to the store after the block; ALL: all files, and no sweep
            may write there meanwhile; None: nothing is sent.
        unsent: told why something could not be sent; it is kept, and sent another time. None: that is raised.

    Yields:
        The folder.

    Raises:
        UserError: nothing is stored there, or a `StoreError`.
    """
    copy = copy_of(address, what)
    if is_swept(copy):
        yield copy.folder
        return
    with ExitStack() as held:
        try:
            held.enter_context(lock_of(copy).acquire(timeout=LOCK_SECONDS))
        except Timeout:
            raise UserError(f"{what} {address}: another command of this machine uses its copy") from None
        has_lost = held.enter_context(claimed(copy.store, what)) if sends == ALL else None
        copy.pull(wanted)
        if copy.extent()[0] == 0:
            shutil.rmtree(copy.folder, ignore_errors=True)
            raise UserError(f"{what} {address}: nothing is stored there")
        yield copy.folder
        if has_lost is not None and has_lost():
            raise UserError(f"{what} {address}: a sweep has begun to write there; nothing is sent, see {copy.folder}")
        if sends is not None:
            for error in copy.push(is_end=True, within=sends).failed.values():
                if unsent is None:
                    raise error
                unsent(error)
