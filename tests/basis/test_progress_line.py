"""A line that counts long work on a terminal, and is nowhere else."""

import io
import sys

import pytest

from basis.progress_line import progress_line


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def worked_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    for name in ("TERM", "COLUMNS"):
        monkeypatch.setenv(name, {"TERM": "xterm", "COLUMNS": "80"}[name])
    with progress_line(range(3), "tokenising train", 3) as items:
        assert list(items) == [0, 1, 2]
    return stream.getvalue()


def test_a_terminal_sees_what_is_done_and_how_far_and_the_line_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = worked_on(Terminal(), monkeypatch)
    assert "tokenising train" in said
    assert "3/3" in said
    assert said.rstrip("\r").endswith("\x1b[2K"), "the line is erased"


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worked_on(io.StringIO(), monkeypatch) == ""
