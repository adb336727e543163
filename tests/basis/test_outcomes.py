"""outcome.json: what is kept of how a trial ended, and what a reader makes of a file that is lost or damaged."""

from pathlib import Path

import pytest

from basis.directory import OUTCOME_FILE
from basis.outcome_file import forget_outcome, keep_outcome, read_outcome
from basis.outcomes import OUT_OF_MEMORY_ERROR, Ending, Outcome, ending_of_exception, ending_of_finished
from sweep.memory.attempts import OutOfMemoryError


@pytest.mark.parametrize(
    "ending",
    [
        ending_of_finished(None),
        ending_of_finished("OutOfMemoryError: out"),
        ending_of_exception("FloatingPointError: train loss became nan by step 3 (lr 1)"),
        ending_of_exception("torch.OutOfMemoryError: CUDA out of memory"),
        ending_of_exception("ValueError: änderbar"),
    ],
)
def test_what_is_kept_is_what_is_read(tmp_path: Path, ending: Ending) -> None:
    keep_outcome(tmp_path, ending._replace(at=12.5))
    assert read_outcome(tmp_path) == ending._replace(at=12.5)
    forget_outcome(tmp_path)
    assert read_outcome(tmp_path) is None
    forget_outcome(tmp_path)


def test_an_exception_is_an_outcome_and_a_reason() -> None:
    assert ending_of_exception("FloatingPointError: loss")[:2] == (Outcome.DIVERGED, "FloatingPointError: loss")
    assert ending_of_exception("sweep.memory.attempts.OutOfMemoryError: in judging")[:2] == (
        Outcome.OUT_OF_MEMORY,
        "OutOfMemoryError: in judging",
    )
    assert ending_of_exception("basis.disks.DiskError: full")[:2] == (Outcome.FAILED, "basis.disks.DiskError: full")
    assert ending_of_finished("ValueError: x").reason == "trained, but not judged: ValueError: x"


def test_the_exception_of_a_sweep_has_the_name_by_which_a_reader_knows_it() -> None:
    assert OutOfMemoryError.__name__ == OUT_OF_MEMORY_ERROR


@pytest.mark.parametrize("text", ["", "{", "[]", '{"outcome": "won", "reason": "", "at": 1}', '{"outcome": "failed"}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / OUTCOME_FILE).write_text(text)
    assert read_outcome(tmp_path) is None


def test_an_outcome_that_cannot_be_kept_fails_nobody(tmp_path: Path) -> None:
    keep_outcome(tmp_path / "gone", ending_of_finished(None))
    assert not (tmp_path / "gone").exists()
