"""Directories made before columns got their names of today: what --resume replays, and what it plans a retry by."""

import json
from pathlib import Path

from basis.directory import FINISHED_FILE, OUT_OF_MEMORY_FILE
from sweep.memory.attempts import Attempt, read_attempts
from sweep.storage.finished import read_finished, write_finished
from tests.sweep.worker.test_trial_run import config

FORMER = {"windows_per_pass": 4, "blocks_recomputed": 1}


def test_a_finished_trial_replays_its_rows_under_the_names_of_today(tmp_path: Path) -> None:
    folder = tmp_path / config().name
    folder.mkdir()
    write_finished(folder, config(), [{"step": 0, **FORMER}, {"step": 6, **FORMER, "finished": True}], known={})
    first, last = read_finished(folder / FINISHED_FILE).rows
    assert first == {"step": 0, "micro_batch": 4, "activation_checkpointing": 1}
    assert last == {"step": 6, "micro_batch": 4, "activation_checkpointing": 1, "finished": True}


def test_a_retry_is_planned_by_an_attempt_of_an_older_version(tmp_path: Path) -> None:
    sizes = {"predicted_bytes": None, "reached_bytes": 3, "asked_bytes": 2, "limit_bytes": None, "at": 9.0}
    (tmp_path / OUT_OF_MEMORY_FILE).write_text(json.dumps([{"during": "training", **FORMER, **sizes}]))
    [attempt] = read_attempts(tmp_path)
    assert attempt == Attempt("training", 4, activation_checkpointing=True, **sizes)  # type: ignore[arg-type]
    assert str(attempt) == "in training with micro-batch 4, activation checkpointing: predicted nothing, reached 3 B"
