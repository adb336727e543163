"""Measures sweeps of 100, 1,000 and 10,000 tiny trials: overhead, the driver's memory, and resume and report after it.

python -m benchmarks scale [--quick]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from basis.packages import ROOT
from benchmarks.made_up import dialogues, sweep_spec, write_dialogues, write_tokenizer
from benchmarks.overhead import Trial, read_trials
from benchmarks.table import Row, Table, Target

GIB = 2**30
VOCABULARY, CPUS = 512, 2
SIZES = (100, 1_000, 10_000)
BOUND_GROWTH, BOUND_DRIVER_GIB, BOUND_RESUME_SECONDS, BOUND_REPORT_SECONDS, BOUND_REPORT_GIB = 1.5, 1.5, 60.0, 60.0, 2.0


@dataclass(frozen=True)
class Ran:
    """A command that ended well: its seconds, and the highest memory of its largest process in bytes."""

    seconds: float
    peak_bytes: int


def measure(quick: bool) -> Table:
    """Measure sweeps of few trials and of many. Under `quick` all are few."""
    rows: list[Row] = []
    targets: list[Target] = []
    for trials in (4, 10) if quick else SIZES:
        with tempfile.TemporaryDirectory() as name:
            row, targets = _measured(Path(name), trials)
        rows.append(row)
        print(row, flush=True)
    about = (
        f"`python -m sweep.run SPEC --output DIR` with its own Ray on {CPUS} CPUs. A trial is one step of 1 x 16 "
        "tokens of a GPT-2 of 1 layer and width 8, and two evaluations of one window, with all files of a real trial. "
        "Overhead of a part of the trials: the time from the end of the one before them to the end of the last, less "
        "their own seconds divided by the number of workers, for each trial. Resume: `--resume DIR` once all have "
        "finished, which reads them and says what their report says. Memory is that of the largest process of the "
        "command, without Ray's."
    )
    return Table("scale", "Many trials", about, rows, targets)


def _measured(folder: Path, trials: int) -> tuple[Row, list[Target]]:
    output = folder / "sweep"
    texts = dialogues(400, words=60)
    write_dialogues(folder / "dialogues.jsonl", texts)
    write_tokenizer(folder / "tokenizer", texts, VOCABULARY)
    spec = folder / "scale.yaml"
    spec.write_text(yaml.safe_dump(_spec(folder, trials)), encoding="utf-8")
    cache = str(folder / "cache")
    swept = run("sweep.run", str(spec), "--output", str(output), cache=cache)
    found = sorted(read_trials(output), key=lambda trial: trial.ended)
    if len(found) != trials:
        raise RuntimeError(f"{len(found)} trials finished where {trials} were to run")
    resumed = run("sweep.run", "--resume", str(output), cache=cache)
    reported = run("analysis.report", str(output), cache=cache)
    part = max(2, trials // 10)
    first, last = overhead(found, CPUS, part + CPUS), overhead(found, trials - part, trials)
    row: Row = {
        "trials": trials,
        "a trial's own, s": sum(trial.own for trial in found) / trials,
        f"overhead, first {part:,}, s": first,
        f"overhead, last {part:,}, s": last,
        "driver, GiB": swept.peak_bytes / GIB,
        "sweep, s": swept.seconds,
        "resume, s": resumed.seconds,
        "report, s": reported.seconds,
        "report, GiB": reported.peak_bytes / GIB,
    }
    what = f"{trials:,} trials"
    return {name.replace(f" {part:,}", " tenth"): value for name, value in row.items()}, [
        Target(f"{what}: overhead of the last tenth / of the first", last / first, BOUND_GROWTH, False),
        Target(f"{what}: driver, GiB", swept.peak_bytes / GIB, BOUND_DRIVER_GIB, False),
        Target(f"{what}: resume, s", resumed.seconds, BOUND_RESUME_SECONDS, False),
        Target(f"{what}: report, s", reported.seconds, BOUND_REPORT_SECONDS, False),
        Target(f"{what}: report, GiB", reported.peak_bytes / GIB, BOUND_REPORT_GIB, False),
    ]


def overhead(trials: Sequence[Trial], begin: int, end: int) -> float:
    """Seconds that each of a part of the trials takes beside its own work.

    Args:
        trials: of a sweep, by their ends.
        begin: the first of the part; there is one before it.
        end: behind the last.
    """
    part = trials[begin:end]
    seconds = part[-1].ended - trials[begin - 1].ended
    return (seconds - sum(trial.own for trial in part) / CPUS) / len(part)


def run(module: str, *words: str, cache: str) -> Ran:
    """Run a command of ours, and look at the memory of its own processes ten times a second.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    began, peak_bytes = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as said:
        command = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env={**os.environ, "SFT_SWEEP_CACHE": cache},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        while command.poll() is None:
            peak_bytes = max(peak_bytes, _bytes_of(command.pid, module))
            time.sleep(0.1)
        if command.returncode:
            said.seek(0)
            raise RuntimeError(f"{module} failed ({command.returncode}):\n{said.read()[-2000:]}")
    return Ran(time.monotonic() - began, peak_bytes)


def _bytes_of(pid: int, module: str) -> int:
    """Resident memory of the largest of a command's processes: the one that waits, and the one that works."""
    most = 0
    try:
        command = psutil.Process(pid)
        for process in (command, *command.children()):
            if module in process.cmdline():
                most = max(most, process.memory_info().rss)
    except psutil.NoSuchProcess:  # it has just ended
        return most
    return most


def _spec(folder: Path, trials: int) -> dict[str, Any]:
    shape = {"n_layer": 1, "n_embd": 8, "n_head": 1, "n_positions": 32, "vocab_size": VOCABULARY}
    trial = {"steps": 1, "batch_size": 1, "block_size": 16, "test_every": 1, "test_windows": 1}
    lrs = min(trials, 100)
    space = {
        "method": "full",
        "optimizer": "adamw",
        "lr": [round(1e-6 * (number + 1), 7) for number in range(lrs)],
        "weight_decay": [round(1e-3 * number, 4) for number in range(trials // lrs)],
    }
    return sweep_spec(folder, "scale", shape, trial, space, cpus=1)
