"""events.jsonl: read by a cursor while it is written, with half lines, damaged lines and a killed writer."""

from pathlib import Path

import pytest

from sweep.progress.event_file import append_events, read_events, read_progress, told_finished
from sweep.progress.events import EndState, Event
from sweep.progress.progress import State
from tests.sweep.progress.made_up import end, planned, row, start, sweep

TRIAL = planned("full-adamw-1")


def test_what_is_written_is_read_and_the_cursor_goes_on_where_it_was(tmp_path: Path) -> None:
    file, first = tmp_path / "events.jsonl", [sweep([TRIAL]), start(TRIAL, 1.0)]
    for event in first:
        append_events(file, event)
    events, offset, damaged = read_events(file, 0)
    assert (events, damaged) == (first, 0)
    append_events(file, later := row(TRIAL, 2.0, 5, test_loss=0.5))
    assert read_events(file, offset) == ([later], file.stat().st_size, 0)


def test_a_file_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl", 0) == ([], 0, 0)


def test_half_a_line_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append_events(file, event := sweep([TRIAL]))
    line = file.read_bytes()
    file.write_bytes(line + line[:30])
    events, offset, damaged = read_events(file, 0)
    assert (events, offset, damaged) == ([event], len(line), 0)
    file.write_bytes(line + line)
    assert read_events(file, offset) == ([event], 2 * len(line), 0)


def test_the_next_driver_begins_on_a_new_line_after_a_killed_one(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"event":"row","trial":"full-ad')
    append_events(file, event := end(TRIAL, 3.0))
    assert read_events(file, 0) == ([event], file.stat().st_size, 1)


def test_damaged_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append_events(file, event := start(TRIAL, 1.0))
    wrong = (
        b"\xff\x00",
        b"[]",
        b'{"event":"other","time":1}',
        b'{"event":"row","time":1,"trial":"x"}',
        b'{"time":NaN}',
    )
    file.write_bytes(b"\n".join([*wrong, file.read_bytes()]))
    assert read_events(file, 0)[0] == [event]
    assert read_events(file, 0)[2] == len(wrong)


def test_long_files_are_read_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    written = [row(TRIAL, float(step), step) for step in range(20)]
    for event in written:
        append_events(file, event)
    events: list[Event] = []
    offset = 0
    for _ in range(40):
        part, offset, _ = read_events(file, offset, most_bytes=200)
        events += part
    assert events == written


def test_a_file_that_has_become_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append_events(file, event := start(TRIAL, 1.0))
    assert read_events(file, 10**6)[0] == [event]


def test_a_sweep_is_told_to_its_end_however_long_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = tmp_path / "events.jsonl", planned("full-adamw-2")
    append_events(file, sweep([TRIAL, other]), start(TRIAL, 1.0), end(TRIAL, 2.0), start(other, 3.0), end(other, 4.0))
    monkeypatch.setattr(read_events, "__defaults__", (file.stat().st_size // 2,))  # what is read at once
    assert read_events(file, 0)[1] < file.stat().st_size
    assert read_progress(file).counts()[State.FINISHED] == 2


def test_the_trials_that_are_told_to_have_finished_have_not_started_since(tmp_path: Path) -> None:
    file, other = tmp_path / "events.jsonl", planned("full-adamw-2")
    assert told_finished(file) == {}
    append_events(file, start(TRIAL, 1.0), end(TRIAL, 2.0), start(other, 3.0), row(other, 3.5, 5, test_loss=0.5))
    assert told_finished(file) == {TRIAL.trial: 2.0}
    append_events(file, end(other, 4.0), start(TRIAL, 5.0))
    assert told_finished(file) == {other.trial: 4.0}
    append_events(file, end(TRIAL, 6.0, state=EndState.FAILED))
    assert told_finished(file) == {other.trial: 4.0}
