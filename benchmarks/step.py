"""Compares one optimizer step of this project with other libraries' steps, all in turn on one thread."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from basis.methods import Method
from benchmarks.step_shapes import OURS, SHAPES, Shape
from benchmarks.table import Row, Table, Target

ROOT = Path(__file__).parent.parent
LOSS_TOLERANCE = 1e-3

SPEED_BOUNDS: dict[tuple[Method, str], dict[str, float]] = {
    ("lora", "TRL + PEFT"): {"small": 2.8, "base": 1.25, "medium": 1.0},
    ("lora", "HF + PEFT"): {"small": 1.3, "base": 1.05, "medium": 1.0, "llama": 1.1},
    ("lora", "HF + loralib"): {"small": 1.3, "base": 1.05, "medium": 1.0},
    ("full", "HF Trainer"): {"small": 1.3, "base": 1.05, "medium": 1.0, "llama": 1.1},
}
MFU_BOUNDS: dict[Method, dict[str, float]] = {
    "lora": {"small": 0.52, "base": 0.64, "medium": 0.66},
    "full": {"small": 0.62, "base": 0.74, "medium": 0.72},
}
MEMORY_PEER = "HF + PEFT"
MEMORY_BOUNDS = {"small": 0.25, "base": 0.35, "medium": 0.35, "llama": 0.5}

ABOUT = """\
One optimizer step (forward, backward, AdamW, gradients dropped) of GPT-2, or of a Llama, with random weights, in fp32
on one CPU thread, without dropout, head tied. LoRA: rank 8 on all projections of a block, adapters alone train; full:
all weights train. Every variant runs in a process of its own and does one step per round, in an order that rotates,
while the others wait; all start from the same weights and see the same random tokens, and their losses agree to 0.001
in every step, which holds the forward passes together (gradients are held to Hugging Face's by the tests). Peers do
what they do by default: TRL computes entropy and token accuracy beside the loss, and the loops around HF take torch's
default AdamW, both Trainers and ours the fused one. The first round is a warm-up on windows an eighth as long and is
not counted. A step is timed in CPU time of its process, data collation included; right before and after it the process
times products of 1024 x 1024 fp32 matrices (sgemm), which say how fast the machine is at that moment. *Tokens/s* are
per second of CPU time; *tokens per GFLOP* is that divided by the sgemm's GFLOP/s. *MFU* is the FLOPs that the step
needs, divided by its time and by the sgemm's FLOP/s; needed per token are 6 N (full) or 4 N (LoRA) with N the weights
of the products, 12 L d^2 + V d of GPT-2, and 6 L T d for causal attention. *Memory growth* is the peak resident memory
of the steps minus what the process held with its model before the first. *Ours is faster* is the ratio of tokens per
GFLOP, paired by round. All figures are medians over the rounds (memory: the peak of all)."""


@dataclass(frozen=True)
class Step:
    """A worker's report of one step: seconds, GFLOP/s of the sgemm beside it, loss in nats per token, MiB so far."""

    cpu_s: float
    wall_s: float
    sgemm_gflops: float
    loss: float
    growth_mib: float | None


class Worker:
    """A process that holds one variant, and does a step when it is told to."""

    def __init__(self, method: Method, variant: str, shape: str) -> None:
        self.name = f"{variant} ({method}, {shape})"
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.step_worker", method, variant, shape],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate()
        self.log.close()

    def wait_until_ready(self) -> None:
        """Return when the model is built."""
        self._read()

    def step(self) -> Step:
        """Do one step and return what it cost."""
        assert self.process.stdin is not None, "opened with a pipe"
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return Step(**json.loads(self._read()))

    def _read(self) -> str:
        assert self.process.stdout is not None, "opened with a pipe"
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            last = "\n".join(self.log.read().splitlines()[-15:])
            raise RuntimeError(f"the worker of {self.name} ended with code {self.process.wait()}:\n{last}")
        return line


@dataclass(frozen=True)
class Group:
    """The counted steps of all variants of one method at one shape; `steps[variant][round]`."""

    method: Method
    shape: str
    steps: dict[str, list[Step]]

    @property
    def sizes(self) -> Shape:
        """The shape itself."""
        return SHAPES[self.shape]

    def tokens_per_gflop(self, variant: str) -> list[float]:
        """Tokens per second over the sgemm's GFLOP per second, by round."""
        return [self.sizes.tokens / s.cpu_s / s.sgemm_gflops for s in self.steps[variant]]

    def speedups(self, peer: str) -> list[float]:
        """How many times faster than `peer` ours is, by round."""
        pairs = zip(self.tokens_per_gflop(OURS), self.tokens_per_gflop(peer), strict=True)
        return [ours / theirs for ours, theirs in pairs]

    def mfu(self, variant: str) -> float:
        """The speed of the operations that the step needs, as a share of the sgemm's speed: the median over rounds."""
        flops = self.sizes.flops(self.method)
        return statistics.median(flops / s.cpu_s / (s.sgemm_gflops * 1e9) for s in self.steps[variant])

    def growth_mib(self, variant: str) -> float | None:
        """Growth of resident memory in MiB, the peak over all steps; None outside Linux, where it is not measured."""
        return self.steps[variant][-1].growth_mib

    def median(self, variant: str, field: str) -> float:
        """Median of a field of Step over the rounds."""
        return statistics.median(float(getattr(s, field)) for s in self.steps[variant])


def measure(quick: bool) -> Table:
    """Measure all shapes and both methods; under `quick` only a tiny shape, which has no targets."""
    shapes = ["tiny", "tiny llama"] if quick else ["small", "base", "medium", "llama"]
    groups = [run_group(method, shape) for shape in shapes for method in SHAPES[shape].variants]
    return Table(
        name="step",
        title="The training step",
        about=ABOUT,
        rows=[_row(group, variant) for group in groups for variant in group.steps],
        targets=[target for group in groups for target in targets_of(group)],
    )


def run_group(method: Method, shape: str) -> Group:
    """Start a worker for every variant, and let them step in turn.

    Raises:
        RuntimeError: a worker failed, or the variants do not compute the same loss.
    """
    variants = SHAPES[shape].variants[method]
    steps: dict[str, list[Step]] = {variant: [] for variant in variants}
    with ExitStack() as stack:
        workers = {variant: stack.enter_context(Worker(method, variant, shape)) for variant in variants}
        for worker in workers.values():
            worker.wait_until_ready()
        for index in range(SHAPES[shape].rounds + 1):
            print(f"step: {shape}, {method}, round {index} of {SHAPES[shape].rounds}", file=sys.stderr, flush=True)
            first = index % len(variants)
            for variant in variants[first:] + variants[:first]:
                steps[variant].append(workers[variant].step())
            check_losses(f"{method}, {shape}, round {index}", {v: s[index].loss for v, s in steps.items()})
    return Group(method, shape, {variant: done[1:] for variant, done in steps.items()})


def check_losses(where: str, losses: dict[str, float], tolerance: float = LOSS_TOLERANCE) -> None:
    """Check that all variants compute the same function.

    Raises:
        RuntimeError: a loss is more than `tolerance` nats away from ours, or no number.
    """
    if not all(abs(loss - losses[OURS]) <= tolerance for loss in losses.values()):  # also false for NaN
        told = ", ".join(f"{variant} {loss:.5f}" for variant, loss in losses.items())
        raise RuntimeError(f"the variants do not compute the same loss ({where}): {told}")


def _row(group: Group, variant: str) -> Row:
    speedups = group.speedups(variant)
    return {
        "shape": f"{group.shape} ({group.sizes})",
        "method": group.method,
        "variant": variant,
        "rounds": len(group.steps[variant]),
        "CPU s": group.median(variant, "cpu_s"),
        "wall s": group.median(variant, "wall_s"),
        "tokens/s": group.sizes.tokens / group.median(variant, "cpu_s"),
        "sgemm GFLOP/s": group.median(variant, "sgemm_gflops"),
        "tokens per GFLOP": statistics.median(group.tokens_per_gflop(variant)),
        "MFU": group.mfu(variant),
        "memory growth MiB": group.growth_mib(variant),
        "ours is faster": None if variant == OURS else statistics.median(speedups),
        "min": None if variant == OURS else min(speedups),
        "max": None if variant == OURS else max(speedups),
        "loss": group.steps[variant][0].loss,
    }


def targets_of(group: Group) -> list[Target]:
    """The project's promises for this method and shape, with what was measured."""
    where = f"{group.method}, {group.shape}"
    targets = [
        Target(f"{where}: speed, ours / {peer}", statistics.median(group.speedups(peer)), bounds[group.shape])
        for (method, peer), bounds in SPEED_BOUNDS.items()
        if method == group.method and group.shape in bounds
    ]
    mfu_bounds = MFU_BOUNDS[group.method]
    if group.shape in mfu_bounds:
        targets.append(Target(f"{where}: MFU of ours", group.mfu(OURS), mfu_bounds[group.shape]))
    if MEMORY_PEER in group.steps and group.shape in MEMORY_BOUNDS:
        ours, theirs = group.growth_mib(OURS), group.growth_mib(MEMORY_PEER)
        if ours is not None and theirs is not None:
            name = f"{where}: memory growth, ours / {MEMORY_PEER}"
            targets.append(Target(name, ours / theirs, MEMORY_BOUNDS[group.shape], at_least=False))
    return targets
