"""Appends events to a sweep's `events.jsonl`, and reads them while they are written."""

import os
from pathlib import Path

from sweep.progress.events import EndEvent, EndState, Event, StartEvent, line_begin, read_lines, to_line
from sweep.progress.progress import Progress

MOST_BYTES = 2**26
"""What is read at once. A sweep of 1,000 trials writes about as much in an hour."""

FIRST_BYTES = 64

STARTS_AND_ENDS = (line_begin(StartEvent), line_begin(EndEvent))


def append_events(path: Path, *events: Event) -> None:
    """Write events as the file's last lines. A half line, which a killed process leaves, is ended first.

    The file is opened anew each time, so that other machines of shared storage see the line.

    Raises:
        OSError: such as a full disk; what is in the file already stays as it is.
    """
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        is_torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        lines = b"\n" * is_torn + b"".join(map(to_line, events))
        if file.write(lines) < len(lines):
            raise OSError(f"{path}: the disk took a part of a line")


def told_finished(path: Path) -> dict[str, float]:
    """The trials that the file tells to have finished and not to have started again since, with the time of their end.

    Raises:
        OSError: it can't be read.
    """
    finished: dict[str, float] = {}
    try:
        with path.open("rb") as file:
            ends = read_lines(line for line in file if line.startswith(STARTS_AND_ENDS))[0]
    except FileNotFoundError:
        return {}
    for event in ends:
        if isinstance(event, EndEvent) and event.state == EndState.FINISHED:
            finished[event.trial] = event.time
        elif isinstance(event, StartEvent | EndEvent):
            finished.pop(event.trial, None)
    return finished


def first_bytes(path: Path) -> bytes:
    """The beginning of the file, with the time of its first event: one that begins otherwise is another file.

    Raises:
        OSError: it can't be read, or is not there.
    """
    with path.open("rb") as file:
        return file.read(FIRST_BYTES)


def read_events(path: Path, offset: int, most_bytes: int = MOST_BYTES) -> tuple[list[Event], int, int]:
    """The events from a place of the file on, as far as their lines are whole.

    Args:
        path: the file; one that is not there yet has no events.
        offset: where to begin: 0, or what an earlier call returned. Past the file's end: 0, for the file is another.
        most_bytes: where to stop; what is left comes with the next call.

    Returns:
        The events, where the next call begins, and how many lines were damaged and passed over.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            offset = offset if offset <= size else 0
            file.seek(offset)
            content = file.read(most_bytes)
            if b"\n" not in content and len(content) == most_bytes:
                content += file.readline()
    except FileNotFoundError:
        return [], 0, 0
    whole, newline, _ = content.rpartition(b"\n")
    events, damaged = read_lines(whole.split(b"\n"))
    return events, offset + len(whole) + len(newline), damaged


def read_progress(path: Path) -> Progress:
    """How far a sweep is by all of its file, however long that is; a file that is not there yet tells nothing.

    Raises:
        OSError: it can't be read.
    """
    progress, offset = Progress(), 0
    while True:
        events, offset, _ = read_events(path, offset)
        if not events:
            return progress
        for event in events:
            progress.add(event)
