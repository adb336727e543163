"""Lets a sweep work in a copy on this machine of what is kept in object storage; see `basis.stored.copy`."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import Timeout
from rich.console import Console

from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from basis.stored.address import is_address, parse_address
from sweep.command import EXIT_FAILED, remarks_on
from sweep.machine.environment import with_our_code
from sweep.machine.stored_folders import experiment_folder
from sweep.requests import NewSweep, RunSweep, Sweep

if TYPE_CHECKING:
    from sweep.storing.send import Orders


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
    if request.address is not None:
        raise UserError(
            f"{what} {address} with --address: not yet possible, since trials on other machines write to a folder that "
            "all share; accepted: such a folder"
        )
    from basis.stored.places import copy_of, lock_of  # imports pyarrow
    from sweep.storing.claim import claim
    from sweep.storing.send import Orders

    copy = copy_of(address, what)
    lock = lock_of(copy)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{what} {address}: another process of this machine works there") from None
    try:
        stored = {name for name in copy.store.list() if not name.startswith(".")}
        begins = isinstance(sweep, NewSweep) and not (sweep.or_resume and SPEC_FILE in stored)
        if begins and stored:
            raise UserError(f"{what} {address} is not empty; name a new folder, or continue it with --resume")
        mine = claim(copy.store, what)
        with _sender(Orders(address.typed, what, str(copy.folder), mine), console) as sender:
            if begins:
                _make_room(copy.folder)
            else:
                copy.pull()
            folder = str(copy.folder)
            local = replace(sweep, output=folder) if isinstance(sweep, NewSweep) else replace(sweep, directory=folder)
            sender.tell("begin")
            yield Placed(replace(request, sweep=local), address.typed, sender.over)
    finally:
        lock.release()


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

    def tell(self, word: str) -> None:
        """Say a word to it; it may have ended."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()

    def over(self, code: int) -> int:
        """The sweep is over: wait until all of it is sent. What it says is printed now, since a live table is over."""
        self._has_ended = True
        self.tell("end")
        try:
            for line in self._process.stdout or ():
                remarks_on(self._console)(line.rstrip("\n"))
            all_sent = self._process.wait() == 0
        except KeyboardInterrupt:
            self._process.kill()
            self._say_lack()
            raise
        if not all_sent:
            self._say_lack()
        return code if all_sent else code or EXIT_FAILED

    def end(self) -> None:
        """The sweep has ended by an error."""
        if not self._has_ended:
            self.over(EXIT_FAILED)

    def _say_lack(self) -> None:
        resume = as_called("sweep.run", "--resume", self._address)
        remarks_on(self._console)(f"nothing of it is lost; send what is lacking with: {resume}")


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
    former = folder.with_name(f"{folder.name}.former")
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        folder.rename(former)
