"""Runs a sweep for a Python session, a notebook's or a script's, in a process of its own.

A notebook's kernel outlives so whatever becomes of Ray, keeps its memory and its own Ray, and can run the next sweep.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from basis.stored.address import Address, is_address, parse_address
from sweep.api.display import NotebookDisplay, in_notebook
from sweep.api.results import SweepResults
from sweep.command import EXIT_FAILED
from sweep.driver.opening import open_sweep
from sweep.machine.environment import with_our_code
from sweep.requests import KeptSweep, NewSweep
from sweep.spec_file.plain_values import plain_spec, settings_of

LOOK_SECONDS = 0.2
"""Between two looks at the sweep's process."""
ERROR = "error: "
"""How a line begins that says why a sweep could not run, see `sweep.command.say_error`."""
TERMINAL_CLAIMED = ("CLICOLOR_FORCE", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which a notebook's kernel claims to be a terminal. A sweep would draw its own table."""
CRASHED = "Traceback (most recent call last):"
LAST_WORDS = 20
"""Lines of a process that has crashed that its error repeats."""


def run(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    output: str | os.PathLike[str] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    address: str | None = None,
) -> SweepResults:
    """Run a sweep and build its report, as `python -m sweep.run` does.

    In a notebook one display shows how far it is. Trials that fail are no error: `trials` of the results says why.

    Args:
        spec: a preset's name, the path of a YAML file, or a mapping with the keys of docs/spec.md. Relative paths of a
            mapping lead from the working directory.
        output: the experiment directory, or an address in object storage; None: experiments/NAME-TIME.
        settings: changes to the spec by their dotted keys, such as {"trial.steps": 100}.
        address: of the Ray cluster to run on, "auto" or "host:port"; None: this machine, with a Ray of the sweep's own.

    Returns:
        What `load_results` returns for the experiment directory.

    Raises:
        UserError: a bad spec, data or machine, a full disk, or a death of Ray. What has finished is kept.
        KeyboardInterrupt: the session was interrupted; it says how to go on. What has finished is kept.
    """
    text = None if isinstance(spec, Mapping) else os.fspath(spec)
    given = plain_spec(spec) if isinstance(spec, Mapping) else os.fspath(spec)
    changes = settings_of(settings or {})
    where = None if output is None else os.fspath(output)
    stored = parse_address("output", where) if where is not None and is_address(where) else None
    _, directory = open_sweep(NewSweep(given, changes, None if stored else where))
    place = _place_at(stored) if stored else _Place(str(directory), directory)
    set_words = [word for change in changes for word in ("--set", change)]
    if text is not None:
        words = [text, *set_words, "--output", place.named]
    else:  # of a mapping, the experiment keeps the spec
        words = ["--resume", place.named] if stored else [str(directory / SPEC_FILE)]
    new = {"spec": given, "settings": changes, "output": place.named}
    return _sweep({"new": new, "address": address, "command": as_called("sweep.run", *words)}, place)


def resume(directory: str | os.PathLike[str], *, address: str | None = None) -> SweepResults:
    """Go on with a sweep that was interrupted, as `python -m sweep.run --resume` does; finished trials stand.

    Args:
        directory: the experiment directory, or its address in object storage.
        address: see `run`.

    Returns:
        What `load_results` returns for it.

    Raises:
        UserError, KeyboardInterrupt: see `run`.
    """
    where = os.fspath(directory)
    if is_address(where):
        place = _place_at(parse_address("resume", where))
    else:
        _, kept = open_sweep(KeptSweep(where))
        place = _Place(str(kept), kept)
    command = as_called("sweep.run", "--resume", place.named)
    return _sweep({"kept": place.named, "address": address, "command": command}, place)


class _Place(NamedTuple):
    """Where a sweep keeps its results: as the user names it, and its folder on this machine."""

    named: str
    directory: Path


def _place_at(address: Address) -> _Place:
    from basis.stored.places import folder_of  # imports pyarrow

    return _Place(address.typed, folder_of(address))


def _sweep(request: dict[str, Any], place: _Place) -> SweepResults:
    """Run the sweep in a process of its own, and wait for its end."""
    display, asked_to_end = NotebookDisplay(place.directory) if in_notebook() else None, False
    with _process(request, display is not None) as process:
        errors = _Lines(process.stderr, lambda line: None if asked_to_end else _pass_on(line))
        said = _Lines(process.stdout, display.say if display else print)
        while process.poll() is None or errors.goes_on or said.goes_on:
            try:
                if display:
                    display.refresh()
                errors.wait(LOOK_SECONDS)
            except KeyboardInterrupt:
                asked_to_end = True
                process.send_signal(signal.SIGINT)  # a second one kills the trials, as a second Ctrl-C does
        if display:
            display.close()
        code = process.returncode
    if asked_to_end or code in (128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        raise KeyboardInterrupt(_how_to_go_on(place))
    told = [line.removeprefix(ERROR) for line in errors.lines if line.startswith(ERROR)]
    if told:
        raise UserError("; ".join(told))
    if code not in (0, EXIT_FAILED):
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        raise UserError(f"the sweep's process {ended}; {_how_to_go_on(place)}")
    if CRASHED in errors.lines:
        raise RuntimeError("\n".join(errors.lines[-LAST_WORDS:]))
    return SweepResults(place.directory)


def _pass_on(line: str) -> None:
    """Print what a library says; what ends the sweep is raised."""
    if not line.startswith(ERROR):
        print(line, file=sys.stderr)


def _how_to_go_on(place: _Place) -> str:
    begun = (place.directory / SPEC_FILE).is_file()
    return f"continue with: sweep.resume({place.named!r})" if begun else "nothing has begun; call run again"


@contextmanager
def _process(request: dict[str, Any], is_shown: bool) -> "Iterator[subprocess.Popen[bytes]]":
    """The process of a sweep. It ends when its standard input closes, and with it whatever it has started.

    Args:
        request: what it is told.
        is_shown: whether what it prints is read here; or else it prints where this process does.
    """
    words = [sys.executable, "-P", "-m", "sweep.api.process"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words,
        stdin=pipe,
        stdout=pipe if is_shown else None,
        stderr=pipe,
        env={name: value for name, value in with_our_code().items() if name not in TERMINAL_CLAIMED or not is_shown},
        start_new_session=True,  # this process passes Ctrl-C on, once
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.stdin.close()


class _Lines:
    """The lines that a process prints on one of its streams, read in a thread as they come."""

    def __init__(self, stream: IO[bytes] | None, tell: Callable[[str], None]) -> None:
        """`tell` gets each line; of a line that redraws itself, as a progress bar does, the last state."""
        self.lines: list[str] = []
        self._stream, self._tell = stream, tell
        self._thread = threading.Thread(target=self._read, daemon=True)
        if stream is not None:
            self._thread.start()

    @property
    def goes_on(self) -> bool:
        """Whether more may come."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the stream, so long at most."""
        self._thread.join(seconds)

    def _read(self) -> None:
        for letters in self._stream or ():
            self.lines.append(letters.decode(errors="replace").rstrip("\n").rpartition("\r")[2])
            self._tell(self.lines[-1])
