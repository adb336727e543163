"""Work in a process of its own, beside one that outlives it and says what became of it.

Ray ends the process that drives it without a word to Python: by `_exit`, SIGABRT or, a minute later, SIGTERM. So the
command is two processes. The first one is small and knows neither torch nor Ray. It forks before either is imported,
waits, passes on what it is asked to do, and reports. The second one works, in a session of its own, so that a closed
terminal or a Ctrl-C reaches Ray's processes only through the first. It ends with the first one, whatever ends that.
"""

import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from sweep.machine.environment import ENDINGS, Interrupted

if TYPE_CHECKING:
    from typing_extensions import Buffer

Told = dict[str, Any]
"""What a process of work says of itself, as JSON."""

GRACE_SECONDS = 15
"""How long work may take to end when it is asked to. Slurm and Kubernetes kill after 30 s, and a report takes some."""
TWICE_SECONDS = 0.5
"""Within so short a time one request comes twice: a shell and its terminal both send a SIGHUP."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Ended:
    """How a process of work ended.

    Attributes:
        code: its exit code, or the number of the signal that killed it, below zero.
        told: the last that it said; empty if it ended without a word.
        asked_by: the signal by which it was asked to end, if it was.
        words: what libraries printed meanwhile.
    """

    code: int
    told: Told
    asked_by: int | None
    words: str

    @property
    def cause(self) -> str:
        """What ended a process that said nothing."""
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}"
        return f"its process ended with code {self.code}"


class Work:
    """What the process of work knows of the one that waits for it."""

    def __init__(self, told: int, diary: int) -> None:
        """`told` and `diary` are open files: where it says what became of it, and where libraries print."""
        self._told = told
        self._diary = diary

    def tell(self, told: Told) -> None:
        """Say something to the process that waits; the last that is said counts."""
        os.write(self._told, json.dumps(told).encode() + b"\n")

    @contextmanager
    def libraries_aside(self) -> Iterator[None]:
        """Within, what libraries print goes to the process that waits; a console made before prints as it did."""
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
    """A file that fails nobody: what its disk has no room for is lost, for libraries don't expect print to fail."""

    def write(self, words: "Buffer") -> int:
        """Write all, or as good as."""
        try:
            return super().write(words)
        except OSError:
            return memoryview(words).nbytes


def run_apart(work: Callable[[Work], Told]) -> Ended:
    """Do some work in a process of its own and wait for its end. Nothing of it is left running afterwards.

    Args:
        work: returns what is to be told. Its exceptions end its process as they would end this one.

    Raises:
        Interrupted: asked to end a second time, and the work has been killed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as diary:
        told, tells = os.pipe()
        lives, life = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            os.close(life)
            raise SystemExit(_work(work, Work(tells, diary.fileno()), lives))
        os.close(tells)
        os.close(lives)
        try:
            code, asked_by = _wait(pid)
            with open(told, encoding="utf-8", closefd=False) as lines:
                said = lines.read().splitlines()
            diary.seek(0)
            words = diary.read().decode("utf-8", errors="replace")
        finally:
            os.close(told)
            os.close(life)
    return Ended(code, json.loads(said[-1]) if said else {}, asked_by, words)


def _work(work: Callable[[Work], Told], mine: Work, lives: int) -> int:
    """The process of work, from its first moment on."""
    os.setsid()
    thread_aside(lambda: _end_with_the_other(lives))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored: the other one asks
    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:  # no SIG_IGN, which Ray's processes would inherit
            signal.signal(number, _heard_by_the_other)
    try:
        mine.tell(work(mine))
    except BaseException:
        mine.tell({"raised": True})
        raise
    return 0


def thread_aside(target: Callable[[], None]) -> None:
    """Start a thread that leaves signals to the main one, which would sleep on if the other was woken by them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        threading.Thread(target=target, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heard_by_the_other(number: int, frame: FrameType | None) -> None:
    """What is sent to all processes of a job, as Slurm does, comes by SIGINT from the one that waits."""


def _end_with_the_other(lives: int) -> None:
    os.read(lives, 1)  # returns when nobody can write any more
    _signal_session(os.getpid(), signal.SIGKILL)  # this process too, with all that it has started


def _wait(pid: int) -> tuple[int, int | None]:
    """Wait for the process, passing on what this one is asked to do, and end all that it leaves.

    Returns:
        Its code as in `Ended`, and by which signal it was asked to end.
    """
    asked: list[tuple[int, float]] = []

    def ask(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not asked:
            asked.append((number, now))
            os.kill(pid, signal.SIGINT)
        elif number != signal.SIGHUP and now - asked[0][1] > TWICE_SECONDS:  # nobody is there to hurry it
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
        _signal_session(pid, signal.SIGKILL)  # before it is waited for, while its number is its own
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, asked[0][0] if asked else None


def _signal_session(leader: int, number: int) -> None:
    """Signal all processes of a session, of which Ray's workers are in groups of their own; its leader comes last."""
    for pid in [pid for pid in psutil.pids() if pid != leader]:
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, number)
    with suppress(ProcessLookupError):
        os.kill(leader, number)
