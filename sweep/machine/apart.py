"""Runs work in a second process, while the first waits and can tell how the second ended.

Ray may end the process that drives it without a word to Python: by `_exit`, SIGABRT or, a minute later, SIGTERM. So the
command is two processes.

- The first, the waiting one, is small. It forks before torch or Ray is imported, waits, passes signals on, and reports.
- The second, the working one, runs in a session of its own. A closed terminal or a Ctrl-C reaches Ray's processes only
  through the first. When the first ends, for whatever reason, the second ends too.
"""

import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import psutil

from sweep.machine.environment import ENDINGS, Interrupted

if TYPE_CHECKING:
    from typing_extensions import Buffer

Told = dict[str, Any]
"""What the working process tells the waiting one, as JSON."""

GRACE_SECONDS = 15
"""Seconds that the working process gets to end. Slurm and Kubernetes kill after 30 s, and the report needs some."""
TWICE_SECONDS = 0.5
"""Two signals within this time are one request: a shell and its terminal both send a SIGHUP."""
POLL_SECONDS = 0.05
"""Seconds between two looks at the working process."""


@dataclass(frozen=True)
class Ended:
    """How the working process ended.

    Attributes:
        code: its exit code; minus the number of the signal if a signal killed it.
        told: the last thing that it told; empty if it told nothing.
        asked_by: the signal that asked it to end; None if none did.
        words: what libraries printed meanwhile.
    """

    code: int
    told: Told
    asked_by: int | None
    words: str

    @property
    def cause(self) -> str:
        """What ended a process that told nothing, as part of a sentence."""
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}"
        return f"its process ended with code {self.code}"


class Work:
    """The working process's end of the line to the waiting one."""

    def __init__(self, told: int, diary: int) -> None:
        """Take the file descriptors that the waiting process reads.

        Args:
            told: for what the work tells.
            diary: for what libraries print.
        """
        self._told = told
        self._diary = diary

    def tell(self, told: Told) -> None:
        """Tell the waiting process something; the last thing told counts."""
        os.write(self._told, json.dumps(told).encode() + b"\n")

    @contextmanager
    def libraries_aside(self) -> Iterator[None]:
        """Send what libraries print within the block to the waiting process.

        A console that was made before the block prints as before.
        """
        streams, kept = (sys.stdout, sys.stderr), os.dup(2)
        sys.stderr.flush()
        words = io.BufferedWriter(_Diary(self._diary, "w", closefd=False))
        with io.TextIOWrapper(words, encoding="utf-8", errors="replace", line_buffering=True) as diary:
            os.dup2(self._diary, 2)
            sys.stdout = sys.stderr = diary
            try:
                yield
            finally:
                sys.stdout, sys.stderr = streams
                os.dup2(kept, 2)
                os.close(kept)


class _Diary(io.FileIO):
    """A file whose writes never fail, since libraries don't expect print to fail. A full disk loses words."""

    def write(self, words: "Buffer") -> int:
        """Write the words, and claim to have written them all if the disk refuses."""
        try:
            return super().write(words)
        except OSError:
            return memoryview(words).nbytes


def run_apart(work: Callable[[Work], Told]) -> Ended:
    """Run `work` in a second process and wait for its end. Afterwards no process that it started is left running.

    Args:
        work: called in the second process; it returns what to tell. Its exceptions end that process, with a traceback.

    Returns:
        How the second process ended.

    Raises:
        Interrupted: a second request to end came, and the work has been killed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as diary:
        told_reader, told_writer = os.pipe()
        alive_reader, alive_writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told_reader)
            os.close(alive_writer)
            _end_with(lambda: _work(work, Work(told_writer, diary.fileno()), alive_reader))
        os.close(told_writer)
        os.close(alive_reader)
        try:
            code, asked_by = _wait(pid)
            with open(told_reader, encoding="utf-8", closefd=False) as file:
                told = file.read().splitlines()
            diary.seek(0)
            words = diary.read().decode("utf-8", errors="replace")
        finally:
            os.close(told_reader)
            os.close(alive_writer)
    return Ended(code, json.loads(told[-1]) if told else {}, asked_by, words)


def _end_with(work: Callable[[], int]) -> NoReturn:
    """End this process with the exit code that `work` returns.

    The blocks that the callers are in are not left here: what they hold, such as processes and threads beside the
    sweep, is the waiting process's.
    """
    code = 1
    try:
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a pipe that nobody reads any more, or a stream that is closed
                stream.flush()
        os._exit(code)


def _work(work: Callable[[Work], Told], line: Work, alive_reader: int) -> int:
    """Be the working process: run `work`, tell what it returns, and return the exit code.

    Args:
        work: see `run_apart`.
        line: the line to the waiting process.
        alive_reader: reading end of a pipe whose other end is open as long as the waiting process lives.
    """
    os.setsid()
    thread_aside(lambda: _end_with_waiting_process(alive_reader))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if a shell ignores it: the waiting process sends it
    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _do_nothing)  # and not SIG_IGN, which Ray's processes would inherit
    try:
        line.tell(work(line))
    except BaseException:
        line.tell({"raised": True})
        raise
    return 0


def thread_aside(target: Callable[[], None]) -> None:
    """Start a thread that blocks all signals, so that they wake the main thread and not this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=target, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that the waiting process gets too, as under Slurm, and passes on as SIGINT."""


def _end_with_waiting_process(alive_reader: int) -> None:
    """Wait until the waiting process has ended, then kill this session."""
    os.read(alive_reader, 1)  # returns when the writing end is closed
    _signal_session(os.getpid(), signal.SIGKILL)  # this process, and all that it has started


def _wait(pid: int) -> tuple[int, int | None]:
    """Wait for the working process, pass signals on to it, and end every process that it leaves behind.

    Returns:
        `code` and `asked_by` of `Ended`.
    """
    asked: list[tuple[int, float]] = []

    def ask(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not asked:
            asked.append((number, now))
            os.kill(pid, signal.SIGINT)
        elif number != signal.SIGHUP and now - asked[0][1] > TWICE_SECONDS:  # a closed terminal hurries nobody
            raise Interrupted(asked[0][0])

    def stop(number: int, frame: FrameType | None) -> None:
        _signal_session(pid, signal.SIGSTOP)
        signal.raise_signal(signal.SIGSTOP)
        _signal_session(pid, signal.SIGCONT)

    wanted = {signal.SIGINT: ask, **dict.fromkeys(ENDINGS, ask), signal.SIGTSTP: stop}
    heeded = [number for number in wanted if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, wanted[number]) for number in heeded}
    try:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if asked and time.monotonic() - asked[0][1] > GRACE_SECONDS:
                break
            time.sleep(POLL_SECONDS)
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        _signal_session(pid, signal.SIGKILL)  # before waitpid, which frees the number for another process
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, asked[0][0] if asked else None


def _signal_session(leader: int, number: int) -> None:
    """Signal every process of a session, its leader last. (Ray's workers have process groups of their own.)"""
    for pid in [pid for pid in psutil.pids() if pid != leader]:
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, number)
    with suppress(ProcessLookupError):
        os.kill(leader, number)
