"""Lets a sweep work in a copy on this machine of what is kept in object storage; see `basis.stored.copy`."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import Timeout
from rich.console import Console

from basis.checksums import set_aside
from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from basis.stored.address import Address, is_address, parse_address
from sweep.command import EXIT_FAILED, remarks_on
from sweep.driver.opening import LEFT_BEFORE_SPEC
from sweep.machine.environment import with_our_code
from sweep.machine.stored_folders import experiment_folder
from sweep.requests import NewSweep, RunSweep, Sweep
from sweep.storing.exit_codes import EXIT_LOST

if TYPE_CHECKING:
    from basis.stored.copy import Copy
    from sweep.storing.send import Orders


UNTOLD_SECONDS = 5.0
"""How long the end of a sweep waits for the store before it says so."""

FORMER = ".former"
"""How the name of a copy ends whose sweep the store has nothing of any more."""


class Placed(NamedTuple):
    """Where a sweep keeps its results.

    Attributes:
        request: what was asked for, with a folder of this machine.
        place: how the user names where the results are kept; None: by the folder.
        over: takes the sweep's exit code; returns the command's, once all results are where they are to be kept.
    """

    request: RunSweep
    place: str | None
    over: Callable[[int], int]


@contextmanager
def placed(request: RunSweep, console: Console) -> Iterator[Placed]:
    """Bring a stored sweep here, and keep the store up to date within the block. Folders are left as they are.

    Raises:
        UserError: an address that is none, a store that can't be used, or one that another sweep uses.
    """
    sweep = request.sweep
    what, text = _place_of(sweep)
    if text is None or not is_address(text):
        yield Placed(request, None, lambda code: code)
        return
    address = parse_address(what, text)
    from basis.stored.claim import claim  # imports pyarrow
    from basis.stored.places import LOCK_SECONDS, PROBED_SECONDS, copy_of, lock_of, sweep_lock_of
    from sweep.storing.send import Orders

    copy = copy_of(address, what)
    with ExitStack() as held:
        try:
            held.enter_context(sweep_lock_of(copy).acquire(timeout=PROBED_SECONDS))
            held.enter_context(lock_of(copy).acquire(timeout=LOCK_SECONDS))
        except Timeout:
            raise UserError(f"{what} {address}: another process of this machine works there") from None
        begins = isinstance(sweep, NewSweep) and _begins(sweep, address, copy)
        mine = claim(copy.store, what)
        with _sender(Orders(address.typed, what, str(copy.folder), mine), console) as sender:
            if begins:
                _make_room(copy.folder)
            else:
                _pull_needed(copy)
                copy.forget_apart()
                if not (copy.folder / SPEC_FILE).is_file():
                    raise UserError(f"{what} {address}: no {SPEC_FILE} in it; name the address of an experiment")
            folder = str(copy.folder)
            local = replace(sweep, output=folder) if isinstance(sweep, NewSweep) else replace(sweep, directory=folder)
            sender.tell("begin")
            yield Placed(replace(request, sweep=local), address.typed, sender.over)


def _pull_needed(copy: "Copy") -> None:
    """Bring what a sweep needs to go on: of trials that are through with, no weights."""
    from basis.stored.kinds import is_weights
    from sweep.storage.healing import does_without_weights  # imports torch

    listed = copy.store.list()
    copy.pull(lambda name: not is_weights(name), listed)
    is_through = cache(does_without_weights)
    copy.pull(lambda name: not is_weights(name) or not is_through((copy.folder / name).parent), listed)


def _begins(sweep: NewSweep, address: Address, copy: "Copy") -> bool:
    """Whether a sweep begins at an address, and does not go on there.

    Raises:
        UserError: something else lies there.
    """
    stored = {name.partition("/")[0] for name in copy.store.list() if not name.startswith(".")}
    if sweep.or_resume and (SPEC_FILE in stored or (copy.folder / SPEC_FILE).is_file()):
        return False
    if stored - set(LEFT_BEFORE_SPEC if sweep.or_resume else ()):
        raise UserError(f"--output {address} is not empty; name a new folder, or continue it with --resume")
    return True


@contextmanager
def looked_at(sweep: Sweep) -> Iterator[Sweep]:
    """A sweep with a folder of this machine in place of an address, for questions that change nothing of it.

    Raises:
        UserError: an address that is none, or a store that can't be read.
    """
    what, text = _place_of(sweep)
    if text is None or not is_address(text):
        yield sweep
    elif isinstance(sweep, NewSweep):
        parse_address(what, text)
        yield replace(sweep, output=None, or_resume=False)
    else:
        with experiment_folder(what, text, weights=False) as folder:
            yield replace(sweep, directory=str(folder))


def _place_of(sweep: Sweep) -> tuple[str, str | None]:
    """Where a sweep keeps its results, as the user gave it, and by what."""
    return ("--output", sweep.output) if isinstance(sweep, NewSweep) else ("--resume", sweep.directory)


class _Sender:
    """The process that sends: see `sweep.storing.send`."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, console: Console) -> None:
        self._process, self._address, self._console = process, address, console
        self._has_ended = False
        self._at_once = not console.is_terminal  # where a line would not tear the live table
        self._kept: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if self._at_once:
                self._say(line.rstrip("\n"))
            else:
                self._kept.append(line.rstrip("\n"))

    def _say(self, line: str) -> None:
        remarks_on(self._console)(line)

    def tell(self, word: str) -> None:
        """Say a word to it; it may have ended."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()

    def over(self, code: int) -> int:
        """The sweep is over, and so is a live table: wait until all of it is sent."""
        self._has_ended = True
        while self._kept:
            self._say(self._kept.pop(0))
        self._at_once = True
        self.tell("end")
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            try:
                ended = self._process.wait(UNTOLD_SECONDS)
            except subprocess.TimeoutExpired:
                self._say("sending what is left; Ctrl-C leaves it for later")
                ended = self._process.wait()
        except KeyboardInterrupt:
            self._process.kill()
            self._say_lack()
            raise
        self._thread.join(UNTOLD_SECONDS)
        if ended not in (0, EXIT_LOST):
            self._say_lack()
        return code if ended == 0 else code or EXIT_FAILED

    def end(self) -> None:
        """The sweep has ended by an error."""
        if not self._has_ended:
            self.over(EXIT_FAILED)

    def _say_lack(self) -> None:
        self._say(f"what is lacking is kept here; send it with: {as_called('sweep.run', '--resume', self._address)}")


@contextmanager
def _sender(orders: "Orders", console: Console) -> Iterator[_Sender]:
    # a session of its own, so that Ctrl-C ends the sweep, and not who sends it
    with subprocess.Popen(
        [sys.executable, "-m", "sweep.storing.send"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=with_our_code(),
        start_new_session=True,
        text=True,
    ) as process:
        sender = _Sender(process, orders.address, console)
        sender.tell(orders.to_line().rstrip("\n"))
        try:
            yield sender
        finally:
            sender.end()


def _make_room(folder: Path) -> None:
    """Set aside what an earlier sweep of the same address has left here; the store has nothing of it any more."""
    if not (folder / SPEC_FILE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        set_aside(folder, FORMER)
