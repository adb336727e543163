"""Work in a process of its own, so that none meets another's memory, threads or Ray."""

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

NAMES = ("step", "generation", "data", "overhead", "packed", "memory", "packing", "gpu")
"""The benchmarks that run unless others are named, each a module with `measure(quick: bool)`."""

BY_NAME_ALONE = ("full_size", "report")
"""Those that take long: the first longer than all others and most of the machine's memory, the second ten minutes."""


def measure_apart(name: str, quick: bool) -> list[Table]:
    """The tables of `benchmarks.<name>.measure(quick)` in a fresh process; what it raises is raised here."""
    return run_apart(_measure, name, quick)


def run_apart(work: Callable[..., T], *arguments: object, limit_seconds: int = 0) -> T:
    """`work(*arguments)` in a fresh process; what it raises is raised here.

    Raises:
        BrokenProcessPool: the process was killed, by the system for its memory or after `limit_seconds` (0: never).
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(limit_seconds,)) as pool:
        return pool.submit(work, *arguments).result()


def _begin(limit_seconds: int) -> None:
    signal.alarm(limit_seconds)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave no process of many GiB behind when the command is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # spawned by `run_apart`
    parent.join()
    os._exit(1)


def _measure(name: str, quick: bool) -> list[Table]:
    measured: Table | list[Table] = import_module(f"benchmarks.{name}").measure(quick)
    return measured if isinstance(measured, list) else [measured]
