"""What the process of a sweep has, whatever shell, notebook or container it was started from."""

import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from basis.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What was asked for by Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, number: int) -> None:
        """`number` is the signal's."""
        super().__init__()
        self.number = number


FILES_OF_RAY = 100
FILES_PER_WORKER = 4
"""Open files of Ray's largest process: 60 and 3 per worker were measured."""


def speak_utf8() -> None:
    """Begin the command again in Python's UTF-8 mode if the locale has it read and write names in anything less.

    Names of files, arguments and Ray's messages would not survive. What is printed stays in the terminal's own letters.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        letters = {"PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or sys.stdout.encoding} if sys.stdout else {}
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, **letters, "PYTHONUTF8": "1"})


def check_spelling(words: Sequence[str]) -> None:
    """Refuse words of a command line that are not UTF-8, as Ray would much later.

    Raises:
        UserError: naming the word.
    """
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(f"{word!r}: is not spelled in UTF-8") from None


@contextmanager
def variables_restored() -> Iterator[None]:
    """Within, environment variables may be set; a notebook's kernel has its own again afterwards."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def pass_proxies_by() -> None:
    """Keep what runs on this machine itself, such as Ray, from being asked for through a proxy."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for value in given for host in value.split(",") if host.strip()]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def allow_open_files(workers: int) -> None:
    """Raise the number of files that a process may open to the most that it may be.

    Args:
        workers: how many trials run at once.

    Raises:
        UserError: that is too few for Ray.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = FILES_OF_RAY + FILES_PER_WORKER * workers
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise UserError(
            f"ulimit -n: {allowed} open files are too few for Ray with {workers} workers; accepted: {needed} or more"
        )


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Within, signals may be given other handlers, as Ray does; they have their own again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers are the main thread's to choose
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDINGS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does; a SIGHUP that is ignored, as under nohup, stays so."""
    if threading.current_thread() is threading.main_thread():
        for number in ENDINGS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)


def ignore_endings() -> None:
    """Let nothing come between a command and its last words."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *ENDINGS):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def ctrl_c_deferred() -> Iterator[None]:
    """Within, Ctrl-C waits for the end of the block, which would leave processes behind if it were cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN):
        raise Interrupted(number)
    signal.raise_signal(signal.SIGINT)  # somebody, such as Ray Tune, waits for it
