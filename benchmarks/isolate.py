"""One benchmark in a process of its own, so that none meets another's memory, threads or Ray."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from benchmarks.table import Table

NAMES = ("step", "generation", "data", "overhead", "packed", "memory", "packing", "gpu")
"""The benchmarks, each a module with `measure(quick: bool) -> Table`."""


def measure_apart(name: str, quick: bool) -> Table:
    """`benchmarks.<name>.measure(quick)` in a fresh process; what it raises is raised here."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, quick).result()


def _measure(name: str, quick: bool) -> Table:
    table: Table = import_module(f"benchmarks.{name}").measure(quick)
    return table
