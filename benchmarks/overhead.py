"""Measures what a sweep costs beside training: the real command with 50 short trials, and commands that train nothing.

python -m benchmarks.overhead [--quick]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.made_up import dialogues, sweep_spec, write_dialogues, write_tokenizer
from benchmarks.measured import run_alone, single, spread
from benchmarks.table import Row, Table, Target

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 512
RANKS = [1, 2, 4, 8, 16]
QUESTIONS = {"--help": ["--help"], "--list": ["--list"], "a bad spec": ["demo", "--set", "trial.steps=x"]}
BOUND_SECONDS = 1.0
QUESTION_BOUND_SECONDS = 1.5


@dataclass(frozen=True)
class Trial:
    """When a trial of a finished sweep began and ended, in seconds since the epoch, and its own seconds of work.

    `began` is when it took the lock of its directory, `ended` when it wrote its last row; `own` are its training and
    evaluation seconds; `worker` is the process that ran it.
    """

    began: float
    ended: float
    own: float
    worker: int


@dataclass(frozen=True)
class Sweep:
    """One run of the command: its trials, and when the command began and ended, in seconds since the epoch."""

    trials: list[Trial]
    began: float
    ended: float


def measure(quick: bool) -> Table:
    """Measure the seconds per trial beside training and evaluation, with one and two trials at a time.

    Args:
        quick: run few trials.
    """
    one_by_one, two_at_once = (2, 4) if quick else (50, 50)
    cpus = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = dialogues(400, words=60)
        write_dialogues(folder / "dialogues.jsonl", texts)
        write_tokenizer(folder / "tokenizer", texts, VOCABULARY)
        single_file = run_sweep(folder, "one", one_by_one, cpus)
        shared = run_sweep(folder, "two", two_at_once, cpus / 2)
    seconds = {question: _question_seconds(arguments, 1 if quick else 3) for question, arguments in QUESTIONS.items()}
    rows = _sweep_rows(single_file, "one at a time", 1) + _sweep_rows(shared, "two at once", 2)
    rows += [spread(f"`python -m sweep.run` with {question}", "s", taken) for question, taken in seconds.items()]
    targets = [
        Target("overhead per trial after the first, s", after_the_first(single_file.trials), BOUND_SECONDS, False),
        Target("overhead per trial, two at once, s", per_trial(shared.trials, 2), BOUND_SECONDS, False),
        *(
            Target(f"{question}, s", statistics.median(taken), QUESTION_BOUND_SECONDS, False)
            for question, taken in seconds.items()
        ),
    ]
    return Table("overhead", "Overhead of a sweep", _about(one_by_one, two_at_once, cpus), rows, targets)


# ---------------------------------------------------------------------------------------------------------- arithmetic


def after_the_first(trials: Sequence[Trial]) -> float:
    """Seconds per trial that a worker spends on anything but training and evaluation, without its first trial.

    For each worker, the time from the end of its first trial to the end of its last, less the own seconds of the
    trials in between; added up over the workers and divided by the number of those trials.
    """
    chains = [chain for chain in by_worker(trials) if len(chain) > 1]
    counted = sum(len(chain) - 1 for chain in chains)
    if not counted:
        raise RuntimeError("no worker ran two trials, so there is no trial after a first")
    spent = sum(chain[-1].ended - chain[0].ended - sum(trial.own for trial in chain[1:]) for chain in chains)
    return spent / counted


def per_trial(trials: Sequence[Trial], at_once: int) -> float:
    """(makespan - own seconds / at_once) / trials, in seconds, from the first trial's beginning to the last's end.

    With one at a time this is the overhead as it is usually told. With more at once it is what the sweep takes longer
    per trial than if its trials' own work had filled all places without a gap; a place that idles at the end counts.
    """
    makespan = max(trial.ended for trial in trials) - min(trial.began for trial in trials)
    return (makespan - sum(trial.own for trial in trials) / at_once) / len(trials)


def by_worker(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each worker, in the order in which it ran them."""
    chains: dict[int, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.ended):
        chains.setdefault(trial.worker, []).append(trial)
    return list(chains.values())


# ------------------------------------------------------------------------------------------------------------- running


