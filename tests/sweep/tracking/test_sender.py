"""How long the end of a sweep waits for a tracker: as long as it takes trials, and not for one that is silent."""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from sweep.schema.tracking import Tracker as Name
from sweep.tracking import sender
from sweep.tracking.sender import Known, Sender
from sweep.tracking.sent import SentTrial, keep_sent, read_sent
from sweep.tracking.tracker import Place, RunToOpen
from sweep.tracking.trials import Ended, Numbers, TrackedRow, TrackedTrial

NAME: Name = "mlflow"
TRIALS = [f"trial {number}" for number in range(8)]


class Slow:
    """A tracker that takes its time for each trial."""

    seconds = 0.2

    def __init__(self, place: Place) -> None:
        self.place = place

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        return sent or SentTrial(run.name)

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        time.sleep(self.seconds)

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        pass


class Hanging(Slow):
    """A tracker that answers for one trial, and then no more."""

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        if sent.run != TRIALS[0]:
            threading.Event().wait()


def sent_by(tracker: type[Slow], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said at the end of a sweep of TRIALS whose tracker is this one and has one second to be silent."""
    module = ModuleType("a_slow_library")
    module.__dict__["It"] = tracker
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sender.LIBRARIES, NAME, sender.Library(module.__name__, module.__name__, "It"))
    monkeypatch.setattr(sender, "SILENT_SECONDS", 1.0)
    known, said = Known(Place("a sweep", folder, folder / "tracking")), list[str]()
    for name in TRIALS:
        row = TrackedRow(1, 1e9, {"test_loss": 2.0})
        known.trials[name] = TrackedTrial(name, "an arm", 0, {}, 1e9, {1: row})
    one = Sender(NAME, known, said.append)
    one.start()
    one.end()
    one.join()
    return said


def test_a_tracker_that_goes_on_taking_trials_gets_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(TRIALS) * Slow.seconds > 1.0, "all in all longer than it may be silent"
    assert sent_by(Slow, tmp_path, monkeypatch) == []


def test_a_tracker_that_falls_silent_is_told_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sent_by(Hanging, tmp_path, monkeypatch) == [
        f"mlflow: lacks rows of {len(TRIALS) - 1} trials (it has not answered in time)"
    ]


def test_what_a_tracker_has_is_on_record_at_the_end_however_seldom_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def slowly(path: Path, sent: dict[str, SentTrial]) -> None:
        time.sleep(0.1)
        written.append(len(sent))
        keep_sent(path, sent)

    monkeypatch.setattr(sender, "keep_sent", slowly)
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.01)
    assert sent_by(Slow, tmp_path, monkeypatch) == []
    assert read_sent(tmp_path / "tracking" / f"{NAME}.json").keys() == set(TRIALS)
    assert len(written) <= 2, "once after the first batch, and at the end"
