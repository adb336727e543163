"""Where a report of several sweeps may be written."""

from pathlib import Path

import pytest

from analysis.page.report_folder import checked_folder, folder_for
from basis.errors import UserError


def test_the_folder_is_named_after_the_sweeps_whatever_their_order() -> None:
    assert folder_for(["b x", "a/study"]) == folder_for(["a/study", "b x"]) == Path("report-a-study-b-x")
    assert folder_for([f"s{n}" for n in range(9)]) == Path("report-s0-s1-s2-and-6-more")


def test_nothing_but_an_earlier_report_is_overwritten(tmp_path: Path) -> None:
    experiment, own, file = tmp_path / "experiment", tmp_path / "own", tmp_path / "file"
    experiment.mkdir()
    own.mkdir()
    (experiment / "experiment_state-2026.json").touch()
    (own / "notes.txt").touch()
    file.touch()
    for folder, why in ((experiment / "report", "lies in the experiment"), (own, "other files"), (file, "no folder")):
        with pytest.raises(UserError, match=why):
            checked_folder(folder)
    (own / "report.html").touch()
    assert checked_folder(own) == own
    assert checked_folder(tmp_path / "new") == tmp_path / "new"
