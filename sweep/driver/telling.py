"""Tells in JSON what happens in a sweep, from a process beside it, so that telling can't hold the sweep up."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from basis.directory import EVENTS_FILE
from basis.documents.documents import print_document
from basis.documents.progress import EndDocument
from sweep.command import say_error
from sweep.machine.environment import with_our_code
from sweep.progress.documents import counts_part
from sweep.progress.event_file import read_progress

END_SECONDS = 10.0
"""What the telling process gets to tell the rest."""


@contextmanager
def told_in_json(experiment_dir: Path) -> Iterator[None]:
    """Print a document for each event of a sweep within the block, and all of them by its end."""
    path = experiment_dir / EVENTS_FILE
    offset = path.stat().st_size if path.is_file() else 0
    words = [sys.executable, "-m", "sweep.progress.follow", str(experiment_dir), str(offset)]
    sys.stdout.flush()
    # a session of its own, so that Ctrl-C ends the sweep first
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=with_our_code(), start_new_session=True) as teller:
        try:
            yield
        finally:
            with suppress(OSError):
                if teller.stdin is not None:
                    teller.stdin.close()
            try:
                teller.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                teller.kill()
                say_error("what tells of the sweep in JSON did not end by itself and was killed")


def tell_end(experiment_dir: Path, named: str, exit_code: int, go_on: str) -> None:
    """Print the document that ends a sweep's.

    Args:
        experiment_dir: its directory.
        named: how the user names where its results are kept.
        exit_code: of the command.
        go_on: the command that continues the sweep.
    """
    counts = counts_part(read_progress(experiment_dir / EVENTS_FILE))
    document = EndDocument(directory=named, counts=counts, exit_code=exit_code, go_on=go_on)
    print_document(document, sys.stdout)
