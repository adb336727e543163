"""A part of the GPU benchmark: whatever becomes of it, what it had measured is kept, and its end is told."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep

import pytest

from benchmarks.gpu.command import SECONDS
from benchmarks.gpu.parts import BROKE, PARTS, Opening, rows_or_failure, run_part
from benchmarks.table import Row, Target

Run = Callable[[str], list[Opening | Row | Target]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a part whose `measure` yields two messages, does as it is told, and is given that many seconds."""

    def run_planted(then: str, seconds: int = 60) -> list[Opening | Row | Target]:
        source = f"""
import os, signal, subprocess
from benchmarks.table import Target
TITLE, ABOUT, SECONDS = "Planted", "By hand.", {seconds}
def measure(device, quick):
    yield {{"device": str(device)}}
    yield Target("t", 1, 2)
    {then}
"""
        (tmp_path / "planted_part.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return list(run_part("planted_part", "cpu", quick=False, deadline=monotonic() + 120))

    return run_planted


ROWS = [{"device": "cpu"}, Target("t", 1, 2)]
MEASURED = [Opening("Planted", "By hand.", 60), *ROWS]


def test_a_part_that_raises_keeps_its_rows_and_says_in_one_line_what_went_wrong(run: Run) -> None:
    assert run("raise ValueError('no such kernel\\n  at line 3')") == [*MEASURED, {BROKE: "ValueError: no such kernel"}]


def test_a_part_past_its_limit_is_ended_with_all_that_it_started_and_keeps_its_rows(run: Run, tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    *kept, end = run(f"subprocess.run('while sleep 0.1; do echo >> {beats}; done', shell=True)", seconds=2)
    assert kept == [Opening("Planted", "By hand.", 2), *ROWS]
    assert isinstance(end, dict)
    assert str(end[BROKE]).startswith("stopped after ")
    beaten = beats.stat().st_size
    sleep(0.5)
    assert beats.stat().st_size == beaten > 0


def test_a_part_that_the_system_kills_keeps_its_rows(run: Run) -> None:
    *kept, end = run("os.kill(os.getpid(), signal.SIGKILL)")
    assert kept == MEASURED
    assert isinstance(end, dict)
    assert "SIGKILL" in str(end[BROKE])


def test_a_part_for_which_no_time_is_left_is_not_begun() -> None:
    assert list(run_part("no_matter", "cpu", quick=True, deadline=monotonic())) == [
        {BROKE: "not begun: no time was left"}
    ]


def test_a_part_that_can_not_be_imported_says_so() -> None:
    (end,) = run_part("benchmarks.gpu.no_such_part", "cpu", quick=True, deadline=monotonic() + 60)
    assert isinstance(end, dict)
    assert str(end[BROKE]).startswith("ModuleNotFoundError: ")


def test_a_measurement_that_fails_is_a_row_of_its_own() -> None:
    def measure() -> list[Row]:
        raise RuntimeError("CUDA error: out of memory")

    assert list(rows_or_failure({"variant": "full"}, measure)) == [
        {"variant": "full", BROKE: "RuntimeError: CUDA error: out of memory"}
    ]


def test_all_parts_fit_into_the_time_of_the_command() -> None:
    seconds = {name: import_module(f"benchmarks.gpu.{name}").SECONDS for name in PARTS}
    assert sum(seconds.values()) <= SECONDS, seconds
