"""Hugging Face's ways to take the same step and to generate the same responses, in turns with ours in one process."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from basis.methods import Method
from benchmarks import generation
from benchmarks.generation import END, TEMPERATURE, TOP_K, hugging_face_generate, random_model, random_prompts
from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.runs import MEDIUM, Variant, build, release, wait
from benchmarks.measured import paired
from benchmarks.step import check_losses
from benchmarks.step_peers import (
    RANK,
    plain_model,
    step_windows,
    train_with_trainer,
    trainer_arguments,
    training_loop,
    with_peft,
)
from benchmarks.step_shapes import OURS, SHAPES, Shape
from benchmarks.table import Row, Target
from model.batch import Batch
from model.generate import SamplingSettings, generate, uniform_draws

TITLE = "The same by Hugging Face's libraries"
SECONDS = 85
WARM_UP, ROUNDS, STEPS = 3, 5, 4
BOUND, SMALL_BOUND = 1.3, 1.5
LOSS_TOLERANCE = 0.02
"""Nats by which first losses may differ: products are in bf16, and every library divides them in its own way."""

ABOUT = f"""\
A step is forward, backward and fused AdamW of GPT-2 at random weights on 8 x 1024 tokens that lie on the device, under
autocast to bf16, without dropout and clipping, LoRA at rank {RANK} on all projections of a block. Hugging Face's model
takes scaled_dot_product_attention, its default; peers get targets that are already shifted. Ours and a peer start from
the same weights, and their first losses agree to {LOSS_TOLERANCE}. After {WARM_UP} steps for warming up come {ROUNDS}
rounds of {STEPS} steps each, in which the two take turns in going first; the device is waited for at the ends of a
round alone. Against a Trainer they take single steps in turn and the device is waited for after each. `ratio` is the
median over the rounds of their time divided by ours, `lowest` and `highest` its extremes; `peak GiB` is the allocator's
from before a model is built to the end of its warming up. *blocks compiled* has each block and the loss compiled by
torch.compile, *compiled* the whole model; ours is never compiled here. On a CPU torch.compile only traces. Generation
is one batch of prompts of different lengths in fp32, as trials are judged."""

Prepare = Callable[[GPT2LMHeadModel], Any]
"""Makes of a plain model what a peer trains."""

Work = Callable[[], Any]
"""What one round repeats: a step, which returns its loss, or a batch of responses."""


@dataclass(frozen=True)
class Duel:
    """Ours and one peer at the same task.

    Attributes:
        task: what both do.
        peer: who does it beside us.
        ours, theirs: make what a round repeats.
        units: how many of what is timed one call does.
        calls: of the work in one round.
        bound: how many times faster ours is to be; None: no promise.
        is_step: whether the work returns a loss.
    """

    task: str
    peer: str
    ours: Callable[[], Work]
    theirs: Callable[[], Work]
    units: int = 1
    calls: int = STEPS
    bound: float | None = None
    is_step: bool = True


@dataclass
class Times:
    """Milliseconds of each round of one side, and the bytes that it took at most; None on a CPU."""

    ms: list[float] = field(default_factory=list)
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Contender:
    """One side of a duel, warmed up: its work, what that returned first, and its times."""

    work: Work
    first: Any
    times: Times


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Hold one duel after another; one that breaks says so in its row.

    What compiles longest comes last, so that a time limit costs no other row.
    """
    medium = SHAPES["tiny"] if quick else MEDIUM
    bound = None if quick else BOUND
    yield from held(step_duel("full", medium, "HF loop", as_it_is, device, bound), device)
    yield from held(step_duel("lora", medium, "HF + PEFT", with_peft, device, bound), device)
    yield from held(step_duel("full", medium, "HF loop, blocks compiled", blocks_compiled, device, bound), device)
    trainers: list[tuple[Method, str, Prepare]] = [
        ("full", "HF Trainer", as_it_is),
        ("lora", "HF Trainer + PEFT", with_peft),
    ]
    for method, peer, prepared in trainers:
        rows = trainer_duel(method, medium, peer, prepared, device, bound)
        yield from contained({"task": task_name(method, medium), "peer": peer}, rows, device)
    for name in () if quick else ("base", "small"):
        shape = replace(SHAPES[name], batch=MEDIUM.batch, block=MEDIUM.block)
        yield from held(step_duel("full", shape, "HF loop", as_it_is, device, SMALL_BOUND), device)
    yield from contained(
        {"task": "generation", "peer": "HF generate"},
        responses(device, generation.QUICK if quick else generation.MEDIUM),
        device,
    )
    yield from held(step_duel("full", medium, "HF loop, compiled", compiled, device, bound), device)


