"""Compares packed LoRA trials with the same trials one after another, and with one process for each core.

python -m benchmarks.packed [--quick]
"""

import math
import multiprocessing
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from benchmarks.measured import paired, run_alone, single, spread
from benchmarks.packed_worker import TRIALS, Done, Order, Way, serve
from benchmarks.step_shapes import SHAPES, Shape
from benchmarks.table import Row, Table

RANKS = tuple(TRIALS)
PAIRS = ((1, 16), (4, 8))  # about as much work in each
LOSS_TOLERANCE = 1e-3
WARM_UP_SHARE = 8


@dataclass(frozen=True)
class Contender:
    """Processes that share the trials: the ranks of each, the threads of each, and how they step."""

    processes: tuple[tuple[int, ...], ...]
    threads: int
    way: Way


CONTENDERS = {
    "in turn": Contender((RANKS,), 2, "alone"),
    "at once": Contender(PAIRS, 1, "alone"),
    "packed": Contender((RANKS,), 2, "packed"),
    "packed pairs": Contender(PAIRS, 1, "packed"),
}
RATIOS = (("packed", "in turn"), ("packed", "at once"), ("packed pairs", "in turn"), ("packed pairs", "at once"))
"""Pairs of contenders: the rate of the first is divided by that of the second."""


@dataclass(frozen=True)
class Case:
    """The trials' batches, the steps that are timed together (a single one is too short), and the rounds."""

    model: str
    batch: int
    block: int
    steps: int
    rounds: int

    @property
    def shape(self) -> Shape:
        """The model's shape with each trial's batch."""
        return replace(SHAPES[self.model], batch=self.batch, block=self.block)

    @property
    def warm_up(self) -> Shape:
        """The shape with short windows, for the step that is not counted, which makes the optimizers' state."""
        return replace(self.shape, block=self.block // WARM_UP_SHARE)

    def __str__(self) -> str:
        return f"{self.model}, {self.batch} x {self.block}"


QUICK = (Case("tiny", 1, 8, steps=2, rounds=2),)
FULL = (
    Case("small", 1, 64, steps=2, rounds=5),
    Case("small", 1, 256, steps=1, rounds=5),
    Case("base", 1, 64, steps=1, rounds=5),
    Case("base", 1, 128, steps=1, rounds=5),
)
"""Of one model the shorter block first: a process's peak memory only grows."""


class Team:
    """The processes of one contender. They get their orders together, and are awaited together."""

    def __init__(self, contender: Contender, shape: Shape) -> None:
        self.way = contender.way
        context = multiprocessing.get_context("forkserver")  # fresh as by "spawn", but the libraries load only once
        context.set_forkserver_preload(["benchmarks.packed_worker"])
        pipes = [context.Pipe() for _ in contender.processes]
        self.connections = [ours for ours, _ in pipes]
        self.processes = [
            context.Process(target=serve, args=(theirs, shape, ranks, contender.threads), daemon=True)
            for (_, theirs), ranks in zip(pipes, contender.processes, strict=True)
        ]
        for process, (_, theirs) in zip(self.processes, pipes, strict=True):
            process.start()
            theirs.close()  # or the end of the process would not be the end of what can be read

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
            process.join()

    def wait_until_ready(self) -> None:
        """Return when all models are built."""
        for connection in self.connections:
            connection.recv()

    def step(self, shape: Shape, steps: int) -> tuple[float, list[Done]]:
        """Let all trials take `steps` steps. Returns wall seconds, and each process's report."""
        started = time.perf_counter()
        for connection in self.connections:
            connection.send(Order(self.way, shape, steps))
        done = [connection.recv() for connection in self.connections]
        return time.perf_counter() - started, done


@dataclass
class Measured:
    """One contender in one case: tokens per second by round, and the private memory of its processes in MiB."""

    rates: list[float] = field(default_factory=list)
    peak_mib: float | None = None


def measure(quick: bool) -> Table:
    """Measure tokens per second of all trials together, and peak memory. Under `quick` take sizes that need seconds."""
    cases = QUICK if quick else FULL
    rows: list[Row] = []
    for model in dict.fromkeys(case.model for case in cases):
        rows += _rows_of_model([case for case in cases if case.model == model])
    return Table("packed", "Packed LoRA trials", _about(cases), rows)


def _rows_of_model(cases: Sequence[Case]) -> list[Row]:
    """Start the processes of all contenders once, and run all cases of one model, which differ in their batches."""
    with ExitStack() as stack:
        teams = {name: stack.enter_context(Team(one, cases[0].shape)) for name, one in CONTENDERS.items()}
        for team in teams.values():
            team.wait_until_ready()
        return [row for case in cases for row in _rows(case, _rounds(case, teams))]


def _rounds(case: Case, teams: dict[str, Team]) -> dict[str, Measured]:
    """Time interleaved rounds. Each begins with another contender; round 0 is a warm-up."""
    results = {name: Measured() for name in teams}
    names = list(teams)
    for index in range(case.rounds + 1):
        shape, steps = (case.shape, case.steps) if index else (case.warm_up, 1)
        losses: dict[str, dict[int, float]] = {}
        for name in names[index % len(names) :] + names[: index % len(names)]:
            seconds, done = teams[name].step(shape, steps)
            losses[name] = {rank: loss for one in done for rank, loss in one.losses.items()}
            if index:
                results[name].rates.append(len(RANKS) * steps * shape.tokens / seconds)
            peaks = [one.peak_mib for one in done if one.peak_mib is not None]
            results[name].peak_mib = sum(peaks) if peaks else None
        check_losses(f"{case}, round {index}", losses)
    return results


def check_losses(where: str, losses: dict[str, dict[int, float]]) -> None:
    """Check that every trial has the loss that it has alone.

    Raises:
        RuntimeError: a trial's loss differs between contenders by more than LOSS_TOLERANCE, or is no number.
    """
    for rank in RANKS:
        told = [of_ranks[rank] for of_ranks in losses.values()]
        if not max(told) - min(told) <= LOSS_TOLERANCE or not math.isfinite(sum(told)):
            raise RuntimeError(f"the trial of rank {rank} does not have the same loss everywhere ({where}): {told}")


def _rows(case: Case, results: dict[str, Measured]) -> list[Row]:
    rows = [spread(f"{case}: {name}", "tokens/s", one.rates) for name, one in results.items()]
    for above, below in RATIOS:
        ratios = paired(results[above].rates, results[below].rates)
        rows.append(spread(f"{case}: {above} / {below}", "ratio", ratios))
    for name, one in results.items():
        if one.peak_mib is not None:
            rows.append(single(f"{case}: peak memory, {name}", "MiB", one.peak_mib))
    return rows


def _about(cases: Sequence[Case]) -> str:
    rates = ", ".join(f"{rank} ({lr:g})" for rank, lr in TRIALS.items())
    shapes = {case.model: f"{case.model} is {case.shape.layers} x {case.shape.width}" for case in cases}
    rounds = ", ".join(f"{case.rounds} of {case.steps}" for case in cases)
    return (
        f"{len(RANKS)} LoRA trials of ranks (and learning rates) {rates}, on all four projections of a block, AdamW, "
        "on GPT-2 at random weights, vocabulary "
        f"{cases[0].shape.vocabulary}, fp32 on the CPU, without dropout; {'; '.join(shapes.values())}. Each trial has "
        "its own random windows, batch x block in the rows' names. *In turn*: one process of two threads and one base, "
        "a step of each trial after the other. *At once*: two processes with one thread and a base each, two trials in "
        "turn in each; this is how a sweep uses two CPUs. *Packed*: one process with two threads, in which all trials' "
        "rows go through the frozen base together, each through its own adapters (benchmarks/packed_step.py). *Packed "
        "pairs*: two processes with one thread each, in which two trials are packed. All are resident together and "
        "wait while another is timed; they take turns in going first. Rates are positions with a target of all trials "
        "by wall time, orders and answers between processes included, after a step on windows an eighth as long that "
        f"is not counted; rounds and steps in each, by case: {rounds}. Ratios are of the same round. The losses of "
        f"every trial agree to {LOSS_TOLERANCE:g} nats in every round. *Peak memory* is resident memory less the pages "
        "of files (libraries, shared by all), summed over the processes; it includes what Python and the libraries "
        "allocate for themselves, once in each process, and the adapters and optimizers of all trials of a process. "
        "Two threads of one process wait for each other in every operation, so they suffer more than two processes "
        "from other work on the machine."
    )


if __name__ == "__main__":
    run_alone(measure)
