"""A folder of experiments, as it is read from the disk."""

import os
from pathlib import Path

from sweep.live.known.experiment_state import Stage, state_by_files
from sweep.live.known.folder import PREPARED_SECONDS, Folder


def test_a_sweep_that_a_page_has_started_is_listed_before_its_directory_is_there(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").touch()
    (tmp_path / "notes.log").touch()
    log = tmp_path / "new.log"
    log.touch()
    assert list(Folder(tmp_path).experiments()) == ["new"]
    state = state_by_files(tmp_path / "new", "new", now=0.0)
    assert (state.stage, state.reason) == (Stage.BEGINNING, "It is being prepared; new.log says how far it is.")
    os.utime(log, (log.stat().st_mtime - PREPARED_SECONDS,) * 2)
    assert Folder(tmp_path).experiments() == {}, "it did not come to be"
