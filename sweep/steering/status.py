"""How far the sweep of a directory is and what was asked of it, as a JSON document."""

import time
from pathlib import Path

from basis.directory import EVENTS_FILE
from basis.documents.part import iso_time
from basis.documents.progress import RequestPart, StatusDocument
from sweep.progress.documents import counts_part, leader_part, trial_part
from sweep.progress.event_file import read_progress
from sweep.progress.time_left import seconds_left
from sweep.steering.ask import answers
from sweep.storage.claim import is_claimed


def status_document(experiment_dir: Path, given: str, running: bool | None = None) -> StatusDocument:
    """The document of a directory that holds a sweep.

    Args:
        experiment_dir: the directory.
        given: the same as the user named it.
        running: whether its sweep runs; None: as the directory says.
    """
    running = is_claimed(experiment_dir) if running is None else running
    progress = read_progress(experiment_dir / EVENTS_FILE)
    return StatusDocument(
        directory=given,
        running=running,
        over=progress.over is not None,
        pid=progress.pid,
        began=iso_time(progress.began),
        resumed=iso_time(progress.resumed),
        counts=counts_part(progress),
        total=progress.total,
        seconds_left=seconds_left(progress, time.time()) if running else None,
        leader=leader_part(progress),
        trials=[trial_part(trial) for trial in progress.trials.values()],
        requests=[
            RequestPart(
                time=iso_time(decision.time) or "",
                origin=decision.origin,
                words=decision.words,
                refused=decision.refused,
                answer=decision.answer,
                trials=list(decision.trials),
            )
            for decision in answers(experiment_dir).values()
        ],
    )
