"""A server ends when it is told to, and outlives the terminal that it was started from."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from sweep.live.serve import until_ended


async def ended_by(number: int, seconds: float = 0.3) -> list[str]:
    """Whatever asyncio complains of, until a signal comes."""
    loop, complaints, printed = asyncio.get_running_loop(), list[str](), list[str]()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    loop.call_later(seconds, signal.raise_signal, number)
    await until_ended(beside=False, print_address=lambda: printed.append("address"))
    return [*complaints, *printed]


def told_in_a_fork(number: int) -> list[str]:
    """What `ended_by` tells in a process of its own: playwright keeps a loop in the thread that tests run in."""
    end, beginning = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(beginning, "w") as told:
            json.dump(asyncio.run(ended_by(number)), told)
        os._exit(0)
    os.close(beginning)
    with os.fdopen(end) as told:
        words: list[str] = json.load(told)
    os.waitpid(child, 0)
    return words


def test_enter_prints_another_address_and_a_closed_terminal_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        os.write(ours, b"\n")
        assert told_in_a_fork(signal.SIGTERM) == ["address"]
        os.close(ours)
        assert told_in_a_fork(signal.SIGHUP) == []


def test_a_server_in_the_background_leaves_the_terminal_to_the_shell(tmp_path: Path) -> None:
    """A process in the background that reads from its terminal is stopped by the system, unless it has said no."""
    ours, theirs = os.openpty()
    shell = os.fork()
    if shell == 0:  # the shell, whose terminal it is
        os.setsid()
        import fcntl
        import sys
        import termios

        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        server = os.fork()
        if server == 0:
            os.setpgid(0, 0)
            sys.stdin = os.fdopen(theirs)
            os.write(ours, b"ls\n")
            os._exit(len(asyncio.run(ended_by(signal.SIGTERM))))
        _, status = os.waitpid(server, os.WUNTRACED)
        os.kill(server, signal.SIGKILL) if os.WIFSTOPPED(status) else None
        os._exit(9 if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))
    _, status = os.waitpid(shell, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    os.close(ours)
    os.close(theirs)
