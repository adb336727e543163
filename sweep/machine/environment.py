"""The environment of a sweep's process: locale, proxies, open files and signals, wherever it was started."""

import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from basis.errors import UserError
from basis.packages import ROOT

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a sweep as Ctrl-C does."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP asked the command to end."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__()
        self.number = number


FILES_OF_RAY = 100
FILES_PER_WORKER = 4
"""Open files that Ray's largest process needs, with a margin: 60, and 3 per worker, were measured."""


def speak_utf8() -> None:
    """Start the command again in Python's UTF-8 mode if the locale's encoding is another one.

    Otherwise names of files, arguments and Ray's messages would be lost. Output keeps the terminal's own encoding.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        letters = {"PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or sys.stdout.encoding} if sys.stdout else {}
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, **letters, "PYTHONUTF8": "1"})


def check_spelling(words: Sequence[str]) -> None:
    """Refuse words of a command line that are not UTF-8 now, since Ray would refuse them much later.

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
    """Restore all environment variables after the block, for a notebook whose kernel lives on."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def with_our_code() -> dict[str, str]:
    """The environment of a process that runs a module of ours, wherever it is started."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, given)]))}


def pass_proxies_by() -> None:
    """Add this machine to $no_proxy, so that a proxy is not asked for what runs here, such as Ray."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for value in given for host in value.split(",") if host.strip()]
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def allow_open_files(workers: int) -> None:
    """Raise this process's limit of open files to the highest that the system allows.

    Args:
        workers: how many trials run at once.

    Raises:
        UserError: the highest limit is too low for Ray.
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
    """Restore the handlers of signals after the block, within which Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDINGS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_like_ctrl_c() -> None:
    """Make SIGTERM and SIGHUP do what Ctrl-C does. A signal that is ignored, as SIGHUP under nohup, stays ignored."""
    if threading.current_thread() is threading.main_thread():
        for number in ENDINGS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _interrupt)


def ignore_endings() -> None:
    """Ignore SIGINT, SIGTERM and SIGHUP from now on, so that a command can print its last lines."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *ENDINGS):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def ctrl_c_deferred() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended. Cut short, the block would leave processes behind."""
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
    """Handle SIGTERM or SIGHUP: raise Interrupted, or send SIGINT to whoever, such as Ray Tune, handles that."""
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN):
        raise Interrupted(number)
    signal.raise_signal(signal.SIGINT)
