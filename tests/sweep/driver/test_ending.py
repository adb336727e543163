"""The end of a sweep: what is printed of its report, and when that is built anew."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import analysis.report
from analysis.screen.screen import Screen
from basis.directory import PARAMS_FILE
from sweep.driver.ending import SweepFolder, sweep_and_report
from sweep.tune.counts import SweepCounts
from tests import synthetic_experiment as synthetic

COUNTS = SweepCounts(finished=7, failed=0, interrupted=0)
UNCHANGED = "nothing has changed since the report was built\n"


def test_a_sweep_that_ran_nothing_says_what_its_report_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Path(shutil.copytree(synthetic.directory(), tmp_path / "study"))
    told: list[Screen] = []

    def end(verbose: bool = False) -> str:
        said = io.StringIO()
        console = Console(file=said, width=200)
        folder = SweepFolder(experiment, "BEGIN", "RESUME", console, verbose, on_report=told.append)
        assert sweep_and_report(lambda work: COUNTS, folder, apart=False, restarts=0) == 0
        return said.getvalue()

    first = end()
    assert "LOWEST LOSS" in first
    built, build = [], analysis.report.build
    monkeypatch.setattr(analysis.report, "build", lambda place: built.append(place) or build(place))
    assert end() == UNCHANGED + first
    assert not built
    assert told[0].document() == told[1].document()

    assert "LoRA rank" in end(verbose=True), "tables are not kept"
    min(experiment.glob(f"*/{PARAMS_FILE}")).touch()
    assert end() == first
    assert built == [experiment, experiment]
