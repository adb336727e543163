"""Where the copies of stored experiments lie on this machine, and who uses one."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basis.cache import cache_folder
from basis.errors import UserError
from basis.stored.address import Address
from basis.stored.copy import Copy
from basis.stored.store import Store


def copy_of(address: Address, what: str) -> Copy:
    """The copy of a stored experiment, in our cache; it need not be there yet.

    Raises:
        StoreError: the store's settings on this machine are of no use.
    """
    name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    return Copy(Store(address, what), cache_folder() / "stored" / name / address.path.rpartition("/")[2])


def lock_of(copy: Copy) -> FileLock:
    """What a process holds while it uses a copy."""
    copy.folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(copy.folder.with_name("copy.lock"))


@contextmanager
def brought(address: Address, what: str, wanted: Callable[[str], bool], sends: bool = False) -> Iterator[Path]:
    """The copy of an experiment to read in, or with `sends` to write in too; what has changed is then sent.

    While a sweep of this machine writes to the copy, it is as new as can be, and what is written is sent by the sweep.

    Args:
        address: where the experiment is stored.
        what: what the user set it by, for messages.
        wanted: which files are needed, by their paths.
        sends: whether files that are written in the block go to the store.

    Yields:
        The folder.

    Raises:
        UserError: nothing is stored there, or a `StoreError`.
    """
    copy = copy_of(address, what)
    lock = lock_of(copy)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield copy.folder
        return
    try:
        copy.pull(wanted)
        if copy.extent()[0] == 0:
            shutil.rmtree(copy.folder, ignore_errors=True)
            raise UserError(f"{what} {address}: nothing is stored there")
        yield copy.folder
        if sends:
            for error in copy.push(is_end=True).failed.values():
                raise error
    finally:
        lock.release()
