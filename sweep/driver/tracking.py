"""Has trackers and `notify` told of a sweep, by a process of their own beside it."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rich.console import Console

from basis.directory import EVENTS_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.command import EXIT_BAD_SPEC, EXIT_FAILED, remarks_on
from sweep.machine.environment import with_our_code
from sweep.schema.sweep_spec import SweepSpec
from sweep.schema.tracking import Tracker, notify_url, notify_variable
from sweep.tracking.follow import Orders
from sweep.tracking.sender import LIBRARIES

UNTOLD_SECONDS = 5.0
"""How long the end of a sweep waits for trackers before it says so."""


def take_notify(spec: SweepSpec, say: Callable[[str], None]) -> str | None:
    """The URL of `notify`, which neither the processes of trials nor anything that they write are to know.

    Its variable is taken out of the environment. A URL that is missing is told, and no reason not to sweep.
    """
    try:
        url = notify_url(spec.notify)
    except UserError as error:
        say(str(error))
        return None
    if (name := notify_variable(spec.notify)) is not None:
        os.environ.pop(name, None)
    return url


def installed(track: tuple[Tracker, ...], say: Callable[[str], None], again: str) -> tuple[Tracker, ...]:
    """The trackers whose library is installed. The others are told: events are kept, so nothing is lost.

    Args:
        track: those asked for.
        say: prints a line.
        again: the command that sends everything later.
    """
    found = tuple(name for name in track if importlib.util.find_spec(LIBRARIES[name].package) is not None)
    if lacking := [name for name in track if name not in found]:
        say(
            f"track: {', '.join(lacking)} not installed, so nothing is sent there; pip install 'sft-sweep[trackers]', "
            f"and send it later with: {again}"
        )
    return found


@contextmanager
def tracked(
    spec: SweepSpec, url: str | None, experiment_dir: Path, named: str, console: Console
) -> Iterator[Callable[[int], int]]:
    """Tell trackers and `notify` of what happens within the block.

    Args:
        spec: the sweep's: its name, and where it is tracked.
        url: to post to; None: nobody is told.
        experiment_dir: the sweep's directory, which need not be there yet.
        named: how the user names where the sweep keeps its results.
        console: told what could not be sent.

    Yields:
        What takes the command's exit code, which it returns; a block that is left without is one that has failed.
    """
    say, again = remarks_on(console), as_called("sweep.track", named)
    track = installed(spec.track, say, again)
    if not track and url is None:
        yield lambda code: code
        return
    with _following(_orders(spec.name, track, url, experiment_dir), again, console) as over:
        yield over


def send(sweep: str, track: tuple[Tracker, ...], experiment_dir: Path, again: str, console: Console) -> bool:
    """Send trackers what they lack of a sweep that does not run.

    Args:
        sweep: its name.
        track: the trackers.
        experiment_dir: its directory.
        again: the command that sends what is lacking then.
        console: told what could not be sent.

    Returns:
        Whether they have all of it.
    """
    if not track:
        return True
    told: list[str] = []
    with _following(_orders(sweep, track, None, experiment_dir), again, console, told) as over:
        over(0)
    return not told


def _orders(sweep: str, track: tuple[Tracker, ...], url: str | None, experiment_dir: Path) -> Orders:
    events = experiment_dir / EVENTS_FILE
    return Orders(sweep, str(experiment_dir), track, url, events.stat().st_size if events.is_file() else 0)


@contextmanager
def _following(
    orders: Orders, again: str, console: Console, told: list[str] | None = None
) -> Iterator[Callable[[int], int]]:
    """Have a process follow the sweep within the block; `told` gets the lines that it has said."""
    say = remarks_on(console)
    words, pipe = [sys.executable, "-m", "sweep.tracking.follow"], subprocess.PIPE
    # a session of its own, so that Ctrl-C ends the sweep, and not who tells of it
    with subprocess.Popen(
        words,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        env=with_our_code(),
        start_new_session=True,
        text=True,
    ) as follower:
        _write(follower.stdin, orders.to_line())
        lines = _Lines(follower.stdout, say, at_once=not console.is_terminal)  # which would tear the live table
        code = EXIT_FAILED

        def over(ended: int) -> int:
            nonlocal code
            code = ended
            return ended

        try:
            yield over
        except UserError:
            code = EXIT_BAD_SPEC
            raise
        finally:
            _end(follower, code, lambda: say(f"track: sending what is left; Ctrl-C leaves it for: {again}"))
            said = lines.end()
            if told is not None:
                told += said
            if any(line.startswith(orders.track) for line in said):
                say(f"nothing of it is lost; send what is lacking with: {again}")


class _Lines:
    """The lines that the process prints: said as they come, or together at the end."""

    def __init__(self, stream: IO[str] | None, say: Callable[[str], None], at_once: bool) -> None:
        self._stream, self._say, self._at_once = stream, say, at_once
        self._kept: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream or ():
            self._kept.append(line.rstrip("\n"))
            if self._at_once:
                self._say(self._kept[-1])

    def end(self) -> list[str]:
        """Say what has not been said; all lines there were."""
        self._thread.join(UNTOLD_SECONDS)
        if not self._at_once:
            for line in self._kept:
                self._say(line)
        return self._kept


def _write(stream: IO[str] | None, line: str) -> None:
    with suppress(OSError):
        if stream is not None:
            stream.write(line)
            stream.flush()


def _end(follower: "subprocess.Popen[str]", code: int, say_waiting: Callable[[], None]) -> None:
    """Tell the process that the sweep is over, and wait for it: it ends by itself where trackers are silent."""
    _write(follower.stdin, json.dumps({"exit_code": code}) + "\n")
    with suppress(OSError):  # it may have ended
        if follower.stdin is not None:
            follower.stdin.close()
    try:
        try:
            follower.wait(UNTOLD_SECONDS)
        except subprocess.TimeoutExpired:
            say_waiting()
            follower.wait()
    except KeyboardInterrupt:
        follower.kill()
        raise
