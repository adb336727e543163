"""A line on a terminal that says how far a long piece of work is, and goes when the work is done."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from basis.terminal import console_on

T = TypeVar("T")


@contextmanager
def progress_line(items: Iterable[T], what: str, total: int | None = None) -> Iterator[Iterable[T]]:
    """The items, counted on a terminal while they are worked on in a `with` block; nothing is printed elsewhere.

    Args:
        items: what is worked on.
        what: the work, such as "tokenising train".
        total: how many items there are; None: nobody knows.
    """
    console = console_on(sys.stdout)
    if not console.is_terminal or console.is_dumb_terminal:
        yield items
        return
    done = "{task.completed:,}/{task.total:,}" if total else "{task.completed:,}"
    columns = [BarColumn(), TextColumn(done), TimeRemainingColumn()] if total else [TextColumn(done)]
    told = TextColumn("{task.description}")
    with Progress(
        told, *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as line:
        yield line.track(items, total=total, description=what)