def run_sweep(folder: Path, name: str, trials: int, cpus: float) -> Sweep:
    """Run a sweep of LoRA trials with the real command, into `folder`/`name`.

    Raises:
        RuntimeError: the command failed; with the end of what it said.
    """
    spec = folder / f"{name}.yaml"
    spec.write_text(yaml.safe_dump(_spec(folder, trials, cpus)), encoding="utf-8")
    began = time.time()  # to be compared with the times of files
    ran = _command([str(spec), "--output", str(folder / name)], SFT_SWEEP_CACHE=str(folder / f"cache-{name}"))
    ended = time.time()
    if ran.returncode:
        raise RuntimeError(f"the sweep failed ({ran.returncode}):\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    found = read_trials(folder / name)
    if len(found) != trials:
        raise RuntimeError(f"{len(found)} trials finished where {trials} were to run")
    return Sweep(found, began, ended)


def read_trials(experiment_dir: Path) -> list[Trial]:
    """The finished trials of an experiment. Ray notes whole seconds only, so the files' times are used."""
    trials = []
    for finished in experiment_dir.glob("*/finished.json"):
        results = (finished.parent / "result.json").read_text(encoding="utf-8").splitlines()
        row: dict[str, Any] = json.loads(results[-1])
        trials.append(
            Trial(
                (finished.parent / "trial.lock").stat().st_mtime_ns / 1e9,
                finished.stat().st_mtime_ns / 1e9,
                row["train_seconds"] + row["evaluation_seconds"] + row.get("reward_seconds", 0.0),
                row["pid"],
            )
        )
    return trials


def _spec(folder: Path, trials: int, cpus: float) -> dict[str, Any]:
    """A spec whose trials take half a second to a second: 40 steps of a model of 2 layers and width 64."""
    rates = -(-trials // len(RANKS))
    shape = {"n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": 128, "vocab_size": VOCABULARY}
    trial = {"steps": 40, "batch_size": 8, "block_size": 128, "test_every": 40, "test_windows": 16}
    space = {
        "method": "lora",
        "rank": RANKS[: -(-trials // rates)],
        "optimizer": "adamw",
        "lr": [1e-4 * (number + 1) for number in range(rates)],
    }
    return sweep_spec(folder, "overhead", shape, trial, space, cpus)


def _question_seconds(arguments: list[str], count: int) -> list[float]:
    """Wall seconds of a command that trains nothing. Its exit code must be 2 for a bad spec, and 0 otherwise."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        ran = _command(arguments)
        seconds.append(time.perf_counter() - started)
        if ran.returncode != (2 if "--set" in arguments else 0):
            raise RuntimeError(f"sweep.run {arguments} ended with {ran.returncode}: {ran.stderr}")
    return seconds


def _command(arguments: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sweep.run", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


# ----------------------------------------------------------------------------------------------------------- reporting


def _sweep_rows(sweep: Sweep, how: str, at_once: int) -> list[Row]:
    trials = sweep.trials
    first = min(trial.began for trial in trials)
    last = max(trial.ended for trial in trials)
    chains = by_worker(trials)
    gaps = [after.began - before.ended for chain in chains for before, after in pairwise(chain)]
    inside = [trial.ended - trial.began - trial.own for chain in chains for trial in chain[1:]]
    firsts = [chain[0].ended - chain[0].began - chain[0].own for chain in chains]
    rows: list[Row] = [
        single(f"{how}: overhead per trial after a worker's first", "s", after_the_first(trials)),
        single(f"{how}: (makespan - own / {at_once}) / trials", "s", per_trial(trials, at_once)),
        spread(f"{how}: a trial's training and evaluation", "s", [trial.own for trial in trials]),
    ]
    if gaps:
        rows.append(spread(f"{how}: from a trial's end to its worker's next", "s", gaps, "Ray, and clearing up"))
        rows.append(spread(f"{how}: in a trial, beside its own work", "s", inside, "model, files"))
    return [
        *rows,
        spread(f"{how}: the same in a worker's first trial", "s", firsts),
        single(f"{how}: makespan", "s", last - first, f"{len(trials)} trials by {len(chains)} workers"),
        single(f"{how}: start-up, from the command to the first trial", "s", first - sweep.began),
        single(f"{how}: from the last trial to the command's end", "s", sweep.ended - last, "the report"),
        single(f"{how}: the whole command", "s", sweep.ended - sweep.began),
    ]


def _about(one_by_one: int, two_at_once: int, cpus: int) -> str:
    return (
        f"`python -m sweep.run SPEC --output DIR` on {cpus} CPU cores, with its own Ray: {one_by_one} LoRA trials one "
        f"at a time (each asks for all cores), and {two_at_once} two at once (half the cores each). A trial is 40 "
        "steps of 8 x 128 tokens of a GPT-2 of 2 layers and width 64, and two evaluations of 16 windows; no reward "
        "model. Overhead is what is left of the makespan without the trials' train_seconds and evaluation_seconds as "
        "their result.json has them. A trial begins when it takes its lock and ends when it has written its last row. "
        "'After a worker's first' counts from the end of each worker's first trial, since that one also pays for "
        "what is imported lazily."
    )


if __name__ == "__main__":
    run_alone(measure)
