"""Runs the study's trials for a few steps at their real shapes: memory, predicted and measured, and the whole time.

python -m benchmarks full_size [--quick]
"""

import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from basis.units import show_bytes
from benchmarks.full_size_inputs import REAL, TINY, Files, Size, quiet, write_files
from benchmarks.full_size_tables import Figures, tables_of
from benchmarks.full_size_worker import FULL, LORA, Case, Measured, judge_batch, prepare_variant, run_case
from benchmarks.isolate import run_apart
from benchmarks.table import Table
from sweep.inputs import SweepInputs
from sweep.machine.hardware import free_memory_bytes

CASES = [
    Case(variant, arm, precision)
    for precision in ("fp32", "bf16")
    for variant, arm in ((None, FULL), (None, LORA), ("published", LORA))
]
QUICK_CASES = [Case(None, LORA, "fp32"), Case("published", FULL, "bf16")]


def measure(quick: bool) -> list[Table]:
    """Run every case, and estimate what the study would take. Under `quick` run two cases of a tiny shape."""
    quiet()
    size = TINY if quick else REAL
    return tables_of(run_cases(QUICK_CASES if quick else CASES, size), size)


def run_cases(cases: Sequence[Case], size: Size) -> Figures:
    """Make the inputs, then run the cases one after another and judge a batch, each in a process of its own."""
    free_bytes = free_memory_bytes()
    found: dict[Case, Measured | str] = {}
    with tempfile.TemporaryDirectory() as name:
        files = run_apart(write_files, Path(name), size)
        variants = dict.fromkeys(case.variant for case in cases)
        inputs = {variant: run_apart(prepare_variant, files, size, variant) for variant in variants}
        for number, case in enumerate(cases, 1):
            _say(f"{number} of {len(cases)}, {case.name}; {show_bytes(free_memory_bytes())} are free")
            found[case] = _run_case(case, files, size, inputs[case.variant])
            _say(_told(found[case]))
        judged = run_apart(judge_batch, inputs[cases[0].variant], limit_seconds=size.limit_seconds)
    return Figures(found, judged, free_bytes)


def _run_case(case: Case, files: Files, size: Size, inputs: SweepInputs) -> Measured | str:
    """Run a case in a fresh process.

    Returns:
        What it took; or why it failed, so that the other cases still run.
    """
    try:
        return run_apart(run_case, case, files, size, inputs, limit_seconds=size.limit_seconds)
    except BrokenProcessPool:
        return f"killed, for its memory or after {size.limit_seconds} s"
    except Exception as error:
        traceback.print_exc()
        return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _told(found: Measured | str) -> str:
    """The result of a case in one line. All cases together take an hour."""
    if isinstance(found, str):
        return found
    predicted, measured = (show_bytes(found.last[name]) for name in ("predicted_peak_bytes", "peak_bytes"))
    process, asked = show_bytes(found.process_bytes), show_bytes(found.asked_bytes)
    return (
        f"predicted {predicted}, measured {measured}; the process took {process}, and {asked} would be asked for; "
        f"{found.pace.step_seconds:.1f} s a step, {found.seconds:.0f} s in all"
    )


def _say(text: str) -> None:
    print(f"full_size: {text}", file=sys.stderr, flush=True)
