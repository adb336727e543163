"""The parts of the GPU benchmark, and how one is run: in a process of its own, row by row, so that no row is lost.

A part is a module `benchmarks.gpu.<name>` with

- `TITLE: str`, of its table;
- `ABOUT: str`, how it is measured, in sentences that a reader can check;
- `SECONDS: int`, its time limit;
- `measure(device: torch.device, quick: bool) -> Iterator[Row | Target]`, which yields each row once it is measured.
"""

import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic

from benchmarks.isolate import end_with_parent
from benchmarks.table import Row, Target

PARTS = ("parity", "memory", "table", "trial", "profile", "peers")
"""The parts, in order of value: what comes late may find no time left."""

BROKE = "broke"
"""The column that says why something was not measured."""


@dataclass(frozen=True)
class Opening:
    """What a part says of itself before its first row."""

    title: str
    about: str
    seconds: int


Message = Opening | Row | Target


def rows_or_failure(label: Row, measure: Callable[[], Iterable[Row | Target]]) -> Iterator[Row | Target]:
    """The rows and targets that `measure` yields; after an exception, `label` with what went wrong.

    For a part whose measurements do not depend on each other.
    """
    try:
        yield from measure()
    except Exception as error:  # the next measurement may well succeed
        traceback.print_exc()
        yield {**label, BROKE: first_line(error)}


def first_line(error: BaseException) -> str:
    """The exception in one line."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:300]}" if said else type(error).__name__


def run_part(module: str, device: str, quick: bool, deadline: float) -> Iterator[Message]:
    """Run one part in a fresh process.

    Args:
        module: full name of the part's module.
        device: type of the device that it measures.
        quick: take tiny sizes.
        deadline: by `time.monotonic`, when the part is stopped at the latest.

    Yields:
        What the part says, as it says it. If it raises, dies or takes too long, a last row says so under BROKE.
    """
    if deadline <= monotonic():
        yield {BROKE: "not begun: no time was left"}
        return
    spawn = get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(sender, module, device, quick))
    began = monotonic()
    process.start()
    sender.close()  # the part alone holds it now
    try:
        while wait([receiver, process.sentinel], max(0.0, deadline - monotonic())):
            message = _next_message(receiver)
            if message is None:
                break
            if isinstance(message, Opening) and not (quick and device == "cpu"):  # where no GPU's time is spent
                deadline = min(deadline, monotonic() + message.seconds)
            yield message
        else:
            yield {BROKE: f"stopped after {monotonic() - began:.0f} s, its time limit"}
            return
        process.join(max(0.0, deadline - monotonic()))
        if process.exitcode:
            yield {BROKE: _how_it_ended(process.exitcode)}
    finally:
        _kill(process)
        process.join()
        receiver.close()


def _next_message(receiver: Connection) -> Message | None:
    """What the part has said next; None after its last word."""
    try:
        message: Message | None = receiver.recv() if receiver.poll() else None
    except (EOFError, OSError):  # OSError: it died in the middle of a word
        return None
    return message


def _work(sender: Connection, module: str, device: str, quick: bool) -> None:
    """What a part's process does. Its children share its process group, so that they can be ended with it."""
    os.setpgrp()
    end_with_parent()
    try:
        import torch  # here alone: the process that waits has no use for it

        if device == "cpu":
            torch.set_num_threads(1)  # tiny sizes gain nothing from threads, which wait for each other
        part = import_module(module)
        sender.send(Opening(part.TITLE, part.ABOUT, part.SECONDS))
        for message in part.measure(torch.device(device), quick):
            sender.send(message)
    except Exception as error:  # the other parts are still to be measured
        traceback.print_exc()
        sender.send({BROKE: first_line(error)})
    finally:
        sender.close()  # its last word is said, however long torch takes to end


def _kill(process: BaseProcess) -> None:
    """End a part's process, and those that it started and left running."""
    assert process.pid is not None  # it was started
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or has no group of its own yet
        process.kill()


def _how_it_ended(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "killed by SIGKILL, which is how the system ends a process when memory runs out"
    return f"ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
