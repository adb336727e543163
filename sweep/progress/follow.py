"""python -m sweep.progress.follow DIR OFFSET: prints a document for each event of a sweep from OFFSET on.

It ends when its standard input closes, with all that has happened by then.
"""

import select
import sys
from pathlib import Path

from basis.directory import EVENTS_FILE
from basis.documents.documents import to_line
from basis.terminal import leave
from sweep.progress.documents import progress_document
from sweep.progress.event_file import read_events
from sweep.progress.progress import Progress

POLL_SECONDS = 0.2


def follow(experiment_dir: Path, offset: int) -> None:
    """Print a document for each event, until standard input closes or nobody reads any more.

    Args:
        experiment_dir: the sweep's, which need not be there yet.
        offset: where what is new begins in its file of events; what stands before it is taken in and not printed.
    """
    path, progress = experiment_dir / EVENTS_FILE, Progress()
    events, place, _ = read_events(path, 0, most_bytes=max(offset, 1)) if offset else ([], 0, 0)
    for event in events:
        progress.add(event)
    closed = False
    while True:
        events, place, _ = read_events(path, place)
        for event in events:
            progress.add(event)
            sys.stdout.write(to_line(progress_document(progress, event)) + "\n")
            sys.stdout.flush()
        if closed and not events:
            return
        closed = closed or bool(select.select([sys.stdin], [], [], POLL_SECONDS)[0])


if __name__ == "__main__":
    try:
        follow(Path(sys.argv[1]), int(sys.argv[2]))
    except BrokenPipeError:
        leave(sys.stdout)
