"""The command line `python -m benchmarks gpu`: runs the parts one after the other, and keeps every row at once.

torch, transformers and loralib suffice for it; the part `trial` needs pydantic, too, and no part needs Ray.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.parts import BROKE, PARTS, Message, Opening, run_part
from benchmarks.isolate import run_apart
from benchmarks.machine import describe_machine
from benchmarks.results import RESULTS, Machine, format_value, targets_line, write_results
from benchmarks.table import Row, Table, Target
from sweep.machine.allocator import set_allocator

SECONDS = 480
"""The most that the whole command takes."""


def main(argv: Sequence[str]) -> int:
    """Run the parts that the command line names.

    Args:
        argv: the words of the command line after `gpu`.

    Returns:
        Exit code: 1 if something could not be measured, 130 after Ctrl-C, otherwise 0.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"--parts: unknown part {unknown[0]!r}; accepted: {', '.join(PARTS)}")
    machine = run_apart(describe_machine)  # apart, since a process that has asked a GPU holds memory of it
    if "GPU" not in machine and not arguments.quick:
        print("There is no CUDA device to measure; --quick runs the parts on the CPU at tiny sizes.", file=sys.stderr)
        return 1
    set_allocator()  # as the sweep's workers have it
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # one GPU: with more, a Trainer would use them all
    names = [name for name in PARTS if name in (arguments.parts or PARTS)]
    try:
        return _run(names, machine, arguments.quick, time.monotonic() + arguments.seconds, arguments.output)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {arguments.output} has what was measured", file=sys.stderr)
        return 130


def _run(names: Sequence[str], machine: Machine, quick: bool, deadline: float, output: Path) -> int:
    device = "cuda" if "GPU" in machine else "cpu"
    machine = {**machine, "measured": f"{device}, at tiny sizes that show nothing" if quick else device}
    suffix = "-gpu" + "".join(f"-{name}" for name in names if tuple(names) != PARTS) + "-quick" * quick
    tables: list[Table] = []
    for name in names:
        began = time.monotonic()
        print(f"\n{name}", flush=True)
        table = Table(name, name, "", [])
        tables.append(table)
        for message in run_part(f"{__package__}.{name}", device, quick, deadline):
            table = tables[-1] = _with_message(table, message)
            page, _ = write_results(tables, machine, output, suffix)
            if not isinstance(message, Opening):
                print(f"  {_line(message)}", flush=True)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"\nwritten: {page} and its JSON\n{targets_line([t for table in tables for t in table.targets])}")
    return int(any(BROKE in row for table in tables for row in table.rows))


def _with_message(table: Table, message: Message) -> Table:
    """The table with what its part has just said."""
    if isinstance(message, Opening):
        return Table(table.name, message.title, message.about, [])
    if isinstance(message, dict):
        return Table(table.name, table.title, table.about, [*table.rows, message], table.targets)
    return Table(table.name, table.title, table.about, table.rows, [*table.targets, message])


def _line(message: Row | Target) -> str:
    """A row or a target, as it is printed while the benchmark runs."""
    if isinstance(message, dict):
        return "; ".join(f"{column} {format_value(value)}" for column, value in message.items())
    verdict = "met" if message.met else "MISSED"
    bound = f"{'≥' if message.at_least else '≤'} {message.bound:g}"
    return f"{verdict}: {message.name} {format_value(message.value)}, promised {bound}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks gpu",
        description="Measure the project on this machine's first GPU, and write page and data anew after each row.",
        epilog="Exit code: 0 all was measured, whether or not targets are met; 1 something could not be measured.",
    )
    parts = f"any of {', '.join(PARTS)} (default: all)"
    parser.add_argument("--parts", nargs="+", metavar="PART", default=[], help=parts)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, on the CPU where there is no GPU")
    limit = "after how many seconds the command stops (default: %(default)s)"
    parser.add_argument("--seconds", type=int, default=SECONDS, help=limit)
    parser.add_argument("--output", type=Path, metavar="DIR", default=RESULTS, help="default: benchmarks/results")
    return parser
