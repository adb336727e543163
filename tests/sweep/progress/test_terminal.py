"""A running sweep on a terminal: what is shown of 7 and of 400 trials, at 80 x 24 and at 200 x 50 letters."""

import io

import pytest
from rich.console import Console

from sweep.progress.events import Event
from sweep.progress.progress import Progress, fold
from sweep.progress.terminal import render, shortened
from tests.sweep.progress.made_up import end, planned, row, start, sweep


def screen(progress: Progress, width: int, height: int, now: float = 100.0) -> list[str]:
    """The lines of the screen."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(render(progress, width, height, now))
    return [line.rstrip() for line in captured.get().splitlines()]


def progress_of(trials: int, running: int, losses: tuple[str, ...] = ("test_loss",)) -> Progress:
    """A sweep of which half the trials have finished, each better than the one before it, and some run."""
    listed = [planned(f"t{number}", f"lora r{2 + number} adamw lr=0.000{number}") for number in range(trials)]
    ended = listed[: trials // 2]
    events: list[Event] = [sweep(listed, losses=losses)]
    for number, trial in enumerate(listed[: trials // 2 + running]):
        metrics = {losses[0]: 0.9 - number / 1000, "train_loss": 0.5, "peak_bytes": 2.0**34, "win_rate": 0.5}
        pace = {"train_seconds": 5.0, "evaluation_seconds": 1.0, "tokens_per_second": 12345.0}
        events += [start(trial, 80.0), row(trial, 86.0, 10 if trial in ended else 5, **metrics, **pace)]
    events += [end(trial, 90.0) for trial in ended[1:]] + [end(ended[0], 90.0, "failed")]
    return fold(events)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 10), (40, 8), (80, 5)])
@pytest.mark.parametrize(("trials", "running"), [(7, 2), (400, 2), (400, 64)])
def test_the_screen_is_never_overfull_and_cuts_no_heading(width: int, height: int, trials: int, running: int) -> None:
    lines = screen(progress_of(trials, running), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines if line.startswith("running") or "best so far" in line)
    [leader] = [line for line in lines if "leader" in line]
    best = trials // 2 + running - 1
    assert leader.split("leader")[1].split()[0] == f"{0.9 - best / 1000:.4f}"
    assert any(line.startswith(f"{trials} trials: ") for line in lines)
    assert any("so far, about " in line for line in lines)


def test_a_usual_terminal_says_what_runs_who_leads_and_how_many_are_how_far() -> None:
    assert screen(progress_of(7, 2), 80, 24) == [
        "running                  step  train loss  test loss  peak MiB  tokens/s  left",
        "lora r5 adamw lr=0.0003  5/10      0.5000     0.8970    16,384    12,345  0:00",
        "lora r6 adamw lr=0.0004  5/10      0.5000     0.8960    16,384    12,345  0:00",
        "",
        "best so far                      test loss      trials  win rate  peak MiB",
        "lora r6 adamw lr=0.0004  leader     0.8960   1 running      0.50    16,384",
        "lora r5 adamw lr=0.0003             0.8970   1 running      0.50    16,384",
        "lora r4 adamw lr=0.0002             0.8980  1 finished      0.50    16,384",
        "lora r3 adamw lr=0.0001             0.8990  1 finished      0.50    16,384",
        "7 trials: 2 running, 2 finished, 1 failed, 2 waiting",
        "1:40 so far, about 0:11 left",
    ]


def test_of_many_running_trials_those_are_shown_that_there_is_room_for() -> None:
    lines = screen(progress_of(400, 64), 80, 24)
    assert sum("5/10" in line for line in lines) == 13
    assert "and 51 more that run" in lines
    assert sum("0." in line and "5/10" not in line for line in lines) == 5, "the best five"


def test_columns_go_by_priority() -> None:
    wide, narrow = (" ".join(screen(progress_of(7, 2), width, 24)) for width in (200, 50))
    for heading in ("step", "train loss", "test loss", "peak MiB", "tokens/s", "left", "win rate", "trials"):
        assert heading in wide
    assert "test loss" in narrow
    assert "tokens/s" not in narrow


def test_losses_say_their_unit_and_other_tokenizers_are_not_ranked() -> None:
    by_text = screen(progress_of(7, 2, ("test_bits_per_byte",)), 120, 24)
    assert sum("test bits/byte" in line for line in by_text) == 2
    trial = planned("a")
    nats = [sweep([trial], losses=("test_bits_per_byte",)), start(trial, 1.0), row(trial, 2.0, 5, validation_loss=0.5)]
    lines = screen(fold(nats), 120, 24)
    assert "nats/token" in lines[0]
    assert not any("leader" in line for line in lines)


def test_before_the_first_trial_there_are_counts_alone() -> None:
    assert screen(fold([sweep([], total=4)]), 80, 24) == ["4 trials: 4 waiting", "1:40 so far"]
    assert screen(Progress(), 80, 24) == ["no trial yet"]


def test_a_name_is_shortened_in_its_middle() -> None:
    assert shortened("lora r10 adamw lr=0.001", 13) == "lora r…=0.001"
    assert shortened("full", 4) == "full"
