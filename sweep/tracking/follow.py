"""python -m sweep.tracking.follow: tells trackers and `notify` of a sweep, beside it and apart from it.

A process of its own, so that a library that hangs, a server that is away and a queue that grows cost no trial anything,
and so that somebody is left to tell of a sweep whose processes have been killed. Its standard input has a line of JSON
with `Orders`, and at the sweep's end another one, {"exit_code": N}. Where that one is missing as the input closes, the
sweep's command was killed. It prints lines for the user and nothing else.
"""

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from basis.directory import EVENTS_FILE, TRACKING_DIR
from basis.errors import name_failure
from basis.outcomes import Outcome
from sweep.progress.event_file import MOST_BYTES, read_events
from sweep.progress.events import EndEvent, EndState, Event, OverEvent, SweepEvent
from sweep.schema.tracking import Tracker
from sweep.tracking.notifier import Notifier
from sweep.tracking.sender import Known, Sender
from sweep.tracking.tracker import Place
from sweep.tracking.trials import fold

POLL_SECONDS = 0.3

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a sender tries again by itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""Variables of libraries, unless the user has set them: nothing is reported to their makers, and no call takes long."""

LOCK_SECONDS = 10.0
"""What the process of an earlier start gets to end."""

NOTIFY_SECONDS = 30.0
"""What `notify` gets after a sweep's end."""


@dataclass(frozen=True)
class Orders:
    """What is to be told to whom.

    Attributes:
        sweep: the sweep's name.
        experiment_dir: its directory, which need not be there yet.
        track: the trackers.
        notify: the URL that is posted to; None: nobody is told.
        offset: where in the file of events what is new begins: posts are about nothing before it.
    """

    sweep: str
    experiment_dir: str
    track: tuple[Tracker, ...]
    notify: str | None
    offset: int

    def to_line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


class Follower:
    """Reads what happens in a sweep, and passes it on."""

    def __init__(self, orders: Orders, say: Callable[[str], None]) -> None:
        """Nothing is read yet."""
        folder = Path(orders.experiment_dir)
        self._orders, self._say, self._events = orders, say, folder / EVENTS_FILE
        self._place = Place(orders.sweep, folder, folder / TRACKING_DIR)
        self._known = Known(self._place)
        self._senders = [Sender(name, self._known, say) for name in orders.track]
        self._notifier = Notifier(self._place, orders.notify, say) if orders.notify else None
        self._lock = FileLock(self._place.folder / "lock")
        self._offset, self._has_begun = 0, False
        self._over: OverEvent | None = None

    def read(self) -> None:
        """Take in what has happened since the last call."""
        while True:
            before, new = self._offset, self._orders.offset
            most = new - before if before < new else MOST_BYTES
            events, self._offset, _ = read_events(self._events, before, most)
            if not events:
                return
            with self._known.lock:
                fold(self._known.trials, events, self._place.experiment_dir)
            if not self._has_begun:
                self._begin()
            if before >= new:
                for event in events:
                    self._note(event)

    def _begin(self) -> None:
        """The experiment directory is there: send what is in it, unless another process does."""
        self._has_begun = True
        if not self._senders:
            return
        try:
            self._place.folder.mkdir(exist_ok=True)
            self._lock.acquire(timeout=LOCK_SECONDS)
        except (OSError, Timeout) as error:
            why = "another process tracks this sweep" if isinstance(error, Timeout) else name_failure(error)
            self._say(f"track: nothing is sent ({why})")
            self._senders = []
        for sender in self._senders:
            sender.start()

    def _note(self, event: Event) -> None:
        match event:
            case SweepEvent():
                self._over = None
            case OverEvent():
                self._over = event
            case EndEvent(state=EndState.FAILED) if self._notifier is not None:
                trial = self._known.trials.get(event.trial)
                if trial and trial.ended and trial.ended.outcome == Outcome.DIVERGED:
                    self._notifier.diverged(trial)

    def end(self, exit_code: int | None) -> None:
        """The sweep is over: pass on the rest, and say what nobody has taken."""
        self.read()
        until = time.monotonic() + NOTIFY_SECONDS
        if self._notifier is not None:
            self._notifier.end(self._over, exit_code, until)
        for sender in self._senders:
            sender.end()
        if self._has_begun:
            for sender in self._senders:
                sender.join()
        if self._notifier is not None:
            self._notifier.join(until - time.monotonic())


def follow(orders: Orders, say: Callable[[str], None]) -> None:
    """Follow a sweep until standard input says that it is over, or closes."""
    follower = Follower(orders, say)
    pending, code, closed = b"", None, False
    while not closed:
        follower.read()
        if select.select([0], [], [], POLL_SECONDS)[0]:
            chunk = os.read(0, 65536)
            pending += chunk
            closed = not chunk or b"\n" in pending
    with suppress(ValueError, TypeError, KeyError):
        code = int(json.loads(pending)["exit_code"])
    follower.end(code)


def main() -> None:
    """Be the process that follows; it ends whatever threads of libraries do."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # libraries print as they like
    os.dup2(nowhere, 2)
    os.nice(10)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    words = b""
    while not words.endswith(b"\n") and (one := os.read(0, 1)):
        words += one
    lock = threading.Lock()

    def say(text: str) -> None:
        with lock, suppress(OSError):  # nobody may read any more
            said.write(text + "\n")

    try:
        values = json.loads(words)
        follow(Orders(**{**values, "track": tuple(values["track"])}), say)
    finally:
        with suppress(OSError):
            said.flush()
        os._exit(0)


if __name__ == "__main__":
    if sys.stdin is not None:
        main()
