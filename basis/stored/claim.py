"""One sweep at a time writes to a folder in object storage: an object there says who, and has to be renewed.

The store's own clock decides how old it is, so that no two machines need agree on the time. Object storage of every
kind lets the last of two writers win, so who claims a folder waits a moment and looks whether it has won.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from uuid import uuid4

from basis.errors import UserError
from basis.stored.store import Store, StoreError

CLAIM_FILE = ".claim"
CLAIM_SECONDS = 60.0
"""After which a claim that nobody has renewed is void: its sweep has been killed."""

RENEW_SECONDS = 15.0
SETTLE_SECONDS = 1.0


def claim(store: Store, what: str) -> str:
    """Claim a folder; returns the claim.

    Args:
        store: the folder.
        what: what names it, for messages.

    Raises:
        UserError: another sweep has a claim on it, or the store can't be written.
    """
    now = store.check_writable()
    held = store.stamp(CLAIM_FILE)
    if held is not None and (age := (now.mtime_ns - held.mtime_ns) / 1e9) < CLAIM_SECONDS:
        raise UserError(
            f"{what} {store.address}: another sweep writes there; if it has been killed, its claim is void in "
            f"{max(1, round(CLAIM_SECONDS - age))} s"
        )
    mine = uuid4().hex
    store.write(CLAIM_FILE, mine.encode())
    time.sleep(SETTLE_SECONDS)
    if not is_held(store, mine):
        raise UserError(f"{what} {store.address}: another sweep has begun there at the same moment")
    return mine


def is_held(store: Store, mine: str) -> bool:
    """Whether a claim is the one that holds."""
    return store.read(CLAIM_FILE) == mine.encode()


def _is_taken(store: Store, mine: str) -> bool:
    """Whether another claim is in the place of this one."""
    return store.read(CLAIM_FILE) not in (None, mine.encode())


@contextmanager
def claimed(store: Store, what: str) -> Iterator[Callable[[], bool]]:
    """Hold a folder within the block; raises as `claim`.

    Yields:
        Asks the store whether another claim has taken the place of this one.
    """
    mine, is_over, is_lost = claim(store, what), Event(), Event()
    keeper = Thread(target=keep_claim, args=(store, mine, is_over, is_lost), daemon=True)
    keeper.start()
    try:
        yield lambda: is_lost.is_set() or _is_taken(store, mine)
    finally:
        is_over.set()
        keeper.join()
        release(store, mine)


def release(store: Store, mine: str) -> None:
    """Give a claim back, unless another one is in its place."""
    if is_held(store, mine):
        store.delete(CLAIM_FILE)


def keep_claim(store: Store, mine: str, is_over: Event, is_lost: Event) -> None:
    """Renew a claim until it is over, or until another one is found in its place."""
    while not is_over.wait(RENEW_SECONDS):
        try:
            if _is_taken(store, mine):
                is_lost.set()
                return
            store.write(CLAIM_FILE, mine.encode())
        except StoreError:  # the store is away, for others too
            continue
