"""Asks a sweep that keeps its results in object storage, on whatever machine it runs.

A request is an object there, where in a directory it is a file. The process that sends the sweep's files brings it to
the sweep (see `sweep.storing.send`), and sends the sweep's record with the answer.
"""

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from basis.control_record import Decision, decisions_in
from basis.directory import CONTROL_DIR, CONTROL_FILE, EVENTS_FILE, SPEC_FILE
from basis.errors import UserError
from basis.stored.address import Address
from basis.stored.claim import CLAIM_FILE, CLAIM_SECONDS
from basis.stored.places import copy_of, is_swept
from basis.stored.stamp import Stamp
from basis.stored.store import Store
from sweep.steering.ask import ask_and_wait, not_running_by
from sweep.steering.request import Request, new_id, request_text
from sweep.storage.claim import is_claimed

POLL_SECONDS = 3.0
"""Between two looks for an answer: two requests to the store each."""


def ask_stored(address: Address, what: str, request: Request, seconds: float) -> Decision | None:
    """Ask the running sweep of an address, and wait for its answer. One of this machine is asked without the store.

    Args:
        address: where it keeps its results.
        what: what the user set it by, for messages.
        request: what is asked.
        seconds: how long to wait.

    Returns:
        What the sweep has decided; None: nothing within so many seconds, and the request still waits.

    Raises:
        UserError: no sweep lies there, it does not run, it refuses, or the store can't be used. Nothing is asked then.
    """
    copy = copy_of(address, what)
    if is_swept(copy) and is_claimed(copy.folder):
        return ask_and_wait(copy.folder, request, seconds)
    store = copy.store
    if store.stamp(SPEC_FILE) is None:
        raise UserError(f"{what} {address}: no {SPEC_FILE} in it; name the address of a running sweep")
    request_id = new_id(request)
    name = f"{CONTROL_DIR}/{request_id}.json"
    store.write(name, request_text(request).encode())
    end, asked = time.monotonic() + seconds, store.stamp(name)
    while time.monotonic() < end:
        runs = is_young(store.stamp(CLAIM_FILE), asked)
        if (decision := _answers(store).get(request_id)) is not None:
            return decision
        if not runs:
            store.delete(name)
            raise _not_running(store)
        time.sleep(min(POLL_SECONDS, seconds))
    return None


def is_young(claim: Stamp | None, since: Stamp | None) -> bool:
    """Whether a sweep claims a folder in the store, by the store's own clock at the time of another object."""
    return claim is not None and since is not None and since.mtime_ns - claim.mtime_ns < CLAIM_SECONDS * 1e9


def runs_stored(address: Address, what: str) -> bool:
    """Whether the sweep of an address runs, by this machine's clock, since whoever only looks may not write there."""
    copy = copy_of(address, what)
    if is_swept(copy):
        return True
    return is_young(copy.store.stamp(CLAIM_FILE), Stamp(0, time.time_ns()))


def _answers(store: Store) -> dict[str, Decision]:
    """What the sweep has decided so far, by the requests' ids."""
    text = (store.read(CONTROL_FILE) or b"").decode("utf-8", "replace")
    return {decision.id: decision for decision in decisions_in(text)}


def _not_running(store: Store) -> UserError:
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / EVENTS_FILE
        with suppress(FileNotFoundError):
            store.get(EVENTS_FILE, events)
        return not_running_by(events, store.address.typed)
