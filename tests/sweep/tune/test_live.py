"""The live table: what it shows of a trial, and what a narrow terminal does without."""

import io

import pytest
from rich.console import Console

from sweep.tune.live import LiveTable
from tests.sweep.worker.test_trial_run import config

ROW = {"step": 3, "train_loss": 0.4321, "test_loss": 0.5678, "peak_bytes": 2**24, "tokens_per_second": 12345.0}


def shown(width: int) -> list[str]:
    """The lines of the table on a terminal of `width` letters."""
    console = Console(file=io.StringIO(), width=width)
    trial = config()
    table = LiveTable([trial], 1, console)
    line = table.lines[trial.name]
    line.row, line.state = {**ROW, "win_rate": 0.5, "train_seconds": 1.0, "evaluation_seconds": 0.0}, "running"
    with console.capture() as captured:
        console.print(table.render())
    return captured.get().splitlines()


def test_a_wide_terminal_shows_every_column() -> None:
    titles, cells, summary = shown(140)
    for title in ("state", "step", "train loss", "test loss", "peak MiB", "tokens/s", "left", "win rate"):
        assert title in titles
    for text in ("running", "3/", "0.4321", "0.5678", "16", "12,345", "0.50"):
        assert text in cells
    assert summary.startswith("1 trials: ")


@pytest.mark.parametrize("width", [60, 75])
def test_a_narrow_terminal_does_without_columns_and_cuts_none(width: int) -> None:
    titles, cells, _ = shown(width)
    assert "\u2026" not in titles + cells, "a cell is cut"
    assert max(map(len, (titles, cells))) <= width
    for text in ("running", "3/", "0.5678"):
        assert text in cells
    assert "tokens/s" not in titles


def test_a_table_without_trials_is_empty() -> None:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(LiveTable([], 4, console).render())
    assert captured.get().strip().startswith("4 trials: ")


def test_of_many_trials_those_that_run_are_shown_and_a_terminal_is_not_overfull() -> None:
    console = Console(file=io.StringIO(), width=100, height=24, force_terminal=True)
    table = LiveTable([config(seed=seed) for seed in range(1000)], 1000, console)
    lines = list(table.lines.values())
    for place, line in enumerate(lines):
        line.state = "finished" if place < 700 else "waiting"
    for place in (5, 800, 900):
        lines[place].state = "running"
    lines[600].state = "failed"
    text = ["".join(part.text for part in line) for line in console.render_lines(table.render())]
    assert len(text) <= 24
    assert sum("running" in line for line in text) == 3
    assert sum(" failed" in line for line in text) == 2  # its line and the last one
    assert "1000 trials: 698 finished, 1 failed" in " ".join(text)
    assert "979 not shown" in " ".join(text)
