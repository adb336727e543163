"""Posts to `notify` what happens in a sweep, in a thread that nothing waits for without end."""

import threading
import time
from collections.abc import Callable

from sweep.progress.events import OverEvent
from sweep.tracking.notice import of_diverged, of_end
from sweep.tracking.post import NotPostedError, post
from sweep.tracking.sent import SentTrial, keep_sent, read_sent
from sweep.tracking.tracker import Place
from sweep.tracking.trials import TrackedTrial

GATHER_SECONDS = 1.0
"""Trials that diverge within it go into one post."""


class Notifier:
    """Tells a URL of trials that diverge, each once in the life of a sweep, and of the sweep's end."""

    def __init__(self, place: Place, url: str, say: Callable[[str], None]) -> None:
        """Start the thread; nothing is posted yet.

        Args:
            place: the sweep.
            url: what is posted to.
            say: prints a line for the user.
        """
        self._place, self._url, self._say = place, url, say
        self._file = place.folder / "notify.json"
        self._waiting: list[TrackedTrial] = []
        self._lock, self._wake, self._ending = threading.Lock(), threading.Event(), threading.Event()
        self._over: OverEvent | None = None
        self._exit_code: int | None = None
        self._until, self._is_told = 0.0, False
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._thread.start()

    def diverged(self, trial: TrackedTrial) -> None:
        """A trial has diverged."""
        with self._lock:
            self._waiting.append(trial)
        self._wake.set()

    def end(self, over: OverEvent | None, exit_code: int | None, until: float) -> None:
        """The sweep is over; see `notice.of_end`. What is not posted by `until`, of `time.monotonic`, never is."""
        self._over, self._exit_code, self._until = over, exit_code, until
        self._ending.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        """Wait until all is posted, at most so long."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            self._tell("no answer in time")

    def _run(self) -> None:
        posted = read_sent(self._file)
        while True:
            self._wake.wait()
            self._ending.wait(GATHER_SECONDS)
            self._wake.clear()
            is_last = self._ending.is_set()
            with self._lock:
                waiting, self._waiting = self._waiting, []
            new = [trial for trial in waiting if trial.name not in posted]
            if new and self._post(of_diverged(self._place, new)):
                posted |= {trial.name: SentTrial(trial.name) for trial in new}
                self._keep(posted)
            if is_last:
                self._post(of_end(self._place, self._over, self._exit_code))
                return

    def _post(self, body: dict[str, object]) -> bool:
        try:
            post(self._url, body, self._sleep, self._end_of_waiting)
            return True
        except NotPostedError as error:
            self._tell(str(error))
            return False

    def _sleep(self, seconds: float) -> None:
        """Wait between two tries; a sweep that ends meanwhile is tried for at once."""
        if self._ending.is_set():
            time.sleep(seconds)
        else:
            self._ending.wait(seconds)

    def _end_of_waiting(self) -> float:
        return self._until

    def _keep(self, posted: dict[str, SentTrial]) -> None:
        try:
            keep_sent(self._file, posted)
        except OSError:  # then a resumed sweep posts them once more
            self._tell("the disk does not keep what was posted")

    def _tell(self, why: str) -> None:
        if not self._is_told:
            self._say(f"notify: {why}; trials go on, and the report has all that was to be told")
        self._is_told = True
