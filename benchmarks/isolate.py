"""Runs work in a fresh process, so that one benchmark's memory, threads or Ray do not affect another's."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import TypeVar

from benchmarks.table import Table

T = TypeVar("T")

NAMES = ("step", "generation", "data", "overhead", "packed", "memory", "packing")
"""The benchmarks that run unless others are named, each a module with `measure(quick: bool)`."""

BY_NAME_ALONE = ("full_size", "report", "page", "scale")
"""The benchmarks that run only when they are named. `full_size` takes longer than all others together and most of the
machine's memory; `report` takes ten minutes and `scale` hours; `page` needs a browser. The GPU has a command of its
own, see `benchmarks.gpu.command`."""


def measure_apart(name: str, quick: bool) -> list[Table]:
    """Call `benchmarks.<name>.measure(quick)` in a fresh process.

    Returns:
        The benchmark's tables. What `measure` raises is raised here.
    """
    return run_apart(_measure, name, quick)


def run_apart(work: Callable[..., T], *arguments: object, limit_seconds: int = 0) -> T:
    """Call `work(*arguments)` in a fresh process.

    Args:
        work: a function that a fresh process can import.
        arguments: its arguments.
        limit_seconds: seconds after which the process is killed; 0: never.

    Returns:
        What `work` returns. What it raises is raised here.

    Raises:
        BrokenProcessPool: the process was killed, after `limit_seconds` or by the system for its memory.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(limit_seconds,)) as pool:
        return pool.submit(work, *arguments).result()


def _begin(limit_seconds: int) -> None:
    """Prepare a fresh process: it ends after the limit, and with its parent."""
    signal.alarm(limit_seconds)
    end_with_parent()


def end_with_parent() -> None:
    """Have this process end when its parent does, so that a killed command leaves no process of many GiB behind."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this process was spawned
    parent.join()
    os._exit(1)


def _measure(name: str, quick: bool) -> list[Table]:
    measured: Table | list[Table] = import_module(f"benchmarks.{name}").measure(quick)
    return measured if isinstance(measured, list) else [measured]
