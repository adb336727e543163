"""Brings a tracker up to date with what is known of a sweep's trials, in a thread that nothing waits for without end.

A sender asks what its tracker lacks, and not what has just happened. So a tracker that was away, a sweep that goes on,
rows that are replayed and a trial that is judged later are all the same to it.
"""

import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from basis.errors import name_failure
from sweep.cluster.privacy import for_others
from sweep.schema.tracking import Tracker as Name
from sweep.tracking.sent import SentTrial, keep_sent, read_sent
from sweep.tracking.tracker import Place, RunToOpen, Tracker
from sweep.tracking.trials import Ended, Numbers, TrackedRow, TrackedTrial, tags_of

PAUSE_SECONDS = 1.0
"""Between two batches, so that a fast trial's rows go together."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 60.0
"""After a failure; each further one waits twice as long."""

SILENT_SECONDS = 30.0
"""What a tracker gets to take a trial once the sweep is over. Each trial that it has taken begins them anew."""

LOAD_SECONDS = 300.0
"""What a tracker's library gets to be imported: MLflow and W&B take a minute beside trials that use every core."""


class Library(NamedTuple):
    """A tracker's library: the package that must be installed, and our module and class that use it."""

    package: str
    module: str
    name: str


LIBRARIES: dict[Name, Library] = {
    "tensorboard": Library("tensorboardX", "sweep.tracking.tensorboard_files", "TensorBoardFiles"),
    "mlflow": Library("mlflow", "sweep.tracking.mlflow_runs", "MLflowRuns"),
    "wandb": Library("wandb", "sweep.tracking.wandb_runs", "WandbRuns"),
    "trackio": Library("trackio", "sweep.tracking.trackio_runs", "TrackioRuns"),
}


@dataclass(frozen=True)
class Lack:
    """What a tracker lacks of a trial."""

    run: RunToOpen
    rows: tuple[TrackedRow, ...]
    ended: Ended | None
    final: Numbers

    @property
    def outcome(self) -> str:
        """How the trial ended; "" while it runs."""
        return self.ended.outcome.value if self.ended else ""


class Known:
    """The trials of a sweep as far as they are known, shared by the thread that reads events and those that send."""

    def __init__(self, place: Place) -> None:
        """Nothing is known yet."""
        self.place, self.trials = place, dict[str, TrackedTrial]()
        self.lock = threading.Lock()

    def lacking(self, sent: dict[str, SentTrial]) -> list[Lack]:
        """What a tracker lacks that has been sent so much."""
        with self.lock:
            return [self._lack(trial) for trial in self.trials.values() if _lacks(trial, sent.get(trial.name))]

    def _lack(self, trial: TrackedTrial) -> Lack:
        tags = tags_of(trial, self.place.sweep, self.place.experiment_dir)
        rows = tuple(trial.rows[step] for step in sorted(trial.rows))
        return Lack(
            RunToOpen(trial.name, trial.label, trial.time, trial.params(), tags), rows, trial.ended, trial.final()
        )


def _lacks(trial: TrackedTrial, sent: SentTrial | None) -> bool:
    if sent is None:
        return bool(trial.rows) or trial.ended is not None
    if trial.ended is None:
        return trial.last_step > sent.step
    return sent.ended != trial.ended.outcome or trial.last_step > sent.step or sent.final != trial.final()


