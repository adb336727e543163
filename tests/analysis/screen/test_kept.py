"""A report that is kept says again what it said, until something that it was made of has changed."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from analysis import report
from analysis.results.experiment import read_experiment
from analysis.screen.kept import SCREEN_FILE, current_screen
from analysis.screen.screen import Screen, print_summary
from basis.directory import (
    CONTROL_FILE,
    EVENTS_FILE,
    PARAMS_FILE,
    RECORD_FILE,
    REPORT_DIR,
    RESULT_FILE,
    SPEC_FILE,
    SWEEP_FILE,
)
from basis.packages import ROOT
from tests import synthetic_experiment as synthetic


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> report.Report:
    """A report as it was built, whose folder a test finds in `experiment` as it was then."""
    experiment = shutil.copytree(synthetic.directory(), tmp_path_factory.mktemp("kept") / "study")
    assert current_screen(experiment) is None
    report_built = report.build(experiment)
    shutil.copytree(experiment, experiment.with_name("kept"))
    return report_built


@pytest.fixture
def experiment(built: report.Report) -> Path:
    """The experiment of the report, at its place."""
    folder = built.folder.parent
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(folder.with_name("kept"), folder))


def said(screen: Screen) -> tuple[str, str]:
    printed = io.StringIO()
    print_summary(screen, Console(file=printed, width=80))
    return printed.getvalue(), screen.document().model_dump_json()


def trial(experiment: Path, name: str) -> Path:
    """A file of the first trial that has it."""
    return min(experiment.glob(f"*/{name}"))


def touch(path: Path) -> None:
    """Change when a file was changed."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def rewrite(path: Path, **changed: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changed}), encoding="utf-8")


def test_a_kept_report_says_what_it_said(built: report.Report, experiment: Path) -> None:
    kept = current_screen(experiment)
    assert kept is not None
    assert said(kept) == said(built)
    assert kept.html == built.html
    assert kept.html.is_file()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: touch(trial(folder, RESULT_FILE)),
        lambda folder: trial(folder, PARAMS_FILE).unlink(),
        lambda folder: (trial(folder, RESULT_FILE).parent / RECORD_FILE).write_text("{}"),
        lambda folder: shutil.rmtree(trial(folder, RESULT_FILE).parent),
        lambda folder: rewrite(folder / SWEEP_FILE, versions={"torch": "1.0"}),
        lambda folder: (folder / SPEC_FILE).write_text("1: one\nname: another\n"),
        lambda folder: (folder / CONTROL_FILE).write_text("{}\n"),
        lambda folder: (folder / REPORT_DIR / "report.html").unlink(),
        lambda folder: next((folder / REPORT_DIR / "figures").glob("*.png")).unlink(),
        lambda folder: (folder / REPORT_DIR / SCREEN_FILE).write_text('{"made_of": 3'),
        lambda folder: (folder / REPORT_DIR / SCREEN_FILE).rename(folder / REPORT_DIR / "elsewhere"),
    ],
    ids=["row", "config", "record", "trial", "versions", "spec", "control", "page", "figure", "screen", "no screen"],
)
def test_a_report_is_no_more_current_once_something_has_changed(
    experiment: Path, change: Callable[[Path], object]
) -> None:
    assert current_screen(experiment) is not None
    change(experiment)
    assert current_screen(experiment) is None


def test_what_each_start_writes_changes_nothing(experiment: Path) -> None:
    rewrite(experiment / SWEEP_FILE, finished_at="2030-01-01T00:00:00+00:00", continued=["2030-01-01"])
    touch(experiment / SPEC_FILE)
    (experiment / EVENTS_FILE).write_text("{}\n")
    (experiment / "experiment_state-2030-01-01_00-00-00.json").write_text('{"trial_data": []}')
    (trial(experiment, RESULT_FILE).parent / "events.out.tfevents.1.vm").write_bytes(b"late")
    assert current_screen(experiment) is not None


def test_a_report_elsewhere_is_none_of_the_experiment(experiment: Path, tmp_path: Path) -> None:
    kept = (experiment / REPORT_DIR / SCREEN_FILE).read_bytes()
    assert report.main([str(experiment), "--to", str(tmp_path / "elsewhere")]) == 0
    assert not (tmp_path / "elsewhere" / SCREEN_FILE).exists()
    assert (experiment / REPORT_DIR / SCREEN_FILE).read_bytes() == kept


def test_another_place_has_other_commands(experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name the directory as a user types it."""
    monkeypatch.chdir(experiment.parent)
    assert current_screen(experiment) is None
    monkeypatch.undo()
    moved = experiment.rename(tmp_path / "moved")
    assert current_screen(moved) is None


def test_what_changes_while_it_is_read_makes_a_difference(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(directory: Path) -> object:
        found = read_experiment(directory)
        touch(trial(experiment, RESULT_FILE))
        return found

    monkeypatch.setattr("analysis.results.several.read_experiment", read)
    report.build(experiment)
    assert current_screen(experiment) is None


def test_it_is_told_again_without_what_a_report_takes_seconds_to_import() -> None:
    script = "import sys, analysis.screen.kept; print(sorted({'pandas', 'ray', 'matplotlib'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
