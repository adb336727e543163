"""Makes the rows that look alike in every benchmark, and prints them when a benchmark runs alone."""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict

from benchmarks.results import markdown_table, targets_line
from benchmarks.table import Row, Table
from model.ledger import MemoryParts


def spread(what: str, unit: str, values: Sequence[float], note: str = "") -> Row:
    """A row of repeated measurements: their median, lowest, highest and number."""
    return {
        "what": what,
        "unit": unit,
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
        "measurements": len(values),
        "note": note,
    }


def single(what: str, unit: str, value: float, note: str = "") -> Row:
    """A row of one figure."""
    return spread(what, unit, [value], note)


def paired(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratios above / below of measurements taken right after each other: a slow moment slows both of a pair."""
    return [one / other for one, other in zip(above, below, strict=True)]


def largest_part_off(predicted: MemoryParts, measured: MemoryParts) -> str:
    """Name the part whose prediction differs most, with the difference in percent of the peak."""
    off = {name: value - asdict(measured)[name] for name, value in asdict(predicted).items()}
    worst = max(off, key=lambda name: abs(off[name]))
    return f"{worst} {100 * off[worst] / measured.total:+.2f}"


def run_alone(measure: Callable[[bool], Table]) -> None:
    """Be the command line of one benchmark: call `measure` and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tiny size: does it work at all?")
    table = measure(parser.parse_args().quick)
    print(f"{table.title}\n\n{table.about}\n\n{markdown_table(table.rows)}\n\n{targets_line(table.targets)}")