class Sender:
    """Sends one tracker what it lacks."""

    def __init__(self, name: Name, known: Known, say: Callable[[str], None]) -> None:
        """Nothing is sent before `start`.

        Args:
            name: the tracker's.
            known: what is known of the sweep.
            say: prints a line for the user.
        """
        self.name, self._known, self._say = name, known, say
        self._file = known.place.folder / f"{name}.json"
        self._sent: dict[str, SentTrial] = {}
        self._tracker: Tracker | None = None
        self._open: dict[str, SentTrial] = {}
        self._is_ending, self._failures = threading.Event(), 0
        self._kept_until = 0.0
        self._is_told, self._trouble = False, ""
        self._silent_since, self._patience_seconds = time.monotonic(), SILENT_SECONDS
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Send from now on whatever becomes known. The experiment directory must be there."""
        self._thread.start()

    def end(self) -> None:
        """Have what is known sent once more, and the runs that are open closed."""
        self._silent_since = time.monotonic()
        self._is_ending.set()

    def join(self) -> None:
        """Wait for that as long as there is progress, and say what has not been sent."""
        while self._thread.is_alive() and (left := self._silent_since + self._patience_seconds - time.monotonic()) > 0:
            self._thread.join(left)
        if unsent := len(self._known.lacking(dict(self._sent))):
            trials = "1 trial" if unsent == 1 else f"{unsent} trials"
            why = self._trouble or ("it has not answered in time" if self._thread.is_alive() else "it did not start")
            self._say(f"{self.name}: lacks rows of {trials} ({why})")

    def _run(self) -> None:
        self._sent = read_sent(self._file)
        while True:
            is_last = self._is_ending.is_set()
            try:
                self._send()
                if is_last:
                    self._close()
                self._failures, self._trouble = 0, ""
            except Exception as error:  # whatever a library raises
                self._note(error)
            if is_last and self._failures != 1:  # a failure that is the first gets a second try
                return
            wait = min(FIRST_WAIT_SECONDS * 2 ** (self._failures - 1), LONGEST_WAIT_SECONDS) if self._failures else 0.0
            if self._is_ending.wait(max(wait, PAUSE_SECONDS)) and self._failures:
                time.sleep(PAUSE_SECONDS)

    def _hear(self, patience_seconds: float) -> None:
        """There is progress; so long may pass until there is more."""
        self._silent_since, self._patience_seconds = time.monotonic(), patience_seconds

    def _note(self, error: Exception) -> None:
        """Keep what has gone wrong, say it the first time, and begin anew with runs that are opened again."""
        self._failures += 1
        self._trouble = for_others(name_failure(error))
        self._open, self._tracker = {}, None
        if not self._is_told:
            self._say(f"{self.name}: {self._trouble}; trials go on, and it is tried again")
        self._is_told = True

    def _send(self) -> None:
        lacking = self._known.lacking(self._sent)
        if not lacking:
            return
        if self._tracker is None:
            library = LIBRARIES[self.name]
            self._hear(LOAD_SECONDS)
            made = getattr(importlib.import_module(library.module), library.name)
            self._hear(SILENT_SECONDS)
            self._tracker = made(self._known.place)
        try:
            for lack in lacking:
                self._send_trial(self._tracker, lack)
                self._hear(SILENT_SECONDS)
        finally:
            self._keep_sent()

    def _keep_sent(self) -> None:
        """Write what has been sent, unless writing it would take more than a twentieth of the time.

        It is one file, which grows with the trials. A process that is killed sends again what was not written.
        """
        began = time.monotonic()
        if began >= self._kept_until:
            keep_sent(self._file, self._sent)
            self._kept_until = time.monotonic() + 20 * (time.monotonic() - began)

    def _send_trial(self, tracker: Tracker, lack: Lack) -> None:
        name = lack.run.name
        sent = self._open.get(name)
        if sent is None:
            sent = tracker.open(lack.run, self._sent.get(name))
            sent.ended = ""
        self._open[name] = self._sent[name] = sent
        for row in (rows := [row for row in lack.rows if row.step > sent.step]):
            sent.final = {**sent.final, **row.metrics}
        tracker.log(sent, rows)
        sent.step = max((row.step for row in lack.rows), default=sent.step)
        if lack.ended is not None:
            news = {metric: value for metric, value in lack.final.items() if sent.final.get(metric) != value}
            tracker.end(sent, lack.ended, lack.final, news)
            sent.final, sent.ended = lack.final, lack.outcome
            del self._open[name]

    def _close(self) -> None:
        """Close the runs of trials that have not ended."""
        for name, sent in list(self._open.items()):
            if self._tracker is not None:
                self._tracker.end(sent, None, self._known.trials[name].final(), {})
            del self._open[name]
            sent.ended = "interrupted"
            self._hear(SILENT_SECONDS)
        if self._sent:
            keep_sent(self._file, self._sent)