# ------------------------------------------------------------------------------------------------------------- duels


def held(duel: Duel, device: torch.device) -> Iterator[Row | Target]:
    """The row of a duel and its target; if it breaks, why."""
    return contained({"task": duel.task, "peer": duel.peer}, hold(duel, device), device)


def contained(label: Row, measured: Iterator[Row | Target], device: torch.device) -> Iterator[Row | Target]:
    """What is measured, or `label` with why it was not. A library that is not installed is no failure."""

    def installed() -> Iterator[Row | Target]:
        try:
            yield from measured
        except ModuleNotFoundError as error:
            yield {**label, "not installed": error.name}

    yield from rows_or_failure(label, installed)
    release(device)


def hold(duel: Duel, device: torch.device) -> Iterator[Row | Target]:
    """Warm both up, then time rounds in which they take turns in going first.

    Raises:
        RuntimeError: their first losses differ.
    """
    ours, theirs = (warmed_up(make, device) for make in (duel.ours, duel.theirs))
    if duel.is_step:
        check_losses(duel.task, {OURS: float(ours.first), duel.peer: float(theirs.first)}, LOSS_TOLERANCE)
    for number in range(ROUNDS):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            started = time.perf_counter()
            for _ in range(duel.calls):
                side.work()
            wait(device)
            side.times.ms.append(1000 * (time.perf_counter() - started) / (duel.calls * duel.units))
    yield from told(duel.task, duel.peer, ours.times, theirs.times, duel.bound)


def warmed_up(make: Callable[[], Work], device: torch.device) -> Contender:
    """Make a contender and call its work a few times."""
    before = reset_peak(device)
    work = make()
    first = work()
    for _ in range(WARM_UP - 1):
        work()
    wait(device)
    peak_bytes = torch.cuda.max_memory_allocated() - before if device.type == "cuda" else None
    return Contender(work, first, Times(peak_bytes=peak_bytes))


def told(task: str, peer: str, ours: Times, theirs: Times, bound: float | None) -> Iterator[Row | Target]:
    """The row of a duel that was held, then its target if there is a promise."""
    ratios = paired(theirs.ms, ours.ms)
    yield {
        "task": task,
        "peer": peer,
        "ours ms": statistics.median(ours.ms),
        "theirs ms": statistics.median(theirs.ms),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "ours peak GiB": _gib(ours.peak_bytes),
        "theirs peak GiB": _gib(theirs.peak_bytes),
    }
    if bound is not None:
        yield Target(f"{task}: ours / {peer}", statistics.median(ratios), bound)


def _gib(size: int | None) -> float | None:
    return None if size is None else size / 2**30


def reset_peak(device: torch.device) -> int:
    """Have the peak counted anew; returns the bytes allocated now, 0 on a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


# ------------------------------------------------------------------------------------------------------------- steps


def step_duel(
    method: Method, shape: Shape, peer: str, prepared: Prepare, device: torch.device, bound: float | None
) -> Duel:
    """Our step against a loop around Hugging Face's model as `prepared` makes it."""
    windows = step_windows(shape, 1).to(device)

    def theirs() -> Work:
        model = prepared(plain_model(shape, shape.block, device))
        step = training_loop(model.to(device), fused=True, bf16=True)
        return lambda: step(windows)

    return Duel(task_name(method, shape), peer, lambda: our_step(method, shape, device, windows), theirs, bound=bound)


def our_step(method: Method, shape: Shape, device: torch.device, windows: Tensor) -> Work:
    """Our step on those windows."""
    run = build(Variant(RANK if method == "lora" else None, "bf16", clip_norm=None), shape, device)
    return lambda: run.train_step(Batch(windows))


