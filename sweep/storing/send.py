"""python -m sweep.storing.send: sends what changes in a sweep's folder to object storage, beside the sweep.

A process of its own, so that a store that is slow or away costs no trial anything, and so that what is finished is
sent even where the sweep's own processes have been killed. Its standard input has a line of JSON with `Orders`, then
"begin" once the folder holds what it is to hold, and "end" after the sweep. Where that is missing as the input closes,
the sweep's command was killed. It prints lines for the user, and its exit code says whether all of it has been sent.
"""

import json
import os
import select
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from basis.directory import CONTROL_DIR
from basis.errors import name_failure
from basis.stored.address import parse_address
from basis.stored.claim import keep_claim, release
from basis.stored.copy import Copy, Pushed
from basis.stored.store import Store, StoreError
from basis.units import show_bytes
from sweep.storing.exit_codes import EXIT_LOST, EXIT_UNSENT
from sweep.storing.patience import LONGEST_WAIT_SECONDS, PATIENCE_SECONDS

SEND_SECONDS = 5.0
"""Between two looks at what has changed."""

TAKE_SECONDS = 15.0
"""Between two looks for what somebody has asked of the sweep in the store: a request to it each."""


@dataclass(frozen=True)
class Orders:
    """What is to be sent where.

    Attributes:
        address: of the store, as a user types it.
        what: what the user set it by, for messages.
        folder: the copy that the sweep works in.
        claim: by which the sweep holds the store's folder.
    """

    address: str
    what: str
    folder: str
    claim: str

    def to_line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


class Sending:
    """Sends one sweep, until it is over."""

    def __init__(self, orders: Orders) -> None:
        """Hold the claim from now on; nothing is sent yet."""
        address = parse_address(orders.what, orders.address)
        self._store = Store(address, orders.what)
        self._copy = Copy(self._store, Path(orders.folder))
        self._orders, self._is_told = orders, False
        self._taken_at = time.monotonic()
        self._is_over, self._is_lost = threading.Event(), threading.Event()
        renew = (self._store, orders.claim, self._is_over, self._is_lost)
        self._keeper = threading.Thread(target=keep_claim, args=renew, daemon=True)
        self._keeper.start()

    def run(self) -> int:
        """Send until the input says that the sweep is over, and then the rest; returns the exit code."""
        has_begun = has_ended = False
        failures, pending = 0, b""
        while not has_ended and not self._is_lost.is_set():
            wait = min(SEND_SECONDS * 2**failures, LONGEST_WAIT_SECONDS)
            if select.select([0], [], [], wait)[0]:
                chunk = os.read(0, 4096)
                pending += chunk
                lines = pending.split(b"\n")
                begins_now = b"begin" in lines and not has_begun
                if begins_now:
                    has_begun = True
                    self._copy = Copy(self._store, Path(self._orders.folder))  # with what has been brought
                has_ended = not chunk or b"end" in lines
            if has_begun and not has_ended:
                self._take_requests()
                failures = failures + 1 if self._push().failed else 0
        return self._end(has_begun)

    def _take_requests(self) -> None:
        """Bring what somebody has asked of the sweep; what could not be is brought next time."""
        if time.monotonic() - self._taken_at >= TAKE_SECONDS:
            with suppress(StoreError, OSError):
                self._copy.bring_new(CONTROL_DIR)
            self._taken_at = time.monotonic()

    def _push(self, is_end: bool = False) -> Pushed:
        """Send what has changed; trouble is told once."""
        try:
            pushed = self._copy.push(is_end)
        except OSError as error:  # this machine's disk
            pushed = Pushed(0, {self._orders.folder: StoreError(name_failure(error), is_final=False)})
        if pushed.failed and not self._is_told and not is_end:
            self._is_told = True
            say(f"{next(iter(pushed.failed.values()))}; trials go on, and it is tried again")
        return pushed

    def _end(self, has_begun: bool) -> int:
        all_sent = self._send_rest() if has_begun and not self._is_lost.is_set() else True
        self._is_over.set()
        self._keeper.join()
        if self._is_lost.is_set():
            say(f"{self._store.address}: another sweep has taken its place; ours is kept in {self._orders.folder}")
            return EXIT_LOST
        with suppress(StoreError):  # then it is void in a minute
            release(self._store, self._orders.claim)
        return 0 if all_sent else EXIT_UNSENT

    def _send_rest(self) -> bool:
        until, wait = time.monotonic() + PATIENCE_SECONDS, 1.0
        while (pushed := self._push(is_end=True)).failed and not self._is_lost.is_set():
            if pushed.sent:
                until, wait = time.monotonic() + PATIENCE_SECONDS, 1.0
            why = next(iter(pushed.failed.values()))
            if why.is_final or time.monotonic() > until:
                files = "1 file is" if len(pushed.failed) == 1 else f"{len(pushed.failed)} files are"
                say(f"{why}; {files} not sent, and kept in {self._orders.folder}")
                return False
            self._is_lost.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        if self._is_lost.is_set():
            return False
        self._copy.drop_large()
        count, size_bytes = self._copy.extent()
        requests = self._store.requests.total()
        if count:
            say(f"stored: {count:,} files ({show_bytes(size_bytes)}) in {self._store.address}; {requests:,} requests")
        return True


def say(text: str) -> None:
    """Print a line for the user, whose command may have been killed; the rest is sent all the same."""
    with suppress(OSError):
        print(text, flush=True)


def main() -> None:
    """Be the process that sends."""
    words = b""
    while not words.endswith(b"\n") and (one := os.read(0, 1)):
        words += one
    code = Sending(Orders(**json.loads(words))).run()
    os._exit(code)  # whatever threads of libraries do


if __name__ == "__main__":
    main()
