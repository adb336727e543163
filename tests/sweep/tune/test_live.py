"""What a user sees while a sweep runs: a screen on a terminal, which leaves nothing behind, or a line per event."""

import io
import pickle

from rich.console import Console

from sweep.progress.events import RowEvent
from sweep.tune.live import LiveTable
from tests.sweep.progress.made_up import end, planned, row, start, sweep

A, B = planned("full-adamw-a"), planned("full-adamw-b", "full adamw lr=0.1")
EVENTS = [
    sweep([A, B]),
    start(A, 1.0),
    row(A, 2.0, 10, test_loss=0.56789),
    RowEvent(time=2.0, trial=A.trial, step=10, remarks=("out of memory, goes on",)),
    end(A, 3.0, reason="not judged: why"),
    start(B, 3.0),
    end(B, 4.0, "retried", "builtins.ValueError: no"),
    end(B, 4.0, "failed", "ValueError: no"),
]


def said(console: Console) -> str:
    with LiveTable(console) as live:
        for event in EVENTS:
            live.hear(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_elsewhere_there_is_a_line_for_each_trial_that_starts_or_ends() -> None:
    lines = said(Console(file=io.StringIO(), width=80)).splitlines()
    assert [line.removeprefix("0:00  ") for line in lines] == [
        "full-adamw-a starts",
        "full-adamw-a: out of memory, goes on",
        "full-adamw-a finished, test loss 0.5679, not judged: why",
        "full-adamw-b starts",
        "full-adamw-b will be tried once more: ValueError: no",
        "full-adamw-b failed: ValueError: no",
    ]


def test_a_terminal_is_told_of_failures_and_remarks_alone() -> None:
    text = said(Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None))
    assert "full-adamw-b failed: ValueError: no" in text
    assert "out of memory, goes on" in text
    assert "starts" not in text


def test_ray_may_pickle_it() -> None:
    live = LiveTable(Console(file=io.StringIO()))
    live.hear(EVENTS[0])
    assert isinstance(pickle.loads(pickle.dumps(live)), LiveTable)