def task_name(method: Method, shape: Shape) -> str:
    """Such as "full step, ms, 24 x 1024, 8 x 1024 tokens"."""
    return f"{method} step, ms, {shape}"


def as_it_is(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """The model of Hugging Face alone."""
    return model


def blocks_compiled(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """Each block and the loss compiled. All blocks share one graph, so that this takes seconds."""
    options = compiler_options(model.device)
    for block in model.transformer.h:
        block.compile(**options)
    model.loss_function = torch.compile(model.loss_function, **options)
    return model


def compiled(model: GPT2LMHeadModel) -> Any:
    """The whole model compiled."""
    model.loss_function = model.loss_function  # chosen now: the warning that goes with it would break the graph
    return torch.compile(model, **compiler_options(model.device))


def compiler_options(device: torch.device) -> dict[str, Any]:
    """For torch.compile. A CPU's kernels are not what is measured here, so none are made there."""
    return {"dynamic": False, "backend": "inductor" if device.type == "cuda" else "eager"}


# ----------------------------------------------------------------------------------------------------------- Trainer


@dataclass
class Turns:
    """Lets our step and a Hugging Face Trainer's take turns: the Trainer calls `begin` and `end` around each of its."""

    device: torch.device
    step: Work
    ours: Times
    theirs: Times
    started: float = 0.0

    def begin(self) -> None:
        """Take our step, then start the Trainer's clock."""
        started = time.perf_counter()
        self.step()
        self._note(self.ours, started)
        reset_peak(self.device)
        self.started = time.perf_counter()

    def end(self, loss: float) -> None:
        """Stop the Trainer's clock."""
        self._note(self.theirs, self.started)
        if self.device.type == "cuda":
            self.theirs.peak_bytes = max(self.theirs.peak_bytes or 0, torch.cuda.max_memory_allocated())

    def _note(self, times: Times, started: float) -> None:
        wait(self.device)
        times.ms.append(1000 * (time.perf_counter() - started))


def trainer_duel(
    method: Method, shape: Shape, peer: str, prepared: Prepare, device: torch.device, bound: float | None
) -> Iterator[Row | Target]:
    """The row of our step against a Trainer's, in turns, and its target."""
    shape = replace(shape, rounds=WARM_UP + ROUNDS - 2)  # a Trainer takes two more
    windows = step_windows(shape, 1).to(device)
    ours = warmed_up(lambda: our_step(method, shape, device, windows), device)
    before = reset_peak(device)
    turns = Turns(device, ours.work, ours.times, Times())
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            **trainer_arguments(shape, folder),
            "use_cpu": device.type == "cpu",
            "bf16": True,
            "optim": "adamw_torch_fused",
            "dataloader_pin_memory": device.type == "cuda",
        }
        train_with_trainer(prepared(plain_model(shape, shape.block, device)), shape, turns, arguments)
    theirs = turns.theirs
    if theirs.peak_bytes is not None:
        theirs.peak_bytes -= before
    first = slice(WARM_UP, WARM_UP + ROUNDS)
    yield from told(
        task_name(method, shape),
        peer,
        replace(ours.times, ms=ours.times.ms[first]),
        replace(theirs, ms=theirs.ms[first]),
        bound,
    )


# -------------------------------------------------------------------------------------------------------- generation


def responses(device: torch.device, size: generation.Size) -> Iterator[Row | Target]:
    """The row of our responses against those of Hugging Face's `generate`, by the same model in fp32."""
    with device:
        model = random_model(size)
    prompts = random_prompts(size.prompts)
    settings = SamplingSettings(size.new_tokens, TEMPERATURE, TOP_K)
    draws = uniform_draws(0, len(prompts), size.new_tokens)
    duel = Duel(
        f"new token of {size.prompts} prompts, ms, {size.layers} x {size.width}, fp32",
        "HF generate",
        lambda: lambda: generate(model, prompts, draws, settings, [END]),
        lambda: lambda: hugging_face_generate(model, prompts, size.new_tokens, do_sample=True),
        units=size.new_tokens,
        calls=1,
        is_step=False,
    )
    yield from hold(duel, device)
