"""The process that tells of a sweep in JSON: what is new, as it happens, whoever stops to read."""

import json
import subprocess
import sys
from pathlib import Path

from basis.directory import EVENTS_FILE
from basis.documents.documents import DOCUMENTS
from basis.packages import ROOT
from sweep.progress.event_file import append_events
from tests.conftest import PATIENCE_SECONDS
from tests.sweep.progress.made_up import end, planned, row, start, sweep

FULL, LORA = planned("a", "full adamw"), planned("b", "lora r8 adamw")


def follow(folder: Path, offset: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "sweep.progress.follow", str(folder), str(offset)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_each_event_is_a_document_with_its_trial_and_the_whole(tmp_path: Path) -> None:
    path = tmp_path / EVENTS_FILE
    append_events(path, sweep([FULL, LORA]))
    append_events(path, start(FULL, 1.0))
    offset = path.stat().st_size
    with follow(tmp_path, offset) as teller:
        assert teller.stdout is not None
        append_events(path, row(FULL, 2.0, 5, test_loss=2.0, train_seconds=1.0))
        first = json.loads(teller.stdout.readline())  # while the file grows
        append_events(path, end(FULL, 3.0))
        out, _ = teller.communicate()  # closes its input
    assert teller.returncode == 0
    documents = [DOCUMENTS.validate_python(first), *map(DOCUMENTS.validate_json, out.splitlines())]
    assert [one.event for one in documents] == ["row", "end"], "what stood there before is not told again"
    told = documents[0]
    assert (told.trial.trial, told.trial.step, told.trial.metrics["test_loss"]) == ("a", 5, 2.0)
    assert (told.counts.running, told.counts.waiting, told.leader.arm) == (1, 1, "full adamw")
    assert (documents[1].trial.state, documents[1].counts.finished) == ("finished", 1)


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    with follow(tmp_path, 0) as teller:
        assert teller.stdout is not None
        teller.stdout.close()
        append_events(tmp_path / EVENTS_FILE, sweep([FULL]))
        assert teller.wait(PATIENCE_SECONDS) == 0
