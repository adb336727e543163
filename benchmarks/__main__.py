"""The command line: `python -m benchmarks [NAME ...]` measures, prints and records. A missed target is no failure.

`python -m benchmarks gpu` is a command of its own, see `benchmarks.gpu.command`.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu import command as gpu
from benchmarks.isolate import BY_NAME_ALONE, NAMES, measure_apart
from benchmarks.machine import describe_machine
from benchmarks.results import RESULTS, markdown_table, targets_line, write_results
from benchmarks.table import Table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line names.

    Args:
        argv: the words of the command line; those of the process if None.

    Returns:
        Exit code: 1 if a benchmark broke, otherwise 0.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["gpu"]:
        return gpu.main(words[1:])
    parser = _parser()
    arguments = parser.parse_args(words)
    if "gpu" in arguments.names:
        parser.error("gpu is measured by itself: python -m benchmarks gpu [options]")
    known = (*NAMES, *BY_NAME_ALONE)
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"unknown benchmark {unknown[0]!r}; accepted: {', '.join(known)}")
    names = [name for name in known if name in (arguments.names or NAMES)]
    machine = describe_machine()  # now: the tree may be edited while this runs
    tables: list[Table] = []
    measured, broken = [], []
    for name in names:
        start = time.monotonic()
        try:
            found = measure_apart(name, arguments.quick)
        except Exception:  # an hour's other results must not be lost for it
            traceback.print_exc()
            broken.append(name)
            continue
        measured.append(name)
        tables += found
        print(f"\n{name}: {time.monotonic() - start:.0f} s", flush=True)
        for table in found:
            print(f"\n{table.title}\n\n{markdown_table(table.rows)}\n\n{targets_line(table.targets)}", flush=True)
    if tables:
        suffix = _suffix(measured, arguments.quick)
        page, data = write_results(tables, machine, arguments.output, suffix)
        print(f"\nwritten: {page} and {data.name}")
        print(targets_line([target for table in tables for target in table.targets]))
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project, beside others where there are any, and write a page and its data.",
        epilog="Exit code: 0 all was measured, whether or not targets are met; 1 a benchmark broke. "
        "`python -m benchmarks gpu --help` tells how a GPU is measured.",
    )
    names = f"any of {', '.join(NAMES)} (default: all of these) and {', '.join(BY_NAME_ALONE)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to see that everything runs")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=RESULTS,
        help="where results go (default: benchmarks/results)",
    )
    return parser


def _suffix(measured: Sequence[str], quick: bool) -> str:
    """The end of a result's file name, so that a partial or quick result does not replace a full one."""
    names = "" if tuple(measured) == NAMES else "".join(f"-{name}" for name in measured)
    return f"{names}-quick" if quick else names


if __name__ == "__main__":
    sys.exit(main())
