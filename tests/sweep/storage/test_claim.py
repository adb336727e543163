"""One process works in an experiment directory, and others can ask whether one does."""

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from basis.errors import UserError
from sweep.storage.claim import LOCK_FILE, claimed, is_claimed


def test_a_directory_is_claimed_as_long_as_somebody_works_in_it(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path)
    with claimed(tmp_path):
        assert is_claimed(tmp_path)
        with pytest.raises(UserError, match="another sweep is running in this directory"), claimed(tmp_path):
            pass
    assert not is_claimed(tmp_path)


def test_a_claim_outlasts_the_moment_in_which_somebody_asks(tmp_path: Path) -> None:
    asking = FileLock(tmp_path / LOCK_FILE, thread_local=False)
    asking.acquire()
    threading.Timer(0.2, asking.release).start()
    begun = time.monotonic()
    with claimed(tmp_path):
        assert time.monotonic() - begun > 0.1
